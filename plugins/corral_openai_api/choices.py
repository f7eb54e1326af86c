"""Several answers at once: each request's pieces, marked with the number of its choice, as they come."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp import web
from msgspec.structs import replace

from corral import ChatRequest, Piece, Pieces, Usage
from corral.kernel import Kernel
from corral.server import FACTS, KERNEL
from corral_http.pieces import merged

Numbered = AsyncGenerator[tuple[int, Piece], None]


def copies(typed: ChatRequest, count: int) -> list[ChatRequest]:
    """`typed` so often; a seed becomes a series of seeds, or all answers would be the same."""
    seed = typed.overrides.get("seed")
    if not isinstance(seed, int) or seed < 0:
        return [typed] * count
    return [replace(typed, overrides=typed.overrides | {"seed": seed + index}) for index in range(count)]


async def run(kernel: Kernel, requests: Sequence[ChatRequest]) -> Numbered:
    """The pieces of all requests.  The first request's prompt is computed before the others start: they may share it.

    Closing the generator, and an error in one request, stops them all.
    """
    streams = [kernel.pipeline.chat(typed) for typed in requests]
    waiting: dict[asyncio.Future[Piece | None], int] = {_next(streams[0]): 0}
    late = [*range(1, len(streams))]
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                index, piece = waiting.pop(task), task.result()
                waiting |= {_next(streams[other]): other for other in late}
                late = []
                if piece is not None:
                    yield index, piece
                    waiting[_next(streams[index])] = index
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for stream in streams:
            await stream.aclose()


def _next(stream: Pieces) -> "asyncio.Future[Piece | None]":
    """The next piece under way; None at the end."""
    return asyncio.ensure_future(anext(stream, None))


async def collected(request: web.Request, requests: Sequence[ChatRequest]) -> list[Piece]:
    """Every choice as one piece, in order."""
    answers: list[list[Piece]] = [[] for _ in requests]
    async with aclosing(run(request.app[KERNEL], requests)) as numbered:
        async for index, piece in numbered:
            answers[index].append(piece)
    return [merged(pieces) for pieces in answers]


def usages(pieces: Sequence[Piece]) -> list[Usage]:
    """What the choices cost."""
    return [piece.usage for piece in pieces if piece.usage is not None]


def note(request: web.Request, model: str, piece: Piece) -> None:
    """Facts for the request's log line."""
    if piece.usage is not None:
        facts = {"model": model, "done_reason": piece.done_reason, **piece.usage.facts}
        facts["eval_tokens"] = piece.usage.eval_tokens + request[FACTS].get("eval_tokens", 0)
        request[FACTS].update(facts)
