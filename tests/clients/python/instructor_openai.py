"""instructor over the OpenAI dialect: a typed answer in JSON-schema mode and through a tool."""

import os

import instructor
from openai import OpenAI
from pydantic import BaseModel


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
