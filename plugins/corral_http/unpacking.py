"""Bodies that come packed, as their Content-Encoding says: gzip, deflate and zstd, in pieces of bounded size.

Source: https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1 and https://www.rfc-editor.org/rfc/rfc8878.
"""

import asyncio
import sys
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from corral.errors import BadRequest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE_BYTES = 1 << 20
_FREE_FRAMES, _BYTES_A_FRAME = 1000, 1 << 10  # frames that may be next to empty; what any further must hold on average
_MOST_WINDOW = 23  # 8 MiB, as a power of two: what every zstd decoder must be able to read
_CODINGS = ("gzip", "deflate", "zstd")
_BROKEN = "failed to decompress request body"


class _Unpacker(Protocol):
    """The shape of the standard library's newer decompressors: `eof` ends a frame, and another may follow."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def coding_of(header: str) -> str:
    """The coding that a Content-Encoding names, "" for none.  Raises BadRequest for one that is not known."""
    name = header.strip().lower().removeprefix("x-")
    if name in ("", "identity"):
        return ""
    if name not in _CODINGS:
        known = ", ".join(_CODINGS)
        raise BadRequest(f"Content-Encoding {header[:40]!r} is not supported: send the body as it is, or in {known}")
    return name


async def unpacked(packed: AsyncIterator[bytes], coding: str) -> AsyncIterator[bytes]:
    """The body in pieces.  Raises BadRequest when it is not what it says, ends too early, or is cut into crumbs.

    A little of packed data may be much work: other requests get their turn after each piece and each frame.
    """
    unpacker: _Unpacker | None = None
    size = n_frames = 0
    async for data in packed:
        while data:
            if unpacker is None or unpacker.eof:
                unpacker, n_frames = _unpacker(coding, data), n_frames + 1
                if n_frames > _FREE_FRAMES + size // _BYTES_A_FRAME:
                    raise BadRequest(
                        f"{_BROKEN}: {n_frames} {coding} frames hold next to nothing; send it as one frame"
                    )
            for piece in _pieces(unpacker, data):
                size += len(piece)
                yield piece
                await asyncio.sleep(0)
            data = unpacker.unused_data if unpacker.eof else b""
            await asyncio.sleep(0)
    if unpacker is not None and not unpacker.eof:
        raise BadRequest(f"{_BROKEN}: the {coding} data end too early")


def _unpacker(coding: str, start: bytes) -> _Unpacker:
    """`start` tells deflate with zlib's header from deflate without, which some clients send."""
    if coding == "zstd":
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _MOST_WINDOW})
    bare = coding == "deflate" and start[0] & 0xF != zlib.DEFLATED
    return _Zlib(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS + (16 if coding == "gzip" else 0))


def _pieces(unpacker: _Unpacker, data: bytes) -> Iterator[bytes]:
    """All that `data` unpacks to, until its frame ends."""
    try:
        while piece := unpacker.decompress(data, _PIECE_BYTES):
            yield piece
            data = b""
            if unpacker.eof:
                return
    except (zlib.error, zstd.ZstdError) as err:
        raise BadRequest(f"{_BROKEN}: {err}") from err


class _Zlib:
    """zlib's decompressor, which hands back what it did not read, as one that keeps it."""

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
