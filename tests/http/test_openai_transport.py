"""Rows 1-4, 44, 46 and 47 of the OpenAI API's checklist: keys, bodies, errors, clients that leave."""

import asyncio

import pytest

USER = {"role": "user", "content": "x"}
ASK = {"model": "m", "messages": [USER]}


@pytest.mark.parametrize("key", [None, "Bearer ollama", "Bearer sk-x", "Basic eA=="])
async def test_row_01_any_key(openai, key):
    headers = {"Authorization": key} if key else {}
    await openai.ok("chat/completions", ASK, headers=headers)


async def test_row_02_error_bodies(openai, doubles):
    assert await openai.error("chat/completions", {**ASK, "model": "nope"}) == (
        404,
        {"message": "model 'nope' not found", "type": "not_found_error", "param": None, "code": None},
    )
    assert await openai.error("chat/completions", {**ASK, "model": "a b"}) == (
        400,
        {"message": "invalid model name", "type": "invalid_request_error", "param": None, "code": None},
    )
    doubles.engine.error_at = 0
    assert await openai.error("chat/completions", ASK) == (
        500,
        {"message": "the script says so", "type": "api_error", "param": None, "code": None},
    )


async def test_every_answer_names_its_request(openai):
    ids = set()
    for method, path, body in (
        ("POST", "chat/completions", ASK),
        ("POST", "chat/completions", {**ASK, "stream": True}),
        ("POST", "chat/completions", {**ASK, "model": "nope"}),
        ("POST", "embeddings", {}),
        ("GET", "models", None),
        ("GET", "models/nope", None),
    ):
        response = await openai.client.request(method, f"/v1/{path}", json=body)
        ids.add(response.headers["x-request-id"])
    assert len(ids) == 6
    assert all(each.startswith("req_") for each in ids)


@pytest.mark.parametrize("body", [b"", b" ", b"{", b"x", b"[]", b'"x"', b'{"a":NaN}', b"[" * 10_000])
async def test_row_03_bodies_that_are_none(openai, body):
    for path in ("chat/completions",):
        response = await openai.client.post(f"/v1/{path}", data=body)
        assert response.status == 400
        error = (await response.json())["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", None)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"model": 5}, "model"),
        ({"messages": "x"}, "messages"),
        ({"messages": [{"role": 5}]}, "messages[0].role"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 5}}, "stream_options.include_usage"),
        ({"n": 1.5}, "n"),
        ({"options": []}, "options"),
        ({"keep_alive": []}, "keep_alive"),
    ],
)
async def test_row_03_wrong_types_are_named(openai, wrong, param):
    status, error = await openai.error("chat/completions", {**ASK, **wrong})
    assert (status, error["param"], error["code"]) == (400, param, "invalid_type")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [({"seed": 2**70}, "seed"), ({"max_tokens": 2**70}, "max_tokens"), ({"options": {"top_k": "x"}}, "top_k")],
)
async def test_row_03_options_are_named(openai, wrong, param):
    status, error = await openai.error("chat/completions", {**ASK, **wrong})
    assert (status, error["param"], error["code"]) == (400, param, "invalid_value")


async def test_row_03_types_inside_tools_are_named(openai):
    tool = {"type": "function", "function": {"name": "f", "parameters": "x"}}
    status, error = await openai.error("chat/completions", {**ASK, "tools": [tool]})
    assert (status, error["param"], error["code"]) == (400, "tools[0].function.parameters", "invalid_type")
    assert error["message"] == "json: Expected `object`, got `str` - at `$.tools[0].function.parameters`"
    form = {"model": "m", "input": "x", "text": {"format": {"type": 5}}}
    assert (await openai.error("responses", form))[1]["param"] == "text.format.type"


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
async def test_no_tokens_at_all_are_refused(openai, path):
    body = {"model": "m", "messages": [USER], "input": "x"}
    names = ("max_tokens", "max_completion_tokens") if path == "chat/completions" else ("max_output_tokens",)
    for name in names:
        status, error = await openai.error(path, {**body, name: 0})
        assert (status, error["param"], error["code"]) == (400, name, "integer_below_min_value")
        assert (await openai.ok(path, {**body, name: -1}))["usage"]["total_tokens"] > 0


async def test_a_bias_for_a_token_that_is_not_there(openai):
    status, error = await openai.error("chat/completions", {**ASK, "logit_bias": {"258": 1}})
    assert (status, error["param"]) == (400, "logit_bias")
    assert error["message"] == 'option "logit_bias": token id 258 is not in the vocabulary of 258 tokens'
    await openai.ok("chat/completions", {**ASK, "logit_bias": {"257": 1}})


async def test_row_04_what_is_missing(openai):
    for messages in ([], None):
        status, error = await openai.error("chat/completions", {"model": "m", "messages": messages})
        assert (status, error["message"]) == (400, "[] is too short - 'messages'")
    for model in ("", None, " "):
        status, error = await openai.error("chat/completions", {"messages": [USER], "model": model})
        assert (status, error["message"]) == (400, "model is required")
    await openai.add("e", weights={"capabilities": ["embedding"]})
    status, error = await openai.error("chat/completions", {**ASK, "model": "e"})
    assert (status, error["message"]) == (400, '"e" does not support chat')
    tool = {"type": "function", "function": {"name": "f"}}
    status, error = await openai.error("chat/completions", {**ASK, "tools": [tool]})
    assert (status, error["message"]) == (400, "registry.ollama.ai/library/m:latest does not support tools")


async def test_too_long_a_prompt(openai, doubles):
    await openai.add("c", weights={"context_length": 40})
    long = {"model": "c", "messages": [{"role": "user", "content": "y" * 100}]}
    for streaming in (False, True):
        status, error = await openai.error("chat/completions", {**long, "stream": streaming})
        assert (status, error["code"], error["type"]) == (400, "context_length_exceeded", "invalid_request_error")
        assert error["param"] == "messages"
        assert "126 tokens" in error["message"]
    answer = await openai.ok("chat/completions", {**long, "truncate": True})
    assert answer["truncated"]["prompt_tokens"] == 126
    assert answer["usage"]["prompt_tokens"] == answer["truncated"]["kept_tokens"]
    chunks = await openai.chunks("chat/completions", {**long, "truncate": True})
    assert chunks[-1]["truncated"] == answer["truncated"]
    assert not any("truncated" in chunk for chunk in chunks[:-1])


async def test_the_context_ends_an_answer(openai, doubles):
    doubles.engine.reply = lambda job: b"yz" * 250
    answer = await openai.ok("chat/completions", ASK)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] == 256


async def test_row_44_an_early_error_is_a_status(openai, doubles):
    doubles.engine.error_at = 0
    assert (await openai.error("chat/completions", {**ASK, "stream": True}))[0] == 500


async def test_row_44_a_late_error_is_an_event(openai, doubles):
    doubles.engine.error_at = 3
    *parts, last, rest = (await openai.raw("chat/completions", ASK)).split("\n\n")
    assert len(parts) == 3
    assert last == 'data: {"error":{"message":"the script says so","type":"api_error","param":null,"code":null}}'
    assert rest == ""


async def test_row_47_a_client_that_leaves(openai, doubles):
    doubles.engine.reply = lambda job: b"yz" * 100
    doubles.engine.pause_at = 2
    for body in (ASK, {**ASK, "n": 3}):
        doubles.engine.paused.clear()
        response = await openai.client.post("/v1/chat/completions", json={**body, "stream": True})
        await response.content.readline()
        await doubles.engine.paused.wait()
        async with asyncio.timeout(5):
            while doubles.engine.active < body.get("n", 1):  # noqa: ASYNC110  # all pause, and the first alone is told
                await asyncio.sleep(0.01)
            response.close()
            for _ in range(body.get("n", 1)):
                assert await doubles.engine.endings.get() == "cancelled"
    assert doubles.engine.active == 0


async def test_row_47_a_full_queue(make_kernel, plugins, tables, settings):
    from aiohttp.test_utils import TestClient, TestServer

    from corral.server import build_app
    from corral.testing import doubles as doubles_module
    from corral.testing.fake_weights import fake_weights
    from corral.testing.models import add_model

    kernel = await make_kernel([doubles_module.Plugin, *plugins], tables, **{**settings, "max_queue": 1})
    engine = kernel.plugins.manager.get_plugin("doubles").engine
    for name in "ab":
        await add_model(kernel, name, fake_weights(architecture=name), template="plain")
    engine.may_load.clear()
    async with TestClient(TestServer(build_app(kernel))) as client:
        waiting = asyncio.ensure_future(client.post("/v1/chat/completions", json={**ASK, "model": "a"}))
        await engine.loading.wait()
        refused = await client.post("/v1/chat/completions", json={**ASK, "model": "b"})
        assert refused.status == 503
        text = "server busy, please try again.  maximum pending requests exceeded"
        assert await refused.json() == {"error": {"message": text, "type": "api_error", "param": None, "code": None}}
        engine.may_load.set()
        assert (await waiting).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/moderations", 404), ("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/models/m", 405)],
)
async def test_what_is_not_served_is_told_in_the_dialects_shape(openai, method, path, status):
    response = await openai.client.request(method, path, json={})
    assert (response.status, response.content_type) == (status, "application/json")
    error = (await response.json())["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert path in error["message"]
    if status == 405:
        assert response.headers["Allow"] in ("POST", "GET,HEAD", "GET")
    response = await openai.client.request(method, path.replace("/v1/", "/api/"), json={})
    assert response.content_type == "text/plain"


async def test_row_46_a_coding_that_is_not_known(openai):
    response = await openai.client.post("/v1/chat/completions", data=b"x", headers={"Content-Encoding": "br"})
    error = (await response.json())["error"]
    assert (response.status, error["type"]) == (400, "invalid_request_error")
    assert error["message"].startswith("Content-Encoding 'br' is not supported")


@pytest.mark.parametrize("coding", ["zstd", "gzip"])
async def test_row_46_a_packed_body(openai, coding):
    import gzip
    import json
    import sys

    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    data = json.dumps(ASK).encode()
    packed = zstd.compress(data) if coding == "zstd" else gzip.compress(data)
    headers = {"Content-Encoding": coding}
    response = await openai.client.post("/v1/chat/completions", data=packed, headers=headers)
    assert response.status == 200, await response.text()
    response = await openai.client.post("/v1/chat/completions", data=b"not packed", headers=headers)
    assert response.status == 400
    assert (await response.json())["error"]["type"] == "invalid_request_error"
