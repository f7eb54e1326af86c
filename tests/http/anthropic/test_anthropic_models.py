"""Section 9 of the Anthropic API's specification: the models, for whoever sends Anthropic's header."""

import pytest

import corral_anthropic_api.plugin
import corral_openai_api.plugin
import corral_store.plugin

VERSION = {"anthropic-version": "2023-06-01"}


@pytest.fixture
def plugins():
    return [each.plugin.Plugin for each in (corral_anthropic_api, corral_openai_api, corral_store)]


@pytest.fixture
def get(client, messages):
    async def get(path, headers=VERSION):
        response = await client.get(f"/v1/models{path}", headers=headers)
        return response.status, await response.json(), response.headers

    return get


async def test_the_list(get):
    status, page, headers = await get("")
    assert status == 200
    assert headers["request-id"].startswith("req_")
    assert list(page) == ["data", "has_more", "first_id", "last_id"]
    assert {model["id"] for model in page["data"]} == {"m:latest", "t:latest"}
    assert (page["has_more"], page["first_id"], page["last_id"]) == (
        False,
        page["data"][0]["id"],
        page["data"][1]["id"],
    )
    first = page["data"][0]
    assert (first["type"], first["display_name"], first["lifecycle"]) == ("model", first["id"], "active")
    assert first["created_at"].endswith("Z")


async def test_pages(get):
    names = [model["id"] for model in (await get(""))[1]["data"]]
    first = (await get("?limit=1"))[1]
    assert ([model["id"] for model in first["data"]], first["has_more"]) == (names[:1], True)
    second = (await get(f"?limit=1&after_id={first['last_id']}"))[1]
    assert ([model["id"] for model in second["data"]], second["has_more"]) == (names[1:], False)
    back = (await get(f"?limit=1&before_id={second['first_id']}"))[1]
    assert ([model["id"] for model in back["data"]], back["has_more"]) == (names[:1], False)
    assert (await get(f"?before_id={names[0]}"))[1] == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


async def test_one(get):
    status, model, _ = await get("/m")
    assert (status, model["id"], model["display_name"], model["type"]) == (200, "m", "m:latest", "model")


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/nope", 404, "model 'nope' not found"),
        ("?after_id=nope", 404, "model 'nope' not found"),
        ("/a b", 400, "invalid model name"),
        ("?limit=0", 400, "limit must be between 1 and 1000"),
        ("?limit=1001", 400, "limit must be between 1 and 1000"),
        ("?limit=x", 400, "limit must be between 1 and 1000"),
    ],
)
async def test_what_is_refused(get, path, status, message):
    found, body, headers = await get(path)
    assert (found, body["error"]["message"]) == (status, message)
    assert body["request_id"] == headers["request-id"]


async def test_without_the_header_it_is_openais(get):
    status, body, headers = await get("", headers={})
    assert (status, body["object"]) == (200, "list")
    assert headers["x-request-id"].startswith("req_")
    assert (await get("/m", headers={}))[1]["object"] == "model"
