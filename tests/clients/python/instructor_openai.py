"""instructor over the OpenAI dialect: typed answers by schema and by tool, retries, partial and nested ones, lists."""

import os

import instructor
from openai import OpenAI
from pydantic import BaseModel, field_validator


class User(BaseModel):
    """Extracted from a sentence."""

    name: str
    age: int


def extracted(mode: instructor.Mode, model: str) -> User:
    """What the model makes of one sentence."""
    client = instructor.from_openai(OpenAI(base_url=f"{os.environ['CORRAL_URL']}/v1", api_key="unused"), mode=mode)
    return client.chat.completions.create(
        model=model,
        response_model=User,
        messages=[{"role": "user", "content": "Extract: Jason is 25 years old."}],
        temperature=0,
        max_tokens=64,
        max_retries=0,
    )


user = extracted(instructor.Mode.JSON_SCHEMA, "smollm2")
assert (user.name, user.age) == ("Jason", 25), user
assert isinstance(extracted(instructor.Mode.TOOLS, "smollm2-tools"), User)

# --- as its README has it: a provider by name ---
client = instructor.from_provider(
    "ollama/smollm2", base_url=f"{os.environ['CORRAL_URL']}/v1", mode=instructor.Mode.JSON_SCHEMA
)
ASKED = {
    "messages": [{"role": "user", "content": "Extract: John is 25 years old."}],
    "temperature": 0,
    "max_tokens": 64,
}
user = client.chat.completions.create(response_model=User, **ASKED)
assert (user.name, user.age) == ("John", 25), user

partials = list(
    client.chat.completions.create(response_model=instructor.Partial[User], stream=True, max_retries=0, **ASKED)
)
assert len(partials) > 2
assert partials[0].age is None
assert (partials[-1].name, partials[-1].age) == ("John", 25), partials[-1]


class Adult(User):
    """What the first answer is not accepted as."""

    attempts: int = 0

    @field_validator("age")
    @classmethod
    def counted(cls, value: int) -> int:
        """Accepts the second answer."""
        seen.append(value)
        if len(seen) == 1:
            raise ValueError("Age must be given again")
        return value


seen: list[int] = []
again = client.chat.completions.create(response_model=Adult, max_retries=3, **{**ASKED, "max_tokens": 128})
assert isinstance(again, Adult)
assert len(seen) == 2


class Address(BaseModel):
    """Where someone lives."""

    street: str
    city: str


class Resident(BaseModel):
    """Someone and where they live."""

    name: str
    addresses: list[Address]


nested = client.chat.completions.create(
    response_model=Resident,
    messages=[{"role": "user", "content": "Extract: Ann lives in High Street, York."}],
    temperature=0,
    max_tokens=200,
    max_retries=2,
)
assert nested.name
assert all(address.city for address in nested.addresses)
