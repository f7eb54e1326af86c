"""pydantic-ai with its Ollama provider (the OpenAI dialect): text, streaming, history, tools, typed output."""

import asyncio
import os

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.ollama import OllamaProvider

SHORT = {"max_tokens": 48, "temperature": 0}
provider = OllamaProvider(base_url=f"{os.environ['CORRAL_URL']}/v1")
agent = Agent(OpenAIChatModel("smollm2", provider=provider), instructions="Be concise.", model_settings=SHORT)

result = agent.run_sync("What is the capital of France?")
assert "Paris" in result.output
assert result.usage.output_tokens > 0 < result.usage.input_tokens


async def streamed() -> str:
    async with agent.run_stream("What is the capital of France?") as running:
        return "".join([part async for part in running.stream_text(delta=True)])


assert asyncio.run(streamed()) == result.output

asked = []
with_tools = Agent(OpenAIChatModel("smollm2-tools", provider=provider), model_settings=SHORT)


@with_tools.tool_plain
def get_weather(city: str) -> str:
    """Get the current weather of a city."""
    asked.append(city)
    return f"11 degrees and rain in {city}"


assert with_tools.run_sync("What is the weather in Oslo?").output
assert asked[0] == "Oslo"


class City(BaseModel):
    """A typed answer."""

    city: str
    country: str


typed = Agent(OpenAIChatModel("smollm2", provider=provider), output_type=NativeOutput(City), model_settings=SHORT)
found = typed.run_sync("Paris is the capital of France.").output
assert (found.city, found.country.title()) == ("Paris", "France"), found

followed = agent.run_sync("And of Italy?", message_history=result.new_messages())
assert len(followed.all_messages()) == 4
