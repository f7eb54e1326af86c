"""The client: NDJSON, errors in the reference's shapes, ending a stream early."""

import asyncio
import socket
from contextlib import aclosing

import pytest

from corral import CorralError
from corral_cli.client import Client, ServerError, Unreachable

from .conftest import FakeServer, Refusal


async def test_json_errors_are_the_servers_text(server: FakeServer) -> None:
    server.replies["POST /api/show"] = Refusal(404, "model 'x:latest' not found")
    with pytest.raises(ServerError, match=r"^model 'x:latest' not found$") as caught:
        await Client(server.address).show("x")
    assert caught.value.status == 404


async def test_a_stream_refused_at_once_names_the_status(server: FakeServer) -> None:
    server.replies["POST /api/create"] = Refusal(400, "invalid model name")
    with pytest.raises(ServerError, match=r"^400 Bad Request: invalid model name$"):
        await anext(Client(server.address).stream("/api/create", {}))


async def test_an_error_inside_a_stream_is_its_text(server: FakeServer) -> None:
    server.replies["POST /api/pull"] = [{"status": "pulling manifest"}, {"error": "file does not exist"}]
    seen = []

    async def read() -> None:
        async with aclosing(Client(server.address).stream("/api/pull", {})) as answers:
            seen.append(await anext(answers))
            await anext(answers)

    with pytest.raises(ServerError, match=r"^file does not exist$"):
        await read()
    assert seen == [{"status": "pulling manifest"}]


async def test_a_server_without_the_native_api_is_not_one_without_the_model() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\n\r\n404 page not found")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        client = Client(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for asked, path in ((client.show("m"), "POST /api/show"), (client.get("/api/tags"), "GET /api/tags")):
            with pytest.raises(CorralError, match=rf"does not speak the native API \({path}: 404\): is its") as caught:
                await asked
            assert not isinstance(caught.value, ServerError)  # 404 would mean that the model may be pulled
        with pytest.raises(CorralError, match=r"\(POST /api/pull: 404\): is its plugin native_api off\?"):
            await anext(client.stream("/api/pull", {}))


async def test_a_host_that_is_not_found_names_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unreachable, match=r"^HEAD http://foo:11434/: name or service not known \(the host is that of"):
        await Client("foo:bar").is_up()


async def test_an_empty_answer_is_an_empty_object(server: FakeServer) -> None:
    server.replies["POST /api/copy"] = None
    assert await Client(server.address).post("/api/copy", {}) == {}


async def test_the_agent_is_an_ollama(server: FakeServer) -> None:
    server.replies["GET /api/tags"] = {"models": []}
    await Client(server.address).get("/api/tags")
    assert all(agent.startswith("ollama/") and "corral/" in agent for agent in server.agents)


async def test_nobody_listens() -> None:
    client = Client("127.0.0.1:1")
    assert not await client.is_up()
    with pytest.raises(Unreachable, match=r"^GET http://127\.0\.0\.1:1/api/tags: connection refused$"):
        await client.get("/api/tags")


async def test_an_answer_that_is_no_json(server: FakeServer) -> None:
    server.replies["GET /api/tags"] = ["not an object"]
    with pytest.raises(CorralError, match="not an object"):
        await Client(server.address).get("/api/tags")


@pytest.mark.parametrize(
    ("address", "host", "port", "prefix", "is_local"),
    [
        ("", "127.0.0.1", 11434, "", True),
        (":1234", "127.0.0.1", 1234, "", True),
        ("0.0.0.0", "127.0.0.1", 11434, "", True),
        ("[::]:5", "::1", 5, "", True),
        ("https://example.com/ollama/", "example.com", 443, "/ollama", False),
        ("localhost:99", "localhost", 99, "", True),
    ],
)
def test_addresses(address: str, host: str, port: int, prefix: str, is_local: bool) -> None:
    client = Client(address)
    assert (client.host, client.port, client.prefix, client.is_local) == (host, port, prefix, is_local)


@pytest.mark.parametrize("end", [b"", b'5\r\n{"a"'])
async def test_a_server_that_dies_is_no_end(end: bytes) -> None:
    """Without the last chunk a stream is cut, wherever that happens."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(b"{}"))  # what a server leaves unread makes the end a reset
        line = b'{"status":"a"}\n{"status":"b"}\n'
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b"%x\r\n%s\r\n" % (len(line), line) + end)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with aclosing(Client(f"127.0.0.1:{port}").stream("/api/create", {})) as answers:
            assert [(await anext(answers))["status"], (await anext(answers))["status"]] == ["a", "b"]
            with pytest.raises(Unreachable, match="closed the connection in the middle of its answer"):
                await anext(answers)


async def test_a_line_without_an_end(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corral_cli.client.MAX_LINE", 8)
    server.replies["POST /api/pull"] = [{"status": "longer than eight bytes"}]
    with pytest.raises(CorralError, match="a line of more than 8 bytes"):
        await anext(Client(server.address).stream("/api/pull", {}))


async def test_leaving_a_stream_ends_the_request() -> None:
    """The server sees the connection end while it is still sending; nothing waits for a thread."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b'{"response":"a"}\n')
        await writer.drain()
        while await reader.read(1024):
            pass
        gone.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with aclosing(Client(f"127.0.0.1:{port}").stream("/api/generate", {})) as answers:
            assert await anext(answers) == {"response": "a"}
            waiting = asyncio.ensure_future(anext(answers))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with asyncio.timeout(5):
            await gone.wait()
