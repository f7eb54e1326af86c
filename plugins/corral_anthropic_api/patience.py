"""Pieces as they come, and a sign of life when none does."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from corral import Piece, Pieces


async def patiently(pieces: Pieces, every_s: float) -> AsyncGenerator[Piece | None, None]:
    """Everything `pieces` gives or raises, and None whenever it gave nothing for `every_s` seconds.

    `pieces` is read, and closed, by one task of its own, at most one piece ahead of the reader.
    """
    ahead: asyncio.Queue[Piece] = asyncio.Queue(maxsize=1)

    async def read() -> None:
        async with aclosing(pieces):
            async for piece in pieces:
                await ahead.put(piece)

    reader = asyncio.create_task(read())
    try:
        while not (reader.done() and ahead.empty()):
            waiting = asyncio.create_task(ahead.get())
            try:
                await asyncio.wait({waiting, reader}, timeout=every_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not waiting.done():
                    waiting.cancel()
            if waiting.done() and not waiting.cancelled():
                yield waiting.result()
            elif not reader.done():
                yield None
        reader.result()
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
