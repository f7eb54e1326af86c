"""The Anthropic dialect over HTTP."""

import json
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

import corral_anthropic_api.plugin
import corral_store.plugin
from corral.kernel import Kernel
from corral.testing.fake_weights import fake_weights
from corral.testing.models import add_model

HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def plugins() -> list[type]:
    return [corral_anthropic_api.plugin.Plugin, corral_store.plugin.Plugin]


class Messages:
    """Calls to one server.  A body is completed to the least a request must have."""

    def __init__(self, client: TestClient, kernel: Kernel) -> None:
        self.client, self.kernel = client, kernel

    async def post(self, body: Any, path: str = "/v1/messages", **more: Any) -> ClientResponse:
        whole = {"model": "m", "max_tokens": 50, "messages": HI, **body}
        return await self.client.post(path, json=whole, **more)

    async def ok(self, **body: Any) -> Any:
        response = await self.post(body)
        text = await response.text()
        assert response.status == 200, text
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert text.endswith("\n")
        return json.loads(text)

    async def count(self, **body: Any) -> int:
        response = await self.client.post("/v1/messages/count_tokens", json={"model": "m", "messages": HI, **body})
        assert response.status == 200, await response.text()
        answer = await response.json()
        assert list(answer) == ["input_tokens"]
        return answer["input_tokens"]

    async def events(self, **body: Any) -> list[Any]:
        """The data of all events; each is framed as it must be."""
        response = await self.post({"stream": True, **body})
        assert response.status == 200, await response.text()
        return parsed(await response.text())

    async def error(self, body: Any, path: str = "/v1/messages") -> tuple[int, str, str]:
        """Status, type and message."""
        return await refusal(await self.post(body, path))

    async def refusal(self, method: str, path: str) -> tuple[int, str, str]:
        """`error` of a request without a body."""
        return await refusal(await self.client.request(method, path))

    async def add(self, name: str, template: str = "plain", **parts: Any) -> Any:
        weights = fake_weights(**parts.pop("weights", {}))
        return await add_model(self.kernel, name, weights, template=template, **parts)


def parsed(text: str) -> list[Any]:
    """The data of all events of a stream."""
    *frames, rest = text.split("\n\n")
    assert rest == ""
    found = []
    for frame in frames:
        name, data = frame.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        found.append(value)
    return found


async def refusal(response: ClientResponse) -> tuple[int, str, str]:
    """Status, type and message of an error, whose shape is checked."""
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    found = await response.json()
    assert list(found) == ["type", "error", "request_id"]
    assert found["type"] == "error"
    assert list(found["error"]) == ["type", "message"]
    assert found["request_id"] == response.headers["request-id"]
    return response.status, found["error"]["type"], found["error"]["message"]


@pytest.fixture
async def messages(client: TestClient, kernel: Kernel) -> Messages:
    """A server with a model "m", which says "Hello!", and "t", which has tools and thinking."""
    messages = Messages(client, kernel)
    await messages.add("m")
    await messages.add("t", "thinking tools")
    return messages


@pytest.fixture
def prompt(doubles: Any) -> Any:
    """`prompt()` is the text that ran last."""
    return lambda: bytes(doubles.engine.jobs[-1].token_ids).decode()
