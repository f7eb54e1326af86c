"""The whole way with a real model: upload, create, chat, embed, tokens, two at once, a client that leaves, unload."""

import asyncio
import hashlib
import json
from typing import Any

import pytest

import corral_embeddings.plugin
import corral_engine.plugin
import corral_gguf.plugin
import corral_modelfile.plugin
import corral_native_api.plugin
import corral_origin.plugin
import corral_store.plugin
import corral_templates.plugin
import corral_tokenizers.plugin

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"temperature": 0, "num_predict": 12}


@pytest.fixture
def plugins() -> list[type]:
    packages = (corral_embeddings, corral_engine, corral_gguf, corral_modelfile, corral_native_api, corral_origin)
    packages += (corral_store, corral_templates, corral_tokenizers)
    return [package.plugin.Plugin for package in packages]


@pytest.fixture
def tables() -> dict[str, dict[str, Any]]:
    return {"doubles": {"offer": []}}


async def ok(client, path, **body):
    response = await client.post(f"/api/{path}", json={"model": "smol", "stream": False, **body})
    assert response.status == 200, await response.text()
    return await response.json()


async def test_a_real_model_over_http(client, kernel, smollm2_path):
    with smollm2_path.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        assert (await client.post(f"/api/blobs/{digest}", data=file)).status == 201
    assert (await ok(client, "create", files={"SmolLM2.gguf": digest}))["status"] == "success"
    shown = await ok(client, "show")
    assert shown["model_info"]["llama.context_length"] == 8192
    assert (shown["details"]["quantization_level"], shown["capabilities"]) == ("Q4_1", ["completion"])

    text = "Hello, Wörld! <|im_end|>"
    tokens = (await ok(client, "tokenize", content=text))["tokens"]
    assert (await ok(client, "detokenize", tokens=tokens))["content"] == text

    whole = await ok(client, "chat", messages=QUESTION, options=GREEDY)
    assert "Paris" in whole["message"]["content"]
    response = await client.post("/api/chat", json={"model": "smol", "messages": QUESTION, "options": GREEDY})
    lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == whole["message"]["content"]
    assert lines[-1]["prompt_eval_count"] == whole["prompt_eval_count"]

    others = [[{"role": "user", "content": content}] for content in ("Name a colour.", "Say hi.")]
    alone = [await ok(client, "chat", messages=messages, options=GREEDY) for messages in others]
    together = await asyncio.gather(*(ok(client, "chat", messages=messages, options=GREEDY) for messages in others))
    assert [answer["message"] for answer in together] == [answer["message"] for answer in alone]

    body = {"model": "smol", "prompt": "1, 2, 3,", "raw": True, "options": {"num_predict": 4000, "ignore_eos": True}}
    response = await client.post("/api/generate", json=body)
    await response.content.readline()
    response.close()
    resident = next(iter(kernel.pool._residents.values()))
    async with asyncio.timeout(10):
        while resident.active:  # noqa: ASYNC110  there is no event: the condition is about the inside
            await asyncio.sleep(0.001)

    assert (await ok(client, "generate", keep_alive=0))["done_reason"] == "unload"
    assert (await (await client.get("/api/ps")).json()) == {"models": []}
