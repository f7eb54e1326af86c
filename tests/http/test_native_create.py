"""Rows 52 and 53 of the native API's checklist: making models over HTTP, on the real loader and model builder."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

import corral_embeddings.plugin
import corral_gguf.plugin
import corral_modelfile.plugin
import corral_native_api.plugin
import corral_store.plugin
from corral import ModelNotFound, TensorInfo
from corral_gguf.writer import TensorSource, write_gguf

TEMPLATE = "{{ .Prompt }}"


@pytest.fixture
def plugins() -> list[type]:
    packages = (corral_embeddings, corral_gguf, corral_modelfile, corral_native_api, corral_store)
    return [package.plugin.Plugin for package in packages]


@pytest.fixture
def tables() -> dict[str, dict[str, Any]]:
    return {"doubles": {"offer": ["tokenizer", "template", "engine", "source"]}}


@pytest.fixture
async def digest(client, tmp_path) -> str:
    """The digest of an uploaded small GGUF."""
    info = TensorInfo(name="token_embd.weight", type="F32", shape=(2, 4), size_bytes=32)
    source = TensorSource(info=info, chunks=lambda: [np.zeros(8, np.float32).tobytes()])
    metadata = {"general.architecture": "llama", "llama.context_length": 64, "llama.block_count": 1}
    path = tmp_path / "tiny.gguf"
    write_gguf(path, metadata, [source])
    data = path.read_bytes()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    assert (await client.post(f"/api/blobs/{digest}", data=data)).status == 201
    return digest


async def lines(client, body):
    response = await client.post("/api/create", json=body)
    text = await response.text()
    assert response.status == 200, text
    assert response.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in text.splitlines()]


async def error(client, body):
    response = await client.post("/api/create", json=body)
    return response.status, (await response.json())["error"]


async def test_row_52_from_a_file_and_then_from_the_model(client, kernel, digest):
    body = {
        "model": "tiny",
        "files": {"tiny.gguf": digest},
        "template": TEMPLATE,
        "system": "be kind",
        "parameters": {"temperature": 0.5, "stop": ["a"]},
        "messages": [{"role": "user", "content": "old"}],
        "license": "free",
    }
    statuses = [line["status"] for line in await lines(client, body)]
    assert statuses[-2:] == ["writing manifest", "success"]
    tiny = kernel.find("tiny")
    assert (tiny.template, tiny.system, tiny.licenses) == (TEMPLATE, "be kind", ("free",))
    assert tiny.parameters == {"temperature": 0.5, "stop": ["a"]}
    assert [message.content for message in tiny.messages] == ["old"]
    child = {"name": "child", "from": "TINY", "parameters": {"stop": ["b"]}, "license": ["two"], "stream": False}
    response = await client.post("/api/create", json=child)
    assert (response.status, await response.json()) == (200, {"status": "success"})
    made = kernel.find("child")
    assert made.weights == tiny.weights
    assert made.parameters == {"temperature": 0.5, "stop": ["b"]}
    assert (made.system, made.licenses) == ("be kind", ("free", "two"))


async def test_row_52_errors(client, digest):
    assert await error(client, {"model": "x"}) == (400, "neither 'from' or 'files' was specified")
    assert await error(client, {"model": "x", "from": "bad name!"}) == (400, "invalid model name")
    for name in ("/etc/passwd", "../x", "a/../../b"):
        assert await error(client, {"model": "x", "files": {name: digest}}) == (400, "file path must be relative")
    for bad in ("", "sha256:../../x"):
        assert await error(client, {"model": "x", "files": {"x.gguf": bad}}) == (400, "invalid digest format")
    status, text = await error(
        client, {"model": "x", "files": {"x.gguf": digest}, "template": "{{ open", "stream": False}
    )
    assert (status, text) == (400, "template error: unclosed action")


async def test_row_52_fields_that_no_model_can_have(client, kernel, digest):
    files = {"files": {"tiny.gguf": digest}}
    for version in ("abc", "1.2.3.4", "v", "1.0\n"):
        status, text = await error(client, {"model": "m", "requires": version, **files})
        assert (status, text) == (400, "requires must be a valid semver (e.g. 0.14.0)")
    status, text = await error(client, {"model": "m", "remote_host": "https://ollama.com", **files})
    assert status == 403
    assert text == "ollama cloud is disabled: no model can be made of one at remote_host 'https://ollama.com'"
    assert not kernel.store.list()
    await lines(client, {"model": "m", "requires": "v1.2", **files})
    assert kernel.find("m").config.requires == "1.2"


async def test_row_52_parameters_and_roles_that_no_chat_could_use(client, digest):
    for parameters, message in (
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"num_ctx": [1]}, 'option "num_ctx" must be of type integer'),
        ({"stop": [1]}, 'option "stop" must be of an array of strings'),
        ({"seed": 1e30}, 'option "seed" is out of range'),
        ({"repeat_penalty": -1}, 'option "repeat_penalty" must be above 0'),
    ):
        assert await error(client, {"model": "x", "files": {"x": digest}, "parameters": parameters}) == (400, message)
        assert (await client.post("/api/show", json={"model": "x"})).status == 404
    for role in ("", "badguy"):
        body = {"model": "x", "files": {"x": digest}, "messages": [{"role": role, "content": "hi"}]}
        message = 'message role must be one of "system", "user", "assistant", or "tool"'
        assert await error(client, body) == (400, message)
    loose = {"num_ctx": 64.0, "stop": "one", "unknown": "kept", "seed": None}
    last = (await lines(client, {"model": "x", "files": {"x": digest}, "parameters": loose}))[-1]
    assert last == {"status": "success"}


async def test_row_53_a_missing_base_is_pulled(client, kernel):
    source = kernel.plugins.manager.get_plugin("doubles").source
    source.error = ModelNotFound("pull model manifest: file does not exist")
    *steps, last = await lines(client, {"model": "x", "from": "far/away"})
    assert steps == [{"status": "pulling manifest"}]
    assert last == {"error": "pull model manifest: file does not exist"}
    assert source.asked == [("far/away:latest", False)]
