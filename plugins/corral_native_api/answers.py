"""From pieces to lines or to one object: the same for generate and chat, only the shape differs."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace

from corral import ChatRequest, CorralError, Piece, StoredModel
from corral.server import FACTS, KERNEL, stream
from corral_http.pieces import merged
from corral_native_api.chunks import DebugWire, ErrorWire, Shape, line, numbered, reply

NDJSON = "application/x-ndjson"


def error_line(error: CorralError) -> bytes:
    """An error after the first line."""
    return line(ErrorWire(error=error.message))


async def answer(
    request: web.Request, typed: ChatRequest, shown: str, shape: Shape, *, streaming: bool
) -> web.StreamResponse:
    """Run `typed` and send what comes; `shown` is the model as the client wrote it."""
    if streaming:
        lines = _lines(request, typed, shown, shape)
        return await stream(request, lines, content_type=NDJSON, late_error=error_line)
    async with aclosing(request.app[KERNEL].pipeline.chat(typed)) as pieces:
        whole = merged([piece async for piece in pieces])
    _note(request, shown, whole)
    return reply(shape(shown, whole, numbered(whole.tool_calls)))


async def _lines(request: web.Request, typed: ChatRequest, shown: str, shape: Shape) -> AsyncGenerator[bytes, None]:
    began, n_calls = time.perf_counter(), 0
    async with aclosing(request.app[KERNEL].pipeline.chat(typed)) as pieces:
        async for piece in pieces:
            if not (piece.text or piece.thinking or piece.tool_calls or piece.logprobs or piece.done_reason):
                continue
            request[FACTS].setdefault("ttft_ms", round((time.perf_counter() - began) * 1e3, 1))
            calls = numbered(piece.tool_calls, n_calls)
            n_calls += len(calls)
            _note(request, shown, piece)
            yield line(shape(shown, piece, calls))


def _note(request: web.Request, shown: str, piece: Piece) -> None:
    """Facts for the request's log line."""
    if piece.usage is not None:
        request[FACTS].update(model=shown, done_reason=piece.done_reason, **piece.usage.facts)


async def unload(request: web.Request, model: StoredModel, shown: str, shape: Shape) -> web.Response:
    """Expire the model after the requests that hold it; nothing happens when it is not loaded."""
    await request.app[KERNEL].pool.unload(model)
    return reply(shape(shown, Piece(done_reason="unload"), ()))


async def load(request: web.Request, typed: ChatRequest, model: StoredModel, shown: str, shape: Shape) -> web.Response:
    """Check that the model can do what is asked of it, load it and set its keep-alive."""
    pipeline = request.app[KERNEL].pipeline
    ready, _ = await pipeline.prepare(typed, model)
    await pipeline.load(model, typed.keep_alive_s, ready.options.num_ctx)
    return reply(shape(shown, Piece(done_reason="load"), ()))


async def render_only(request: web.Request, typed: ChatRequest, shown: str, shape: Shape) -> web.Response:
    """The prompt that would run, as one object even when a stream was asked for."""
    rendered = await request.app[KERNEL].pipeline.render_only(typed)
    n_images = len(typed.images) + sum(len(message.images) for message in typed.messages)
    debug = DebugWire(rendered_template=rendered.text, image_count=n_images or UNSET)
    return reply(replace(shape(shown, Piece(), ()), debug_info=debug))
