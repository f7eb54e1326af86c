"""The native and the OpenAI dialect on the real store and doubles for the rest."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from msgspec.structs import replace

import corral_embeddings.plugin
import corral_modelfile.plugin
import corral_native_api.plugin
import corral_openai_api.plugin
import corral_origin.plugin
import corral_store.plugin
from corral import ChatRequest, Piece
from corral.kernel import Kernel
from corral.testing.fake_weights import fake_weights
from corral.testing.fixtures import *  # noqa: F403  fixtures are found by name
from corral.testing.models import add_model


@pytest.fixture
def plugins() -> list[type]:
    packages = (corral_embeddings, corral_modelfile, corral_native_api, corral_openai_api, corral_origin, corral_store)
    return [package.plugin.Plugin for package in packages]


@pytest.fixture
def tables() -> dict[str, dict[str, Any]]:
    return {"doubles": {"offer": ["loader", "tokenizer", "template", "engine", "source"]}}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {"store": "ollama", "models": str(tmp_path / "models")}


@pytest.fixture
def shutting_down(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every chat ends as it does when the server goes."""
    chat = kernel.pipeline.chat

    async def ending(request: ChatRequest) -> AsyncGenerator[Piece, None]:
        async for piece in chat(request):
            yield replace(piece, done_reason=piece.done_reason and "shutdown")

    monkeypatch.setattr(kernel.pipeline, "chat", ending)


class Api:
    """Calls to one server; `post` checks nothing, `ok` wants a 200 and gives the JSON object."""

    def __init__(self, client: TestClient, kernel: Kernel) -> None:
        self.client, self.kernel = client, kernel

    async def post(self, path: str, body: Any, **more: Any) -> ClientResponse:
        return await self.client.post(f"/api/{path}", json=body, **more)

    async def ok(self, path: str, body: Any, **more: Any) -> Any:
        response = await self.post(path, {"stream": False, **body}, **more)
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        return await response.json()

    async def lines(self, path: str, body: Any) -> list[Any]:
        response = await self.post(path, body)
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "application/x-ndjson"
        text = await response.text()
        assert text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]

    async def error(self, path: str, body: Any, method: str = "POST") -> tuple[int, str]:
        response = await self.client.request(method, f"/api/{path}", json=body)
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        found = await response.json()
        assert list(found) == ["error"]
        return response.status, found["error"]

    async def add(self, name: str, template: str = "plain", **parts: Any) -> Any:
        weights = fake_weights(**parts.pop("weights", {}))
        return await add_model(self.kernel, name, weights, template=template, **parts)


@pytest.fixture
async def api(client: TestClient, kernel: Kernel) -> Api:
    """A server with one model "m", which says "Hello!"."""
    api = Api(client, kernel)
    await api.add("m")
    return api


class OpenAI:
    """Calls below /v1 to one server: `ok` gives the JSON object, `events` a stream's, `error` the status and error."""

    def __init__(self, api: Api) -> None:
        self.client, self.kernel, self.add = api.client, api.kernel, api.add

    async def ok(self, path: str, body: Any = None, **more: Any) -> Any:
        response = await self.client.request("GET" if body is None else "POST", f"/v1/{path}", json=body, **more)
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        return await response.json()

    async def raw(self, path: str, body: Any) -> str:
        """The text of a whole stream."""
        response = await self.client.post(f"/v1/{path}", json={"stream": True, **body})
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "text/event-stream"
        return await response.text()

    async def chunks(self, path: str, body: Any) -> list[Any]:
        """The JSON of every event; the stream must end in [DONE]."""
        *events, done, rest = (await self.raw(path, body)).split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        assert all(event.startswith("data: {") and "\n" not in event for event in events)
        return [json.loads(event.removeprefix("data: ")) for event in events]

    async def error(self, path: str, body: Any) -> tuple[int, Any]:
        response = await self.client.request("GET" if body is None else "POST", f"/v1/{path}", json=body)
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        found = await response.json()
        assert list(found) == ["error"]
        assert list(found["error"]) == ["message", "type", "param", "code"]
        return response.status, found["error"]


@pytest.fixture
def openai(api: Api) -> OpenAI:
    """The server of `api`, spoken to as OpenAI's clients do."""
    return OpenAI(api)
