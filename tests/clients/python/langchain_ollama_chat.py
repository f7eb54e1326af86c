"""langchain-ollama: ChatOllama (invoke, stream, async, tools, typed answers), OllamaLLM."""

import asyncio

from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaLLM
from pydantic import BaseModel

llm = ChatOllama(model="smollm2", validate_model_on_init=True, temperature=0, num_predict=16, keep_alive="5m")
messages = [("system", "You are a helpful assistant."), ("human", "What is the capital of France?")]
message = llm.invoke(messages)
assert "Paris" in message.content
assert message.response_metadata["done_reason"] in ("stop", "length")
assert message.usage_metadata["output_tokens"] == message.response_metadata["eval_count"]
assert message.usage_metadata["input_tokens"] > 0

whole = None
for chunk in llm.stream(messages):
    whole = chunk if whole is None else whole + chunk
assert whole.content == message.content
assert whole.usage_metadata == message.usage_metadata


async def main() -> None:
    """The same, asynchronous: whole and streamed."""
    assert (await llm.ainvoke(messages)).content == message.content
    assert "".join([chunk.content async for chunk in llm.astream(messages)]) == message.content


asyncio.run(main())
assert [answer.content for answer in llm.batch([messages, messages])] == [message.content] * 2


class City(BaseModel):
    """A city and its country."""

    city: str
    country: str


shaped = ChatOllama(model="smollm2", temperature=0, num_predict=64).with_structured_output(City)
found = shaped.invoke("Paris is the capital of France.")
assert isinstance(found, City)
assert found.city == "Paris"
as_json = ChatOllama(model="smollm2", temperature=0, num_predict=200, format="json")
assert as_json.invoke("Describe Paris as a JSON object with the key name.").content.startswith("{")


@tool
def get_weather(city: str) -> str:
    """Get the current weather of a city."""
    return f"11 degrees and rain in {city}"


with_tools = ChatOllama(model="smollm2-tools", temperature=0, num_predict=48).bind_tools([get_weather])
(call,) = with_tools.invoke("What is the weather in Oslo?").tool_calls
assert call["args"] == {"city": "Oslo"}
assert call["id"]
assert get_weather.invoke(call).content.endswith("Oslo")

assert "Paris" in OllamaLLM(model="smollm2", temperature=0, num_predict=16).invoke("What is the capital of France?")
