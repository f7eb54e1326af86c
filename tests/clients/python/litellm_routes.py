"""litellm through its ollama, ollama_chat and openai routes: completion, streaming, async, tools, a missing model."""

import asyncio
import os

import litellm
from litellm import acompletion, completion

MESSAGES = [{"content": "What is the capital of France?", "role": "user"}]
NATIVE, OPENAI = os.environ["CORRAL_URL"], f"{os.environ['CORRAL_URL']}/v1"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

for route, base in (("ollama", NATIVE), ("ollama_chat", NATIVE), ("openai", OPENAI)):
    short = {"model": f"{route}/smollm2", "messages": MESSAGES, "api_base": base, "max_tokens": 16, "temperature": 0}
    response = completion(**short)
    answer = response.choices[0].message.content
    assert "Paris" in answer, (route, answer)
    assert response.choices[0].finish_reason in ("stop", "length")
    assert response.usage.total_tokens == response.usage.prompt_tokens + response.usage.completion_tokens
    assert response.usage.completion_tokens > 0
    parts = [part.choices[0].delta.content or "" for part in completion(**short, stream=True)]
    assert "".join(parts) == answer, (route, parts)
    assert asyncio.run(acompletion(**short)).choices[0].message.content == answer

    try:
        completion(**{**short, "model": f"{route}/missing"}, max_retries=0)
    except litellm.NotFoundError as err:
        assert "missing" in str(err), err
    else:
        raise AssertionError("a missing model must be an error")

for route, base in (("ollama_chat", NATIVE), ("openai", OPENAI)):
    response = completion(
        model=f"{route}/smollm2-tools",
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        tools=[TOOL],
        api_base=base,
        max_tokens=48,
        temperature=0,
    )
    (call,) = response.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert call.function.arguments.replace(" ", "") == '{"city":"Oslo"}'

chunks = list(
    completion(
        model="openai/smollm2",
        messages=MESSAGES,
        api_base=OPENAI,
        max_tokens=4,
        stream=True,
        stream_options={"include_usage": True},
    )
)
assert chunks[-1].usage.completion_tokens == 4
