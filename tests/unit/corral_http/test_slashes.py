"""A path with one slash too many."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

import corral_http.plugin
import corral_native_api.plugin
from corral.testing.fixtures import client, doubles, kernel, make_kernel, settings, tables

__all__ = ["client", "doubles", "kernel", "make_kernel", "settings", "tables"]
Client = TestClient[web.Request, web.Application]


@pytest.fixture
def plugins() -> list[type]:
    return [corral_http.plugin.Plugin, corral_native_api.plugin.Plugin]


async def test_the_client_is_sent_to_the_path_without_its_last_slash(client: Client) -> None:
    response = await client.get("/api/version/?a=1", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (307, "/api/version?a=1")
    followed = await client.post("/api/show/", json={"model": "nobody"})
    assert (followed.status, followed.url.path) == (404, "/api/show")
    assert "not found" in await followed.text(), "the body went along"


@pytest.mark.parametrize("path", ["/api/nothing/", "/nothing", "/api/version//"])
async def test_what_is_not_served_either_way_is_404(client: Client, path: str) -> None:
    response = await client.get(path, allow_redirects=False)
    assert response.status == 404


async def test_the_wrong_method_is_405_at_the_right_path(client: Client) -> None:
    assert (await client.get("/api/chat", allow_redirects=False)).status == 405
    assert (await client.get("/api/chat/", allow_redirects=False)).status == 404
