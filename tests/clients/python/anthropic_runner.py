"""anthropic for Python: the tool runners, which keep conversations in threads unless a server says it has none."""

import asyncio

from anthropic import Anthropic, AsyncAnthropic, beta_async_tool, beta_tool

WEATHER = {"role": "user", "content": "What is the weather in Oslo?"}
ASK = {"model": "smollm2-tools", "max_tokens": 64, "messages": [WEATHER]}
SAID = "11 degrees and rain"

asked = []


@beta_tool
def get_weather(city: str) -> str:
    """Get the current weather of a city.

    Args:
        city: The name of the city
    """
    asked.append(city)
    return SAID


@beta_async_tool(name="get_weather")
async def get_weather_later(city: str) -> str:
    """Get the current weather of a city.

    Args:
        city: The name of the city
    """
    asked.append(city)
    return SAID


def check(messages, counted):
    """The model saw the whole conversation: the last answer's prompt is as long as that conversation."""
    called, answered = messages[0], messages[1]
    assert asked == ["Oslo"], asked
    assert called.stop_reason == "tool_use"
    assert answered.usage.input_tokens == counted > called.usage.input_tokens
    asked.clear()


def conversation(called):
    """What the second request holds, told as one that has no thread."""
    call = next(block for block in called.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": SAID}
    spoken = [block.to_dict() for block in called.content]
    return [WEATHER, {"role": "assistant", "content": spoken}, {"role": "user", "content": [result]}]


client = Anthropic()
tools = [get_weather.to_dict()]
told = list(client.beta.messages.tool_runner(**ASK, tools=[get_weather], max_iterations=2))
counted = client.messages.count_tokens(model="smollm2-tools", messages=conversation(told[0]), tools=tools)
check(told, counted.input_tokens)

streams = client.beta.messages.tool_runner(**ASK, tools=[get_weather], max_iterations=2, stream=True)
check([stream.get_final_message() for stream in streams], counted.input_tokens)


async def later():
    """The same, awaited."""
    runner = AsyncAnthropic().beta.messages.tool_runner(**ASK, tools=[get_weather_later], max_iterations=2)
    return [message async for message in runner]


check(asyncio.run(later()), counted.input_tokens)
