"""litellm through its ollama, ollama_chat, openai and anthropic routes, and its Router."""

import asyncio
import json
import os

import litellm
from litellm import Router, acompletion, completion

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

for route, base in (("ollama", NATIVE), ("ollama_chat", NATIVE), ("openai", OPENAI), ("anthropic", NATIVE)):
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

shape = {"type": "object", "properties": {"capital": {"enum": ["London", "Paris"]}}, "required": ["capital"]}
for route, base in (("ollama_chat", NATIVE), ("openai", OPENAI)):
    response = completion(
        model=f"{route}/smollm2",
        messages=MESSAGES,
        api_base=base,
        max_tokens=32,
        temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": shape}},
    )
    assert json.loads(response.choices[0].message.content)["capital"] in ("London", "Paris"), route

router = Router(
    model_list=[
        {"model_name": "fast", "litellm_params": {"model": "ollama_chat/smollm2", "api_base": NATIVE}},
        {"model_name": "capable", "litellm_params": {"model": "openai/smollm2-tools", "api_base": OPENAI}},
    ]
)
for name in ("fast", "capable"):
    response = asyncio.run(router.acompletion(model=name, messages=MESSAGES, max_tokens=8))
    assert response.choices[0].message.content
