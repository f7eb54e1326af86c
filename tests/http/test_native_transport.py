"""Rows 1-11 and 70 of the native API's checklist: transport, bodies, errors."""

import gzip

import pytest

POSTS = ("show", "copy", "generate", "chat", "embed", "embeddings", "create", "pull", "push", "tokenize", "detokenize")
POSTS += ("experimental/web_search", "experimental/web_fetch")
JSON_ROUTES = [*(("POST", path) for path in POSTS), ("DELETE", "delete")]


async def test_row_01_alive(api):
    for method in ("GET", "HEAD"):
        response = await api.client.request(method, "/")
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert await response.text() == ("Ollama is running" if method == "GET" else "")


@pytest.mark.parametrize("path", ["/api/version", "/api/tags"])
async def test_row_02_version_and_tags_have_head(api, path):
    assert (await api.client.get(path)).status == 200
    head = await api.client.head(path)
    assert head.status == 200
    assert await head.text() == ""


async def test_row_02_version_is_a_version(api):
    version = (await (await api.client.get("/api/version")).json())["version"]
    assert [part.isdigit() for part in version.split(".")] == [True] * 3


async def test_row_03_unknown_path_and_wrong_method(api):
    missing = await api.client.get("/api/nothing")
    assert (missing.status, await missing.text()) == (404, "404 page not found")
    wrong = await api.client.get("/api/chat")
    assert (wrong.status, await wrong.text()) == (405, "405 method not allowed")
    assert wrong.headers["Allow"] == "POST"


@pytest.mark.parametrize("header", [{}, {"Content-Type": "application/x-www-form-urlencoded"}])
async def test_row_04_content_type_does_not_matter(api, header):
    body = b'{"model":"m","prompt":"x","stream":false}'
    response = await api.client.post("/api/generate", data=body, headers=header, skip_auto_headers=["Content-Type"])
    assert (await response.json())["response"] == "Hello!"


async def test_row_05_empty_body(api):
    for method, path in JSON_ROUTES:
        for body in (b"", b" \n"):
            response = await api.client.request(method, f"/api/{path}", data=body)
            assert (response.status, await response.json()) == (400, {"error": "missing request body"})


MALFORMED = [
    b"{",
    b'{"model":',
    b"x",
    b"[]",
    b'"text"',
    b"[" * 100_000,
    b'{"a":NaN}',
    b'{"a":1e400}',
    b'{"a":9' + b"9" * 5000,
]


async def test_row_06_malformed_json(api):
    for method, path in JSON_ROUTES:
        for body in MALFORMED:
            response = await api.client.request(method, f"/api/{path}", data=body)
            assert response.status == 400
            assert isinstance((await response.json())["error"], str)


@pytest.mark.parametrize(
    ("body", "text"),
    [(b'{"model":', "unexpected EOF"), (b'{"model":"m', "unexpected EOF"), (b"<html>", "invalid character '<'")],
)
async def test_row_06_texts(api, body, text):
    response = await api.client.post("/api/chat", data=body)
    assert (await response.json())["error"].startswith(text)


WRONG_TYPES = [
    {"messages": "hi"},
    {"messages": [{"content": ["x"]}]},
    {"messages": ["hi"]},
    {"model": 5},
    {"stream": "yes"},
    {"options": []},
    {"tools": [5]},
    {"tools": [{"function": {"parameters": "x"}}]},
    {"messages": [{"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]},
    {"top_logprobs": "x"},
]


async def test_row_06_wrong_types(api):
    for wrong in WRONG_TYPES:
        status, text = await api.error("chat", {"model": "m", **wrong})
        assert status == 400
        assert text.startswith("json: Expected")


async def test_row_06_nesting_is_bounded(api):
    for depth, status in ((150, 200), (300, 400), (100_000, 400)):
        body = b'{"model":"m","x":' + b"[" * depth + b"]" * depth + b"}"
        assert (await api.client.post("/api/generate", data=body)).status == status


async def test_row_06_body_is_bounded(make_kernel, plugins, tables, settings):
    from aiohttp.test_utils import TestClient, TestServer

    from corral.server import build_app
    from corral.testing import doubles

    kernel = await make_kernel(
        [doubles.Plugin, *plugins], {**tables, "native_api": {"max_body_bytes": 1000}}, **settings
    )
    server = TestServer(build_app(kernel))
    await server.start_server(auto_decompress=False)
    async with TestClient(server) as client:
        long = b'{"prompt":"' + b"x" * 2000 + b'"}'
        skipped = (0x184D2A50).to_bytes(4, "little") + (2000).to_bytes(4, "little") + bytes(2000)  # a frame of no data
        for coding, body in (("", long), ("gzip", gzip.compress(long)), ("zstd", skipped)):
            response = await client.post("/api/generate", data=body, headers={"Content-Encoding": coding})
            assert response.status == 400
            assert "larger than 1000 bytes" in (await response.json())["error"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_row_06_a_broken_content_coding(api, coding):
    response = await api.client.post("/api/generate", data=b"not packed at all", headers={"Content-Encoding": coding})
    assert response.status == 400


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, br"])
async def test_a_content_coding_that_is_not_known(api, coding):
    response = await api.client.post("/api/generate", data=b"x", headers={"Content-Encoding": coding})
    assert response.status == 400
    text = f"Content-Encoding {coding!r} is not supported: send the body as it is, or in gzip, deflate, zstd"
    assert await response.json() == {"error": text}


async def test_row_07_unknown_fields_and_options(api):
    body = {"model": "m", "prompt": "x", "nonsense": {"a": 1}, "options": {"no_such": 1, "num_gpu": 3, "numa": True}}
    assert (await api.ok("generate", body))["response"] == "Hello!"


async def test_row_07_keys_in_any_case_and_nulls(api):
    body = {"Model": "m", "PROMPT": "x", "options": None, "think": None, "format": None, "keep_alive": None}
    assert (await api.ok("generate", {**body, "system": None, "context": None}))["response"] == "Hello!"


async def test_row_07_only_the_first_value_is_read(api):
    response = await api.client.post("/api/generate", data=b'{"model":"m","prompt":"x","stream":false} {"junk" \xff')
    assert (await response.json())["response"] == "Hello!"


async def test_row_07_null_body_is_an_empty_object(api):
    response = await api.client.post("/api/generate", data=b"null")
    assert (response.status, await response.json()) == (404, {"error": "model '' not found"})


async def test_row_07_text_that_is_not_unicode(api, doubles):
    for text in (b'"\\ud800 x"', b'"\xff x"'):
        body = b'{"model":"m","raw":true,"stream":false,"prompt":' + text + b"}"
        assert (await api.client.post("/api/generate", data=body)).status == 200
        assert bytes(doubles.engine.jobs[-1].token_ids).decode() == "\ufffd x"


async def test_row_08_streams_by_default(api):
    for body in ({}, {"stream": None}, {"stream": True}):
        lines = await api.lines("generate", {"model": "m", "prompt": "x", **body})
        assert "".join(line["response"] for line in lines) == "Hello!"
        assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
        lines = await api.lines("chat", {"model": "m", "messages": [{"role": "user", "content": "x"}], **body})
        assert "".join(line["message"]["content"] for line in lines) == "Hello!"
        assert all(line["message"]["role"] == "assistant" for line in lines)


async def test_row_09_one_object(api):
    generated = await api.ok("generate", {"model": "m", "prompt": "x"})
    assert (generated["response"], generated["done"], generated["done_reason"]) == ("Hello!", True, "stop")
    chatted = await api.ok("chat", {"model": "m", "messages": [{"role": "user", "content": "x"}]})
    assert chatted["message"] == {"role": "assistant", "content": "Hello!"}
    assert "response" not in chatted
    assert "context" not in chatted


async def test_row_10_an_early_error_is_a_status(api, doubles):
    doubles.engine.error_at = 0
    for streaming in (True, False):
        assert await api.error("generate", {"model": "m", "prompt": "x", "stream": streaming}) == (
            500,
            "the script says so",
        )


async def test_row_11_a_late_error_is_a_line(api, doubles):
    doubles.engine.error_at = 3
    for path, body in (("generate", {"prompt": "x"}), ("chat", {"messages": [{"role": "user", "content": "x"}]})):
        *parts, last = await api.lines(path, {"model": "m", **body})
        assert len(parts) == 3
        assert last == {"error": "the script says so"}
        assert not any(line["done"] for line in parts)
    assert await api.error("generate", {"model": "m", "prompt": "x", "stream": False}) == (500, "the script says so")


async def test_row_11_a_fault_of_ours_is_a_line_too(api, doubles):
    doubles.engine.error_at, doubles.engine.error = 2, RuntimeError("a bug")
    *parts, last = await api.lines("generate", {"model": "m", "prompt": "x"})
    assert len(parts) == 2
    assert last == {"error": "internal error: see the server's log"}


async def test_row_70_the_model_is_echoed_as_asked(api):
    for name in ("m", "M:latest", "library/m", " m "):
        assert (await api.ok("generate", {"model": name, "prompt": "x"}))["model"] == name
        assert (await api.ok("embed", {"model": name, "input": "x"}))["model"] == name


async def test_created_at_is_utc_with_at_most_nine_digits(api):
    import re

    created = (await api.ok("generate", {"model": "m", "prompt": "x"}))["created_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", created)
