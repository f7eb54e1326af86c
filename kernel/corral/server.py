"""The gate: HTTP in, bytes out; errors become statuses before the first byte and data after it."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware as AiohttpMiddleware

from corral import errors
from corral.errors import CorralError
from corral.log import get_logger
from corral.protocols import Handler, Middleware, Routes

if TYPE_CHECKING:
    from corral.kernel import Kernel

KERNEL: "web.AppKey[Kernel]" = web.AppKey("kernel")
FACTS = web.RequestKey("facts", dict)  # what a dialect adds to the request's log line
HEADERS = web.RequestKey("headers", dict)  # what a middleware adds to whatever answer goes out, streams included
STATUS: dict[type[CorralError], int] = {
    CorralError: 500,
    errors.BadRequest: 400,
    errors.Forbidden: 403,
    errors.ModelNotFound: 404,
    errors.Busy: 503,
}
SLOW_READER_S = 120.0  # a client that takes nothing for this long is treated as gone


def status_of(error: CorralError) -> int:
    """The HTTP status of an error: that of its nearest ancestor in STATUS."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def build_app(kernel: "Kernel") -> web.Application:
    """The application with every dialect's routes, each wrapped by the gate.  Raises PluginError on a double route."""
    app = web.Application(client_max_size=0, middlewares=[_frame, *map(_wrapper, kernel.middlewares.values())])
    app[KERNEL] = kernel
    app.on_response_prepare.append(_add_headers)
    owners: dict[tuple[str, str], str] = {}
    for dialect in kernel.routes.values():
        for route in dialect.table(kernel):
            key = (route.method, route.path)
            if key in owners:
                raise errors.PluginError(f"{key[0]} {key[1]} is served by both {owners[key]!r} and {dialect.name!r}")
            owners[key] = dialect.name
            app.router.add_route(route.method, route.path, gated(route.handler, dialect))
    return app


def _wrapper(middleware: Middleware) -> AiohttpMiddleware:
    """As a plain function: aiohttp marks what it is given, and a bound method cannot be marked."""

    @web.middleware
    async def wrap(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await middleware.wrap(request, handler)

    return wrap


async def _add_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers.update(request.get(HEADERS, {}))


def gated(handler: Handler, dialect: Routes) -> Handler:
    """Render what `handler` raises before the first byte in the dialect's own shape."""

    async def gate(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except CorralError as err:
            return _error_response(request, dialect, err)
        except (asyncio.CancelledError, ConnectionResetError, web.HTTPException):
            raise
        except Exception:
            return _error_response(request, dialect, _unexpected())

    return gate


def _unexpected() -> CorralError:
    """Logs the exception being handled; the client is told no more than that there was one."""
    get_logger("gate").exception("request.failed")
    return CorralError("internal error: see the server's log")


def _error_response(request: web.Request, dialect: Routes, err: CorralError) -> web.Response:
    status = status_of(err)
    request[FACTS]["error"] = err.code
    body = dialect.render_error(err, status)
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8")


@web.middleware
async def _frame(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Outermost of all: the request's id, its one log line, plain-text 404 and 405."""
    began = time.perf_counter()
    request[FACTS], request[HEADERS] = {}, {}
    structlog.contextvars.bind_contextvars(request_id=uuid.uuid4().hex[:12])
    status = 499  # the client left
    try:
        response = await handler(request)
        status = response.status
        return response
    except web.HTTPException as err:
        status = err.status
        if status not in (404, 405):
            raise
        text = "404 page not found" if status == 404 else "405 method not allowed"
        allow = {"Allow": err.headers["Allow"]} if "Allow" in err.headers else None
        return web.Response(status=status, text=text, headers=allow)
    finally:
        total_ms = round((time.perf_counter() - began) * 1e3, 1)
        about = {"method": request.method, "path": request.path, "status": status, "total_ms": total_ms}
        get_logger("http").info("request.finished", **about, **request[FACTS])
        structlog.contextvars.clear_contextvars()


async def stream(
    request: web.Request,
    frames: AsyncGenerator[bytes, None],
    *,
    content_type: str,
    late_error: Callable[[CorralError], bytes],
) -> web.StreamResponse:
    """Send `frames` as they come.  What fails before the first is raised (a status), later it is `late_error` data.

    A client that left, or that takes nothing for SLOW_READER_S, closes `frames`, which cancels the work behind it.
    """
    async with aclosing(frames):
        first = await anext(frames, b"")
        response = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": "no-cache"})
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
            await _write(response, first)
            try:
                async for frame in frames:
                    await _write(response, frame)
            except (ConnectionResetError, TimeoutError):
                raise
            except Exception as err:  # what is not ours to raise is told as data too: the status is gone
                known = err if isinstance(err, CorralError) else _unexpected()
                request[FACTS]["error"] = known.code
                await _write(response, late_error(known))
            await response.write_eof()
        except (ConnectionResetError, TimeoutError):
            request[FACTS]["client"] = "gone"
    return response


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(SLOW_READER_S):
        await response.write(data)


@asynccontextmanager
async def serving(kernel: "Kernel", host: str, port: int) -> AsyncIterator[list[tuple[str, int]]]:
    """Listen while the block runs; yields the bound addresses.  On the way out streams get a short grace to end.

    Raises OSError when the address cannot be bound.  An empty host means all interfaces, port 0 any free one.
    """

    async def end_streams(_: web.Application) -> None:
        await kernel.pool.end_generations()

    app = build_app(kernel)
    app.on_shutdown.append(end_streams)  # runs once the listener is closed, before the grace begins
    runner = web.AppRunner(
        app, handler_cancellation=True, access_log=None, shutdown_timeout=2, keepalive_timeout=75, auto_decompress=False
    )  # bodies come as they were sent: `corral_http` unpacks them
    async with AsyncExitStack() as stack:
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, host or None, port)
        await site.start()
        yield [(address[0], address[1]) for address in runner.addresses]
