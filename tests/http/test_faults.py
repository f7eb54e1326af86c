"""Faults a client can cause, by their numbers in the list of faults: a clean answer each, and the server goes on."""

import asyncio
import contextlib
import gzip
import io
import json
import random

import pytest

from corral import server
from corral.testing.fake_weights import fake_weights
from corral.testing.models import add_model


@pytest.fixture
def talk(client):
    """`talk(bytes)`: say it on a connection of its own; all that comes back until the server closes or goes silent."""

    async def talk(*parts: bytes, wait_s: float = 0.3) -> bytes:
        reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
        heard = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(wait_s):
                while chunk := await reader.read(1 << 16):
                    heard += chunk
        await closed(writer)
        return heard

    return talk


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def alive(api):
    assert (await api.ok("generate", {"model": "m", "prompt": "x"}))["response"] == "Hello!"


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../b",
        "x" * 1_000_000,
        "a\x00b",
        "a\nb",
        "<script>",
        "\u202eevil",
        "a.",
        "a/b/c/d/e!",
        "a:b:c",
        ".",
        "~",
    ],
)
@pytest.mark.parametrize("path", ["generate", "show", "create"])
async def test_f19_names(api, path, name):
    status, text = await api.error(path, {"model": name, "from": "m", "stream": False})
    assert (status, len(text) < 10_000) == (400, True) if name != "a." else status in (400, 404)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "n": 10**9}),
        ("/v1/completions", {"prompt": "x", "best_of": 10**9}),
        ("/v1/completions", {"prompt": ["x"] * 100_000}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}] * 100_000}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "stop": ["x"] * 100_000}),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x"}], "logit_bias": {str(n): 1 for n in range(1_000_000)}},
        ),
        ("/v1/embeddings", {"input": ["x"] * 1_000_000}),
        ("/api/embed", {"input": ["x"] * 1_000_000}),
        ("/api/chat", {"messages": [{"role": "user", "content": "x"}] * 100_000}),
        ("/api/generate", {"prompt": "x", "options": {"stop": ["x"] * 100_000}}),
        ("/api/generate", {"prompt": "x", "options": {"logit_bias": {str(n): 1 for n in range(1_000_000)}}}),
    ],
)
async def test_f32_what_multiplies_work(api, doubles, path, body):
    data = io.BytesIO(json.dumps({"model": "m", "stream": False, **body}).encode())
    response = await api.client.post(path, data=data)
    assert response.status == 400
    assert len(await response.text()) < 1000
    assert doubles.engine.jobs == doubles.engine.embed_jobs == []
    await alive(api)


BOMB = gzip.compress(b'{"prompt": "' + b" " * (300 << 20) + b'"}', 1)
"""300 MiB of JSON in some 1.3 MB."""


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"model":"m","prompt":' + b"[" * 100_000, {}),
        (b'{"a":' * 100_000, {}),
        (BOMB, {"Content-Encoding": "gzip"}),
        (b"", {}),
        (b"\xff\xfe{}", {}),
        (b'{"model": "m"', {"Content-Type": "image/png"}),
    ],
)
async def test_f35_bodies(api, body, headers):
    for path in ("/api/generate", "/v1/chat/completions"):
        response = await api.client.post(path, data=io.BytesIO(body), headers=headers)
        assert response.status in (400, 413)
        assert "error" in await response.json()
    await alive(api)


async def test_f35_the_last_of_two_equal_keys_counts(api, doubles):
    response = await api.client.post("/api/generate", data=b'{"model":"x","stream":false,"prompt":"a","model":"m"}')
    assert (response.status, (await response.json())["model"]) == (200, "m")


async def test_f36_a_model_is_removed_and_made_again_while_it_works(api, kernel):
    """Every request ends in a 200, or says that the model is not there."""
    chance, seen = random.Random(1), set()

    async def work(path: str, body: dict[str, object]) -> None:
        for _ in range(60):
            response = await api.client.post(path, json={"model": "r", "stream": False, **body})
            said = await response.json()
            assert response.status == 200 or (response.status == 404 and "not found" in said["error"]), said
            seen.add((path, response.status))
            await asyncio.sleep(chance.random() / 1000)

    async def churn() -> None:
        for n in range(60):
            await add_model(kernel, "r", fake_weights(architecture=f"a{n % 3}"), template="plain")
            await asyncio.sleep(chance.random() / 500)
            await api.client.post("/api/generate", json={"model": "r", "keep_alive": 0})
            await api.client.delete("/api/delete", json={"model": "r"})

    await asyncio.gather(
        churn(),
        work("/api/generate", {"prompt": "x"}),
        work("/api/embed", {"input": ["x", "y"]}),
        work("/api/tokenize", {"content": "x"}),
        work("/api/chat", {"messages": [{"role": "user", "content": "x"}]}),
    )
    assert {status for _, status in seen} == {200, 404}
    await alive(api)


HEAD = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"Cookie: a=b\r\n" * 100_000 + b"\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_f39_headers_are_bounded(api, talk, request_bytes):
    answer = await talk(request_bytes, wait_s=2)
    assert answer == b"" or b" 400 " in answer.partition(b"\r\n")[0] + b" "
    await alive(api)


async def test_f39_a_body_in_very_small_parts(api, talk):
    body = b'{"model":"m","prompt":"x","stream":false}'
    tiny = b"".join(b"1\r\n%c\r\n" % byte for byte in body + b" " * 20_000) + b"0\r\n\r\n"
    answer = await talk(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n", tiny, wait_s=5)
    assert b" 200 " in answer
    assert b'"response":"Hello!"' in answer


async def test_f40_a_client_that_stops_reading(api, client, doubles, monkeypatch):
    monkeypatch.setattr(server, "SLOW_READER_S", 0.2)
    await api.add("big", weights={"context_length": 10**6})
    doubles.engine.reply = lambda job: b"x" * 1_000_000  # more than all buffers on the way hold
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port, limit=1 << 12)
    body = json.dumps({"model": "big", "prompt": "x", "options": {"num_ctx": 10**6}}).encode()
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    await reader.read(100)
    async with asyncio.timeout(20):
        assert await doubles.engine.endings.get() == "cancelled"
    await closed(writer)
    doubles.engine.reply = lambda job: b"Hello!"
    await alive(api)


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        HEAD + b"Content-Length: +2\r\n\r\n{}",
        HEAD + "Content-Length: ٢\r\n\r\n{}".encode(),
        HEAD + b"Content-Length: 0x2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        HEAD + b"X-A: b\r\n c: d\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"X-A : b\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /api/generate\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_f41_requests_of_two_meanings(api, talk, request_bytes):
    """Refused, and the connection is closed: nothing after them is read as a request."""
    answer = await talk(request_bytes + b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n", wait_s=2)
    assert b" 400 " in answer.partition(b"\r\n")[0] + b" "
    assert b'"version"' not in answer
    await alive(api)


async def test_f41_requests_one_after_the_other_without_waiting(talk):
    one = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = await talk(one * 3)
    assert answer.count(b"HTTP/1.1 200 OK") == answer.count(b'{"version"') == 3
