"""langchain-ollama: ChatOllama (invoke, stream, async, tools), OllamaLLM."""

import asyncio

from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaLLM

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

assert asyncio.run(llm.ainvoke(messages)).content == message.content


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
