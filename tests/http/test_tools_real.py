"""Forced and strict tool calls, and formats beside thinking, with the real model under a template that knows both."""

import asyncio
import hashlib
import json
from typing import Any

import jsonschema
import pytest

import corral_engine.plugin
import corral_gguf.plugin
import corral_grammar.plugin
import corral_modelfile.plugin
import corral_native_api.plugin
import corral_openai_api.plugin
import corral_store.plugin
import corral_templates.plugin
import corral_tokenizers.plugin

TEMPLATE = """{{- if .Tools }}<|im_start|>system
Call one of these functions: {{ range .Tools }}{{ . }}{{ end }}<|im_end|>
{{ end }}{{ range .Messages }}<|im_start|>{{ .Role }}
{{ if .Thinking }}<think>{{ .Thinking }}</think>
{{ end }}{{ .Content }}{{ range .ToolCalls }}<tool_call>
{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
</tool_call>{{ end }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER, "strict": True}},
    {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}},
]
ASKED = [{"role": "user", "content": "What is the weather in Graz?"}]


@pytest.fixture
def plugins() -> list[type]:
    packages = (corral_engine, corral_gguf, corral_grammar, corral_modelfile, corral_native_api, corral_openai_api)
    packages += (corral_store, corral_templates, corral_tokenizers)
    return [package.plugin.Plugin for package in packages]


@pytest.fixture
def tables() -> dict[str, dict[str, Any]]:
    return {"doubles": {"offer": []}}


@pytest.fixture
async def smol(client, smollm2_path):
    with smollm2_path.open("rb") as file:
        digest = "sha256:" + (await asyncio.to_thread(hashlib.file_digest, file, "sha256")).hexdigest()
        file.seek(0)
        assert (await client.post(f"/api/blobs/{digest}", data=file)).status == 201
    body = {"model": "smol", "files": {"m.gguf": digest}, "template": TEMPLATE, "stream": False}
    assert (await client.post("/api/create", json=body)).status == 200
    return client


async def post(client, path, **body):
    response = await client.post(path, json={"model": "smol", **body})
    assert response.status == 200, await response.text()
    return await response.json()


async def test_tools_and_thinking(smol):
    asked = {"messages": ASKED, "max_tokens": 150, "seed": 1}
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
        answer = await post(smol, "/v1/chat/completions", tools=TOOLS[:1], tool_choice=choice, **asked)
        (call, *_) = answer["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "get_weather"
        jsonschema.validate(json.loads(call["function"]["arguments"]), WEATHER)

    free = await post(smol, "/v1/chat/completions", tools=TOOLS, **asked)
    for call in free["choices"][0]["message"].get("tool_calls") or []:
        if call["function"]["name"] == "get_weather":
            jsonschema.validate(json.loads(call["function"]["arguments"]), WEATHER)

    loose = [{"type": "function", "function": {"name": "get_weather", "parameters": {**WEATHER, "not": {"const": 1}}}}]
    answer = await post(smol, "/v1/chat/completions", tools=loose, **asked)
    assert answer["choices"][0]["message"]["content"] or answer["choices"][0]["message"].get("tool_calls")
    for refused in ({"tool_choice": "required"}, {"response_format": {"type": "json_object"}}):
        body = {"model": "smol", "tools": loose, **asked, **refused}
        response = await smol.post("/v1/chat/completions", json=body)
        error = (await response.json())["error"]
        assert (response.status, "$.not cannot be enforced" in error["message"]) == (400, True)
        assert (error["param"], error["code"]) == ("tools", "invalid_value")

    for think in (True, False, None):
        for stream in (False, True):
            response = await smol.post(
                "/api/chat",
                json={"model": "smol", "messages": ASKED, "format": WEATHER, "think": think, "stream": stream},
            )
            lines = [json.loads(line) for line in (await response.text()).splitlines()]
            assert lines[-1]["done_reason"] == "stop"
            jsonschema.validate(json.loads("".join(line["message"]["content"] for line in lines)), WEATHER)


async def test_thinking_has_a_budget(smol):
    body = {"model": "smol", "messages": ASKED, "stream": False, "think": True, "format": WEATHER, "thinking_budget": 5}
    prefill = [*ASKED, {"role": "assistant", "content": "<think>"}]
    for messages in (ASKED, prefill):
        response = await smol.post("/api/chat", json={**body, "messages": messages, "options": {"num_predict": 200}})
        assert response.status == 200, await response.text()
        jsonschema.validate(json.loads((await response.json())["message"]["content"]), WEATHER)
