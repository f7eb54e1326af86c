"""Packed bodies come out as they went in, however they are cut; what is broken is told."""

import asyncio
import gzip
import sys
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, strategies as st

from corral import BadRequest
from corral_http.unpacking import coding_of, unpacked

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS = {"gzip": [gzip.compress], "deflate": [zlib.compress, bare], "zstd": [zstd.compress]}
CASES = [(coding, pack) for coding, packers in PACKERS.items() for pack in packers]


async def cut(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def whole(data: bytes, coding: str, size: int = 7) -> bytes:
    return b"".join([piece async for piece in unpacked(cut(data, size), coding)])


@given(st.binary(max_size=300), st.integers(1, 50), st.sampled_from(CASES), st.integers(1, 3))
async def test_round_trip(data, size, case, frames):
    coding, pack = case
    frames = frames if coding != "deflate" else 1
    assert await whole(pack(data) * frames, coding, size) == data * frames


@pytest.mark.parametrize(("coding", "pack"), CASES)
async def test_what_is_broken_or_cut(coding, pack):
    packed = pack(b"hello " * 100)
    for broken in (packed[:-5], packed[:10] + b"\xff\x00" * 9, b"not packed at all"):
        with pytest.raises(BadRequest, match="failed to decompress request body"):
            await whole(broken, coding)


@pytest.mark.parametrize(("coding", "pack"), CASES)
async def test_pieces_are_bounded(coding, pack):
    async for piece in unpacked(cut(pack(b" " * (20 << 20)), 1 << 16), coding):
        assert len(piece) <= 1 << 20


async def test_a_window_too_wide_is_refused():
    wide = zstd.compress(b"x" * (1 << 25), options={zstd.CompressionParameter.window_log: 25})
    with pytest.raises(BadRequest, match="failed to decompress request body"):
        await whole(wide, "zstd", 1 << 16)


@pytest.mark.parametrize(("coding", "pack"), CASES)
@pytest.mark.parametrize("held", [b"", b"x"])
async def test_a_body_in_crumbs_is_refused(coding, pack, held):
    assert await whole(pack(held) * 1000, coding, 1 << 16) == held * 1000
    with pytest.raises(
        BadRequest, match=f"failed to decompress request body: 1001 {coding} frames hold next to nothing"
    ):
        await whole(pack(held) * 2000, coding, 1 << 16)


@pytest.mark.parametrize(("coding", "pack"), CASES)
async def test_frames_that_hold_something_are_as_many_as_they_like(coding, pack):
    assert len(await whole(pack(bytes(1 << 10)) * 1500, coding, 1 << 16)) == 1500 << 10


@pytest.mark.parametrize(("data", "frames"), [(bytes(20 << 20), 1), (b"", 100)])
@pytest.mark.parametrize(("coding", "pack"), CASES)
async def test_others_have_their_turn_meanwhile(coding, pack, data, frames):
    done = asyncio.create_task(whole(pack(data) * frames, coding, 1 << 20))
    turns = 0
    while not done.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(done.result()) == len(data)
    assert turns > 15


def test_names():
    assert [coding_of(name) for name in ("", "identity", " GZIP", "x-gzip", "zstd")] == ["", "", "gzip", "gzip", "zstd"]
    with pytest.raises(BadRequest, match="'br' is not supported"):
        coding_of("br")
