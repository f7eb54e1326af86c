"""Responses that continue others: `previous_response_id`, retrieval, and what is forgotten."""

import json

import pytest

from corral import Message
from corral_openai_api.responses import memory as memory_module
from corral_openai_api.responses.memory import Memory
from corral_openai_api.responses.shapes import Response

ASK = {"model": "m", "input": "x"}
CALL = b'<think>hm</think>Sure. <call>{"name":"weather","arguments":{"a":1}}</call>'
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}


async def prompt(openai, doubles, **body):
    answer = await openai.ok("responses", {**ASK, **body})
    return answer["id"], bytes(doubles.engine.jobs[-1].token_ids).decode()


async def test_a_conversation_goes_on(openai, doubles):
    first, _ = await prompt(openai, doubles, instructions="be kind")
    second, seen = await prompt(openai, doubles, input="y", previous_response_id=first)
    assert seen == "plain:\n[user] x\n[assistant] Hello!\n[user] y\n[assistant]"
    _, seen = await prompt(openai, doubles, input="z", previous_response_id=second, instructions="be brief")
    assert seen == (
        "plain:\n[system] be brief\n[user] x\n[assistant] Hello!\n[user] y\n[assistant] Hello!\n[user] z\n[assistant]"
    )
    _, again = await prompt(openai, doubles, input="other", previous_response_id=first)
    assert again == "plain:\n[user] x\n[assistant] Hello!\n[user] other\n[assistant]"


async def test_calls_are_remembered(openai, doubles):
    await openai.add("t", "tools thinking")
    doubles.engine.reply = lambda job: CALL
    for streaming in (False, True):
        body = {**ASK, "model": "t", "tools": [TOOL]}
        if streaming:
            text = await openai.raw("responses", body)
            answer = json.loads(text.rstrip().rsplit("\ndata: ", 1)[1])["response"]
        else:
            answer = await openai.ok("responses", body)
        call_id = next(item["call_id"] for item in answer["output"] if item["type"] == "function_call")
        result = [{"type": "function_call_output", "call_id": call_id, "output": "11 degrees"}]
        more = {"model": "t", "tools": [TOOL], "input": result, "previous_response_id": answer["id"]}
        _, seen = await prompt(openai, doubles, **more)
        assert seen == (
            f'thinking:\n[tool] weather\n[user] x\n[assistant] (hm) Sure.  {call_id}:weather{{"a": 1}}\n'
            f"[tool] <weather> <{call_id}> 11 degrees\n[assistant]"
        )


async def test_what_is_not_kept(openai):
    unknown = {"param": "previous_response_id", "code": "previous_response_not_found"}
    for name in ("resp_nope", (await openai.ok("responses", {**ASK, "store": False}))["id"]):
        status, error = await openai.error("responses", {**ASK, "previous_response_id": name})
        assert (status, {key: error[key] for key in unknown}) == (400, unknown)
        assert (await openai.error(f"responses/{name}", None))[0] == 404


async def test_a_failure_is_not_kept(openai, doubles):
    doubles.engine.error_at = 2
    text = await openai.raw("responses", ASK)
    failed = json.loads(text.rstrip().rsplit("\ndata: ", 1)[1])["response"]
    assert (await openai.error(f"responses/{failed['id']}", None))[0] == 404


async def test_retrieve_and_delete(openai):
    answer = await openai.ok("responses", {**ASK, "store": True})
    assert answer["store"] is True
    assert await openai.ok(f"responses/{answer['id']}") == answer
    response = await openai.client.delete(f"/v1/responses/{answer['id']}")
    assert await response.json() == {"id": answer["id"], "object": "response", "deleted": True}
    status, error = await openai.error(f"responses/{answer['id']}", None)
    assert (status, error["type"]) == (404, "not_found_error")
    assert (await openai.client.delete(f"/v1/responses/{answer['id']}")).status == 404


async def test_store_says_whether_the_response_is_kept(openai):
    """Unlike the reference, which keeps none (decision 8)."""
    for asked, kept in (({}, True), ({"store": None}, True), ({"store": True}, True), ({"store": False}, False)):
        answer = await openai.ok("responses", {**ASK, **asked})
        assert answer["store"] is kept
        assert (await openai.client.get(f"/v1/responses/{answer['id']}")).status == (200 if kept else 404)


@pytest.mark.parametrize("streaming", [False, True])
async def test_the_events_once_more(openai, streaming):
    sent = await openai.raw("responses", ASK)
    if not streaming:
        answer = await openai.ok("responses", ASK)
        name = answer["id"]
    else:
        name = json.loads(sent.split("\ndata: ", 1)[1].split("\n\n")[0])["response"]["id"]
    response = await openai.client.get(f"/v1/responses/{name}?stream=true")
    again = await response.text()
    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
    assert again == sent if streaming else len(again.split("\n\n")) == len(sent.split("\n\n"))
    events = [json.loads(frame.split("\ndata: ", 1)[1]) for frame in again.split("\n\n")[:-1]]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"] == await openai.ok(f"responses/{name}")
    rest = await (await openai.client.get(f"/v1/responses/{name}?stream=true&starting_after=2")).text()
    assert rest == again.split("\n\n", 3)[3]
    assert (await openai.client.get(f"/v1/responses/{name}?stream=false")).headers["Content-Type"].startswith("app")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("stream=maybe", "stream"),
        ("stream=true&starting_after=x", "starting_after"),
        ("stream=1&starting_after=-1", "starting_after"),
    ],
)
async def test_queries_of_a_response_that_are_none(openai, query, param):
    name = (await openai.ok("responses", ASK))["id"]
    status, error = await openai.error(f"responses/{name}?{query}", None)
    assert (status, error["param"]) == (400, param)


async def test_what_a_response_answered(openai):
    asked = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}", "status": None},
        {"type": "function_call_output", "call_id": "c", "output": "4"},
    ]
    name = (await openai.ok("responses", {**ASK, "input": asked}))["id"]
    page = await openai.ok(f"responses/{name}/input_items?order=asc")
    assert (page["object"], page["has_more"], len(page["data"])) == ("list", False, 4)
    assert [item["type"] for item in page["data"]] == ["message", "message", "function_call", "function_call_output"]
    assert page["data"][0]["content"] == [{"type": "input_text", "text": "a"}]
    assert page["data"][1]["content"] == [{"type": "output_text", "text": "b"}]
    assert [item["status"] for item in page["data"]] == ["completed"] * 4
    ids = [item["id"] for item in page["data"]]
    assert (page["first_id"], page["last_id"], ids[2]) == (ids[0], ids[-1], "fc_1")
    newest = await openai.ok(f"responses/{name}/input_items?limit=3")
    assert ([item["id"] for item in newest["data"]], newest["has_more"]) == (ids[:0:-1], True)
    last = await openai.ok(f"responses/{name}/input_items?limit=3&after={newest['last_id']}")
    assert ([item["id"] for item in last["data"]], last["has_more"]) == (ids[:1], False)
    after = await openai.ok(f"responses/{name}/input_items?after={ids[0]}")
    assert after == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


async def test_what_a_response_answered_begins_with_what_it_continues(openai):
    first = await openai.ok("responses", ASK)
    second = await openai.ok("responses", {**ASK, "input": "y", "previous_response_id": first["id"]})
    page = await openai.ok(f"responses/{second['id']}/input_items?order=asc")
    assert [item["content"][0]["text"] for item in page["data"]] == ["x", "Hello!", "y"]
    assert page["data"][1] == first["output"][0]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up", "after=nope"])
async def test_pages_that_are_none(openai, query):
    name = (await openai.ok("responses", ASK))["id"]
    status, error = await openai.error(f"responses/{name}/input_items?{query}", None)
    assert (status, error["param"]) == (400, query.split("=")[0])
    assert (await openai.error("responses/nope/input_items", None))[0] == 404


async def test_tokens_of_an_input(openai):
    answer = await openai.ok("responses", {**ASK, "instructions": "be kind"})
    counted = await openai.ok("responses/input_tokens", {**ASK, "instructions": "be kind"})
    assert counted == {"object": "response.input_tokens", "input_tokens": answer["usage"]["input_tokens"]}
    more = {**ASK, "input": "y", "previous_response_id": answer["id"]}
    assert (await openai.ok("responses/input_tokens", more))["input_tokens"] == (await openai.ok("responses", more))[
        "usage"
    ]["input_tokens"]
    assert (await openai.error("responses/input_tokens", {**ASK, "conversation": "c"}))[1]["param"] == "conversation"


async def test_compaction_is_refused_by_name(openai):
    status, error = await openai.error("responses/compact", ASK)
    assert (status, "nothing is compacted here" in error["message"]) == (404, True)


async def test_nothing_may_be_kept(make_kernel, plugins, tables, settings):
    from aiohttp.test_utils import TestClient, TestServer

    from corral.server import build_app
    from corral.testing import doubles as doubles_module

    tables = {**tables, "openai_api": {"kept_responses": 0}}
    kernel = await make_kernel([doubles_module.Plugin, *plugins], tables, **settings)
    async with TestClient(TestServer(build_app(kernel))) as client:
        response = await client.post("/v1/responses", json={**ASK, "previous_response_id": "resp_1"})
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (400, "unsupported_parameter")


def blank(name):
    return Response(id=name, created_at=0, model="m", text={})


def test_the_oldest_are_forgotten(monkeypatch):
    said = (Message(role="user", content="y" * 1000, images=(b"z" * 1000,)),)
    kept = Memory(2)
    for name in "abc":
        kept.keep(blank(name), said, [], [])
    assert list(kept._kept) == ["b", "c"]
    monkeypatch.setattr(memory_module, "_MOST_BYTES", 4000)
    kept.keep(blank("d"), said, [], [])
    assert list(kept._kept) == ["d"]
    monkeypatch.setattr(memory_module, "_MOST_BYTES", 2000)
    assert not kept.keep(blank("e"), said, [], [])
    assert list(kept._kept) == ["d"]
    kept.forget("d")
    assert kept._size_bytes == 0


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_response_too_large_to_keep_says_so_and_others_stay(openai, monkeypatch, streaming):
    monkeypatch.setattr(memory_module, "_MOST_BYTES", 20_000)
    first = (await openai.ok("responses", ASK))["id"]
    large = {**ASK, "metadata": {"x": "x" * 30_000}}
    if streaming:
        events = (await openai.raw("responses", large)).rstrip().split("\n\n")
        told = [json.loads(event.split("data: ", 1)[1]) for event in events]
        assert [event["sequence_number"] for event in told] == list(range(len(told)))
        answer = told[-1]["response"]
    else:
        answer = await openai.ok("responses", large)
    assert (answer["status"], answer["store"]) == ("completed", False)
    assert (await openai.error(f"responses/{answer['id']}", None))[0] == 404
    more = await openai.ok("responses", {**ASK, "previous_response_id": first})
    assert more["store"] is True


async def test_numbers_of_any_length_are_remembered(openai, doubles):
    answer = await openai.ok("responses", {**ASK, "metadata": {"n": 165255652724209156096}, "text": {"x": 10**30}})
    assert (await prompt(openai, doubles, input="y", previous_response_id=answer["id"]))[1].count("[user]") == 2
