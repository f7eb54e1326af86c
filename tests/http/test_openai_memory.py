"""Responses that continue others: `previous_response_id`, retrieval, and what is forgotten."""

import json

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
        kept.keep(blank(name), said)
    assert list(kept._kept) == ["b", "c"]
    monkeypatch.setattr(memory_module, "_MOST_BYTES", 4000)
    kept.keep(blank("d"), said)
    assert list(kept._kept) == ["d"]
    kept.forget("d")
    assert kept._size_bytes == 0


async def test_numbers_of_any_length_are_remembered(openai, doubles):
    answer = await openai.ok("responses", {**ASK, "metadata": {"n": 165255652724209156096}, "text": {"x": 10**30}})
    assert (await prompt(openai, doubles, input="y", previous_response_id=answer["id"]))[1].count("[user]") == 2
