"""The example configurations are what they say, and serve a real model."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from corral.config import load
from corral.kernel import Kernel
from corral.plugins import discover
from corral.server import build_app

CONFIG = Path(__file__).resolve().parents[2] / "config"
SERVING = {"cli", "generation", "http", "native_api", "origin", "store"}
MINIMAL = SERVING | {"engine", "gguf", "modelfile", "templates", "tokenizers"}


@asynccontextmanager
async def serving(name: str, models: Path) -> AsyncIterator[TestClient[Any, Any]]:
    """The built-in plugins under `config/<name>`, with a store of its own."""
    config = load(CONFIG / name, environ={"CORRAL_MODELS": str(models)})
    kernel = Kernel(config, [plugin for plugin in discover() if plugin.built_in])
    async with kernel.live(), TestClient(TestServer(build_app(kernel))) as client:
        yield client


async def ok(client: TestClient[Any, Any], path: str, **body: Any) -> Any:
    response = await client.post(f"/api/{path}", json={"model": "smol", "stream": False, **body})
    assert response.status == 200, await response.text()
    return await response.json()


@pytest.mark.parametrize("name", ["minimal.toml", "api-only.toml"])
async def test_an_example_configuration_makes_shows_and_runs_a_model(
    name: str, tmp_path: Path, smollm2_path: Path
) -> None:
    async with serving(name, tmp_path) as client:
        with smollm2_path.open("rb") as file:
            digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            assert (await client.post(f"/api/blobs/{digest}", data=file)).status == 201
        assert (await ok(client, "create", files={"smol.gguf": digest}))["status"] == "success"
        shown = await ok(client, "show")
        assert shown["modelfile"].startswith("# Modelfile")
        assert shown["capabilities"] == ["completion"]
        options = {"temperature": 0, "num_predict": 12}
        answer = await ok(client, "generate", prompt="What is the capital of France?", options=options)
        assert "Paris" in answer["response"]
        assert (await client.post("/api/pull", json={"model": "pypi/x", "stream": False})).status == 404


def test_the_minimal_configuration_turns_on_what_it_says_and_no_more() -> None:
    kernel = Kernel(load(CONFIG / "minimal.toml", environ={}), [plugin for plugin in discover() if plugin.built_in])
    assert {row.name for row in kernel.plugins.rows if row.state == "on"} == MINIMAL
    assert set(kernel.loaders) == {"gguf"}
    assert len(kernel.engines) == 1
    assert set(kernel.routes) == {"native"}


@pytest.mark.parametrize("name", ["minimal.toml", "api-only.toml"])
def test_neither_offers_a_source(name: str) -> None:
    kernel = Kernel(load(CONFIG / name, environ={}), [plugin for plugin in discover() if plugin.built_in])
    assert not kernel.sources


def test_the_server_for_a_front_end_listens_everywhere_and_unloads_nothing() -> None:
    kernel = Kernel(load(CONFIG / "api-only.toml", environ={}))
    assert (kernel.config.kernel.host, kernel.config.kernel.keep_alive) == ("0.0.0.0:11434", "-1")
    assert {"native", "openai", "anthropic"} <= set(kernel.routes)
