"""A scripted server, and the command line as a function."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from corral.__main__ import main
from corral.plugins import Found
from corral_cli.plugin import Plugin

Reply = Any  # a JSON value, a list of NDJSON objects, an Exception with a status, or a function of the body


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FakeServer(ThreadingHTTPServer):
    """Answers by `"METHOD /path"` and remembers what it was asked, without liveness checks."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: dict[str, Reply] = {}
        self.asked: list[tuple[str, Any]] = []
        self.agents: set[str] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def bodies(self, key: str) -> list[Any]:
        """The bodies of all requests to one route."""
        return [body for asked, body in self.asked if asked == key]


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def do_HEAD(self) -> None:
        self._answer(200, b"")

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def _handle(self, method: str) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_blob = self.path.startswith("/api/blobs/")
        body = data if is_blob else json.loads(data or b"null")
        key = f"{method} {'/api/blobs' if is_blob else self.path}"
        self.server.asked.append((key if not is_blob else f"{method} {self.path}", body))
        self.server.agents.add(self.headers["User-Agent"])
        reply = self.server.replies.get(key, Refusal(404, f"no reply for {key}"))
        if callable(reply):
            reply = reply(body)
        if isinstance(reply, Refusal):
            self._answer(reply.status, json.dumps({"error": str(reply)}).encode())
        elif isinstance(reply, list):
            self._answer(200, b"".join(json.dumps(item).encode() + b"\n" for item in reply))
        else:
            self._answer(200, b"" if reply is None else json.dumps(reply).encode())

    def _answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server in a thread."""
    with FakeServer() as fake:
        thread = threading.Thread(target=fake.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        fake.shutdown()
        thread.join()


@pytest.fixture
def corral(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., int]:
    """`corral(*argv)`: one command line against `server`, with no plugin but this one; the exit code."""
    home = tmp_path_factory.mktemp("home")
    for name in ("CORRAL_HOST", "CORRAL_CONFIG", "XDG_CONFIG_HOME", "OLLAMA_NOHISTORY", "CORRAL_NOHISTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OLLAMA_HOST", server.address)
    found = [Found("cli", "corral 0", lambda: Plugin, built_in=True)]
    monkeypatch.setattr("corral.kernel.discover", lambda: found)

    def call(*argv: str) -> int:
        monkeypatch.setattr("sys.argv", ["corral", *argv])
        return main()

    return call
