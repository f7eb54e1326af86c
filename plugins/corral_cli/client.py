"""A client of the native API over the standard library's `http.client`: it imports in a tenth of aiohttp's time.

The blocking calls run in threads; leaving a call's block shuts its socket down, which ends the thread's work at once.
"""

import asyncio
import http.client
import json
import platform
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

from corral import API_VERSION, JSON, CorralError, JSONObject, __version__
from corral_cli.busy import Busy
from corral_http.address import split_host

MAX_LINE = 8_000_000
"""The longest NDJSON line that is read, in bytes."""
CONNECT_TIMEOUT_S = 10.0
HOST_SETTING = "the host is that of CORRAL_HOST, else of OLLAMA_HOST, else of [kernel] host"
_NO_PATH = b"404 page not found"
_READ_BYTES = 1 << 16
_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


class ServerError(CorralError):
    """The server answered with an error.  `status` is the HTTP status, 200 for an error inside a stream."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, code="server_error")
        self.status = status


class Unreachable(CorralError):
    """The connection could not be made, or broke."""

    code = "unreachable"


class Client:
    """One server.  Every method raises CorralError when it cannot be reached, ServerError for what it answers."""

    def __init__(self, address: str, busy: Busy | None = None) -> None:
        """`address` as in `OLLAMA_HOST`: "127.0.0.1:11434", "https://example.com/prefix".

        `busy` is what a server in this very process says while one waits for it.
        """
        self.busy = busy or Busy()
        self.scheme, host, self.port, self.prefix = split_host(address)
        self.host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        machine = _ARCHITECTURES.get(platform.machine(), platform.machine())
        agent = f"ollama/{API_VERSION} ({machine} {platform.system().lower()}) corral/{__version__}"
        self.headers = {"User-Agent": agent, "Accept": "application/x-ndjson, application/json"}

    @property
    def is_local(self) -> bool:
        """Whether the server is, or would be, on this machine."""
        return self.host == "localhost" or self.host == "::1" or self.host.startswith("127.")

    async def is_up(self) -> bool:
        """Whether something answers; a refusal is the one error that is not raised."""
        try:
            async with self._exchange("HEAD", "/", None, {}):
                return True
        except Unreachable as err:
            if isinstance(err.__cause__, ConnectionRefusedError):
                return False
            raise

    async def get(self, path: str) -> JSONObject:
        """One JSON object."""
        return await self._call("GET", path, None)

    async def post(self, path: str, body: JSONObject) -> JSONObject:
        """One JSON object; {} when the server answers nothing."""
        return await self._call("POST", path, body)

    async def delete(self, path: str, body: JSONObject) -> None:
        """No answer."""
        await self._call("DELETE", path, body)

    async def show(self, model: str, *, verbose: bool = False, **overlay: JSON) -> JSONObject:
        """What `/api/show` says; `overlay` (system, options) goes into the printed Modelfile."""
        return await self.post("/api/show", {"model": model, "verbose": verbose, **overlay})

    async def _call(self, method: str, path: str, body: JSONObject | None) -> JSONObject:
        async with self._exchange(method, path, _encode(body), {"Content-Type": "application/json"}) as response:
            data = await asyncio.to_thread(response.read)
            if response.status >= 400:
                raise self._refusal(method, path, data, response)
            return _decode(data) if data.strip() else {}

    async def stream(self, path: str, body: JSONObject) -> AsyncGenerator[JSONObject, None]:
        """The objects of an NDJSON answer.  Closing the generator ends the request, and with it the server's work."""
        async with self._exchange("POST", path, _encode(body), {"Content-Type": "application/json"}) as response:
            if response.status >= 400:
                data = await asyncio.to_thread(response.read)
                raise self._refusal("POST", path, data, response, f"{response.status} {response.reason}: ")
            async for line in _lines(response):
                if not line.strip():
                    continue
                answer = _decode(line)
                if error := answer.get("error"):
                    raise ServerError(str(error), 200)
                yield answer

    async def has_blob(self, digest: str) -> bool:
        """Whether the server has a blob."""
        async with self._exchange("HEAD", f"/api/blobs/{digest}", None, {}) as response:
            return response.status == 200

    async def discard(self, digest: str) -> None:
        """Take back a blob that this client has sent.  Raises ServerError when the server keeps it."""
        async with self._exchange("DELETE", f"/api/blobs/{digest}", None, {}) as response:
            data = await asyncio.to_thread(response.read)
            if response.status >= 400:
                raise ServerError(_error_text(data, response), response.status)

    async def upload(self, digest: str, path: Path, sent: Callable[[int], None]) -> bool:
        """Send a file as a blob; whether the server did not have it.

        `sent` is told (from another thread) how many bytes have left so far.
        """
        size = path.stat().st_size
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with path.open("rb") as file:
            async with self._exchange("POST", f"/api/blobs/{digest}", _Counted(file, sent), headers) as response:
                data = await asyncio.to_thread(response.read)
                if response.status >= 400:
                    raise ServerError(_error_text(data, response), response.status)
                return response.status == 201

    def _refusal(
        self, method: str, path: str, data: bytes, response: http.client.HTTPResponse, lead: str = ""
    ) -> CorralError:
        """What the server says went wrong; that it has no such path is no answer about a model."""
        if response.status == 404 and data.strip() == _NO_PATH:
            return CorralError(
                f"{self._where} does not speak the native API ({method} {path}: 404): is its plugin native_api off?",
                code="unsupported",
            )
        return ServerError(lead + _error_text(data, response), response.status)

    @property
    def _where(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.prefix}"

    @asynccontextmanager
    async def _exchange(
        self, method: str, path: str, body: "bytes | _Counted | None", headers: Mapping[str, str]
    ) -> AsyncIterator[http.client.HTTPResponse]:
        kind = http.client.HTTPSConnection if self.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.host, self.port, timeout=CONNECT_TIMEOUT_S)
        sockets: list[socket.socket] = []  # http.client forgets its socket when the server will close it

        def send() -> http.client.HTTPResponse:
            connection.connect()
            connection.sock.settimeout(None)  # an answer may take as long as it takes
            sockets.append(connection.sock)
            with suppress(BrokenPipeError, ConnectionResetError):  # a refusal may come before all of the body was read
                connection.request(method, self.prefix + path, body, {**self.headers, **headers})
            return connection.getresponse()

        try:
            yield await asyncio.to_thread(send)
        except (OSError, http.client.HTTPException) as err:
            raise Unreachable(f"{method} {self._where}{path}: {_reason(err)}") from err
        finally:
            for used in sockets:
                with suppress(OSError):
                    used.shutdown(socket.SHUT_RDWR)
            connection.close()


class _Counted:
    """A file that tells how far it has been read."""

    def __init__(self, file: IO[bytes], sent: Callable[[int], None]) -> None:
        self._file, self._sent, self._total = file, sent, 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(max(size, 1 << 20))
        self._total += len(data)
        self._sent(self._total)
        return data


async def _lines(response: http.client.HTTPResponse) -> AsyncGenerator[bytes, None]:
    """The lines of an answer.  Raises HTTPException when it ends too early, which `readline` takes for its end."""
    line = bytearray()
    while data := await asyncio.to_thread(response.read1, _READ_BYTES):
        first, *others = data.split(b"\n")
        line += first
        if len(line) > MAX_LINE:
            raise CorralError(f"the server sent a line of more than {MAX_LINE} bytes")
        for other in others:
            yield bytes(line)
            line = bytearray(other)
    yield bytes(line)


def _encode(body: JSONObject | None) -> bytes | None:
    return None if body is None else json.dumps(body, ensure_ascii=False).encode()


def _decode(data: bytes) -> JSONObject:
    try:
        answer = json.loads(data)
    except ValueError as err:
        raise CorralError(f"the server's answer is not JSON: {data[:80]!r}") from err
    if not isinstance(answer, dict):
        raise CorralError(f"the server's answer is not an object: {data[:80]!r}")
    return answer


def _error_text(data: bytes, response: http.client.HTTPResponse) -> str:
    """The `error` of an answer in the native or the OpenAI shape, else its text, else the status."""
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return str(error or data.decode(errors="replace").strip() or f"{response.status} {response.reason}")


def _reason(err: OSError | http.client.HTTPException) -> str:
    if isinstance(err, socket.gaierror):
        return f"{(err.strerror or str(err)).lower()} ({HOST_SETTING})"
    if isinstance(err, OSError):
        return (err.strerror or str(err) or type(err).__name__).lower()
    return "the server closed the connection in the middle of its answer"
