"""Who asks, and what clients share."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

import corral_generation.plugin
import corral_http.plugin
import corral_native_api.plugin
import corral_openai_api.plugin
from corral import Job
from corral.kernel import Kernel
from corral.testing.doubles import Plugin as Doubles
from corral.testing.fake_weights import fake_weights
from corral.testing.fixtures import client, doubles, kernel, make_kernel, settings
from corral.testing.models import add_model

__all__ = ["client", "doubles", "kernel", "make_kernel", "settings"]
Client = TestClient[web.Request, web.Application]


@pytest.fixture
def plugins() -> list[type]:
    modules = (corral_generation, corral_http, corral_native_api, corral_openai_api)
    return [module.plugin.Plugin for module in modules]


@pytest.fixture
def tables(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    return {"generation": {"isolate_clients": getattr(request, "param", False)}}


async def asked(client: Client, doubles: Doubles, path: str, headers: dict[str, str]) -> Job:
    """The job of one streamed chat."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    response = await client.post(path, json=body, headers=headers)
    assert response.status == 200, await response.text()
    await response.read()
    return doubles.engine.jobs[-1]


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_a_client_is_its_key_else_its_address(
    client: Client, kernel: Kernel, doubles: Doubles, path: str
) -> None:
    await add_model(kernel, "m", fake_weights())
    bearer = await asked(client, doubles, path, {"Authorization": "Bearer one"})
    same = await asked(client, doubles, path, {"Authorization": "Bearer one"})
    other = await asked(client, doubles, path, {"x-api-key": "two"})
    nobody = await asked(client, doubles, path, {})
    assert bearer.client == same.client != other.client
    assert nobody.client == "127.0.0.1"
    assert "one" not in bearer.client, "keys are kept nowhere"
    assert {job.cache_key for job in (bearer, same, other, nobody)} == {""}, "prefixes are shared"


@pytest.mark.parametrize("tables", [True], indirect=True)
async def test_isolated_clients_share_no_prefix(client: Client, kernel: Kernel, doubles: Doubles) -> None:
    await add_model(kernel, "m", fake_weights())
    jobs = [await asked(client, doubles, "/api/chat", {"Authorization": key}) for key in ("a", "b", "a")]
    assert jobs[0].cache_key == jobs[2].cache_key != jobs[1].cache_key
