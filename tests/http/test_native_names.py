"""Rows 14-17 of the native API's checklist: model names."""

import pytest

from corral import ModelConfig

OK = ["m", "M", "m:latest", "library/m", "registry.ollama.ai/library/m:LATEST", "https://registry.ollama.ai/library/m"]
BAD = ["bad name!", "/m", "m:", "a//b", "m@sha256:" + "0" * 64, "../m", "x" * 81, "a.b/m", "-m", "<script>", "m\x00"]


async def test_row_14_names_that_are_understood(api):
    for name in OK:
        assert (await api.ok("generate", {"model": name, "prompt": "x"}))["response"] == "Hello!"


async def test_row_14_names_that_are_not(api):
    for path in ("generate", "chat", "embed", "embeddings", "show", "pull", "tokenize"):
        for name in BAD:
            assert await api.error(path, {"model": name}) == (400, "invalid model name")


async def test_row_14_host_with_a_port(api):
    await api.add("host:5000/ns/m:t")
    assert (await api.ok("generate", {"model": "host:5000/ns/m:t", "prompt": "x"}))["done"]
    assert await api.error("show", {"model": "host:5000/ns/m"}) == (404, "model 'host:5000/ns/m:latest' not found")


async def test_row_15_the_stored_spelling_is_kept(api):
    await api.add("Llama3:Big")
    assert (await api.ok("generate", {"model": "llama3:BIG", "prompt": "x"}))["model"] == "llama3:BIG"
    assert (await api.post("copy", {"source": "LLAMA3:big", "destination": "M"})).status == 200
    names = [row["name"] for row in (await (await api.client.get("/api/tags")).json())["models"]]
    assert sorted(names) == ["Llama3:Big", "m:latest"]


MATRIX = [
    ("generate", "POST", "", (404, "model '' not found")),
    ("generate", "POST", "bad name!", (400, "invalid model name")),
    ("generate", "POST", "X", (404, "model 'X' not found")),
    ("chat", "POST", "", (400, "model is required")),
    ("chat", "POST", "bad name!", (400, "invalid model name")),
    ("chat", "POST", "X", (404, "model 'X' not found")),
    ("embed", "POST", "", (404, "model '' not found")),
    ("embed", "POST", "bad name!", (400, "invalid model name")),
    ("embed", "POST", "X", (404, 'model "X" not found, try pulling it first')),
    ("embeddings", "POST", "", (400, "model is required")),
    ("embeddings", "POST", "bad name!", (400, "invalid model name")),
    ("embeddings", "POST", "X", (404, 'model "X" not found, try pulling it first')),
    ("show", "POST", "", (400, "model is required")),
    ("show", "POST", "bad name!", (400, "invalid model name")),
    ("show", "POST", "X", (404, "model 'X:latest' not found")),
    ("delete", "DELETE", "", (400, "model is required")),
    ("delete", "DELETE", "bad name!", (400, 'name "bad name!" is invalid')),
    ("delete", "DELETE", "X", (404, "model 'X' not found")),
    ("create", "POST", "", (400, "invalid model name")),
    ("create", "POST", "bad name!", (400, "invalid model name")),
    ("pull", "POST", "", (400, "invalid model name")),
    ("pull", "POST", "bad name!", (400, "invalid model name")),
    ("push", "POST", "", (400, "model is required")),
]


@pytest.mark.parametrize(("path", "method", "name", "expected"), MATRIX)
async def test_row_16_the_matrix(api, path, method, name, expected):
    assert await api.error(path, {"model": name}, method) == expected
    if not name:
        assert await api.error(path, {}, method) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, 'source "" is invalid')),
        ({"source": "m"}, (400, 'destination "" is invalid')),
        ({"source": "bad name!", "destination": "y"}, (400, 'source "bad name!" is invalid')),
        ({"source": "m", "destination": "bad name!"}, (400, 'destination "bad name!" is invalid')),
        ({"source": "X", "destination": "y"}, (404, 'model "X" not found')),
    ],
)
async def test_row_16_copy(api, body, expected):
    assert await api.error("copy", body) == expected


async def test_row_16_the_old_alias(api):
    assert (await api.ok("show", {"name": "m"}))["details"]["format"] == "gguf"
    assert (await api.post("pull", {"name": "m"})).status == 200
    assert (await api.client.delete("/api/delete", json={"name": "m"})).status == 200


@pytest.mark.parametrize("path", ["generate", "chat", "embed", "embeddings", "show"])
async def test_row_17_local_and_cloud(api, path):
    details = "remote model details are" if path == "show" else "remote model is"
    for name in ("m:cloud", "M:CLOUD", "m:20b-cloud"):
        assert await api.error(path, {"model": name}) == (403, f"ollama cloud is disabled: {details} unavailable")
    assert await api.error(path, {"model": "m:cloud:local"}) == (
        400,
        'use either :local or :cloud, not both: "m:cloud:local"',
    )
    assert (await api.ok(path, {"model": "m:local"})) is not None


async def test_row_17_a_stub_of_a_cloud_model(api):
    await api.add("stub", config=ModelConfig(remote_host="https://ollama.com:443", remote_model="big"))
    assert await api.error("chat", {"model": "stub"}) == (403, "ollama cloud is disabled: remote model is unavailable")
    rows = (await (await api.client.get("/api/tags")).json())["models"]
    stub = next(row for row in rows if row["name"] == "stub:latest")
    assert (stub["remote_host"], stub["remote_model"]) == ("https://ollama.com:443", "big")
