"""Faults F25 to F27 with a real model: hostile patterns, grammars and schemas, wherever a request may hold one."""

import asyncio
import hashlib
import json
import time

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

TEMPLATE = (
    "{{ range .Messages }}{{ .Content }}{{ if .ToolCalls }}<tool_call>{{ end }}{{ end }}{{ if .Tools }}.{{ end }}"
)
HI = [{"role": "user", "content": "Hi"}]
ROOM = {"num_predict": 2, "num_ctx": 512}
VALUES = {  # schemas of one value, and the end of the path that a refusal names; "": it may also be compiled
    '{"$ref": "http://127.0.0.1:1/x.json"}': ".$ref",
    '{"type": "string", "pattern": "*"}': ".pattern",
    '{"type": "string", "pattern": "(a)\\\\1"}': ".pattern",
    '{"type": [1]}': ".type",
    '{"not": {}}': ".not",
    '{"nosuch": 1}': ".nosuch",
    json.dumps({"enum": [f"v{n}" for n in range(10_000)]}): ".enum",
    '{"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 9}': ".minProperties",
    '{"type": "string", "pattern": "(a+)+b"}': "",
    '{"type": "string", "pattern": "(.*){1000}"}': "",
    '{"type": "string", "minLength": 100000}': "",
}
GRAMMARS = {
    ("regex", "(a+)+b"): 200,
    ("regex", "(?<=a)b"): 400,
    ("regex", "(" * 60_000 + "a" + ")" * 60_000): 400,
    ("gbnf", "root ::= " + "(" * 60_000 + '"a"' + ")" * 60_000): 400,
    ("gbnf", 'root ::= root "a" | "b"'): 400,
    ("gbnf", "root ::= nosuch"): 400,
    ("gbnf", 'root ::= "a"{0,2000000000}'): 400,
    ("gbnf", "root ::= "): 400,
    ("lark", "start: " + "(" * 60_000 + '"a"' + ")" * 60_000): 400,
    ("lark", 'start: "a"' + " " * 500_000): 400,
}


@pytest.fixture
def plugins():
    packages = (corral_engine, corral_gguf, corral_grammar, corral_modelfile, corral_native_api, corral_openai_api)
    packages += (corral_store, corral_templates, corral_tokenizers)
    return [package.plugin.Plugin for package in packages]


@pytest.fixture
def tables():
    return {"doubles": {"offer": []}}


@pytest.fixture
async def smol(client, smollm2_path):
    with smollm2_path.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        assert (await client.post(f"/api/blobs/{digest}", data=file)).status == 201
    for name, parser in (("smol", ""), ("coder", "qwen3-coder"), ("gemma", "gemma4")):
        body = {"model": name, "files": {"SmolLM2.gguf": digest}, "template": TEMPLATE, "stream": False}
        assert (await client.post("/api/create", json={**body, "parser": parser})).status == 200
    return client


def bodies(value):
    """A schema in every place that takes one."""
    schema = {"type": "object", "properties": {"v": json.loads(value)}, "required": ["v"]}
    yield "/api/chat", {"model": "smol", "messages": HI, "stream": False, "format": schema, "options": ROOM}
    formatted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    openai = {"messages": HI, "max_tokens": 2, "num_ctx": 512}
    yield "/v1/chat/completions", {"model": "smol", "response_format": formatted, **openai}
    for model in ("smol", "coder", "gemma"):
        function = {"type": "function", "function": {"name": "f", "parameters": schema}}
        yield "/v1/chat/completions", {"model": model, "tools": [function], "tool_choice": "required", **openai}


async def longest_wait(client):
    """How long other requests have to wait until this is cancelled."""
    longest = 0.0
    try:
        while True:
            began = time.perf_counter()
            assert (await client.get("/api/version")).status == 200
            longest = max(longest, time.perf_counter() - began)
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        return longest


async def test_f25_to_f27_everywhere(smol):
    waits = asyncio.ensure_future(longest_wait(smol))
    for value, path in VALUES.items():
        for url, body in bodies(value):
            async with asyncio.timeout(20):
                response = await smol.post(url, json=body)
                said = await response.text()
            assert response.status in ((400,) if path else (200, 400)), (value, said)
            if response.status == 400:
                assert f"$.properties.v{path}" in said, (value[:80], said)
    for (syntax, text), status in GRAMMARS.items():
        grammar = {"type": "grammar", "syntax": syntax, "definition": text}
        body = {"model": "smol", "messages": HI, "max_tokens": 2, "response_format": grammar}
        async with asyncio.timeout(20):
            response = await smol.post("/v1/chat/completions", json=body)
        assert response.status == status, (syntax, text[:40], await response.text())
    waits.cancel()
    assert await waits < 5, "a compilation has blocked the server"
