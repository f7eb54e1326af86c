"""`format` with the real model: what comes over HTTP is JSON, streamed and whole, beside streams without a format."""

import asyncio
import json
from typing import Any

import jsonschema
import pytest

import corral_engine.plugin
import corral_gguf.plugin
import corral_grammar.plugin
import corral_modelfile.plugin
import corral_native_api.plugin
import corral_store.plugin
import corral_templates.plugin
import corral_tokenizers.plugin

ASKED = [{"role": "user", "content": "Tell me about Canada, as JSON."}]
COUNTRY = {
    "type": "object",
    "title": "Country",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "capital_city": {"type": "string", "maxLength": 20},
        "population_in_millions": {"type": "integer", "minimum": 1, "maximum": 2000},
        "languages": {"type": "array", "items": {"enum": ["English", "French", "Cree"]}, "maxItems": 3},
    },
    "required": ["name", "capital_city", "population_in_millions", "languages"],
}


@pytest.fixture
def plugins() -> list[type]:
    packages = (corral_engine, corral_gguf, corral_grammar, corral_modelfile, corral_native_api)
    packages += (corral_store, corral_templates, corral_tokenizers)
    return [package.plugin.Plugin for package in packages]


@pytest.fixture
def tables() -> dict[str, dict[str, Any]]:
    return {"doubles": {"offer": []}}


class Smol:
    """The real model behind HTTP."""

    def __init__(self, client) -> None:
        self.client = client

    async def post(self, path, **body):
        response = await self.client.post(f"/api/{path}", json={"model": "smol", **body})
        return response.status, [json.loads(line) for line in (await response.text()).splitlines()]

    async def chat(self, format, *, stream=False, **options):
        body = {"messages": ASKED, "stream": stream, "options": {"num_predict": 200, **options}}
        status, lines = await self.post("chat", format=format, **body)
        assert status == 200, lines
        assert lines[-1]["done_reason"] == "stop"
        return "".join(line["message"]["content"] for line in lines)


@pytest.fixture
async def smol(client, smollm2_path):
    with smollm2_path.open("rb") as file:
        digest = await asyncio.to_thread(_digest, file)
        file.seek(0)
        assert (await client.post(f"/api/blobs/{digest}", data=file)).status == 201
    created = await client.post("/api/create", json={"model": "smol", "files": {"m.gguf": digest}, "stream": False})
    assert created.status == 200
    return Smol(client)


def _digest(file):
    import hashlib

    return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


async def test_formats_over_http(smol):
    whole = await smol.chat(COUNTRY, temperature=0)
    jsonschema.validate(json.loads(whole), COUNTRY)
    assert await smol.chat(COUNTRY, temperature=0, stream=True) == whole

    async def free():
        return (await smol.post("chat", messages=ASKED, stream=False, options={"temperature": 0, "num_predict": 40}))[1]

    alone = await free()
    several = await asyncio.gather(free(), *(smol.chat(COUNTRY, seed=seed) for seed in (1, 2)), free())
    assert several[0][0]["message"] == several[3][0]["message"] == alone[0]["message"]
    for text in several[1:3]:
        jsonschema.validate(json.loads(text), COUNTRY)

    status, lines = await smol.post("generate", prompt="JSON:", format="json", options={"seed": 1, "num_predict": 300})
    text = "".join(line["response"] for line in lines)
    assert status == 200
    if lines[-1]["done_reason"] == "stop":
        assert isinstance(json.loads(text), dict)
    assert text.startswith("{")

    status, (answer,) = await smol.post(
        "chat", messages=ASKED, stream=False, format=COUNTRY, options={"num_predict": 5}
    )
    assert (status, answer["done_reason"], answer["eval_count"]) == (200, "length", 5)

    broken = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    status, lines = await smol.post("chat", messages=ASKED, format=broken)
    assert status == 400
    assert lines == [{"error": "unsupported JSON schema keyword: $.properties.a.uniqueItems cannot be enforced"}]
