"""The kernel that turns a tensor of the file into packed groups of eight rows.  A unit of work is a group."""

from collections.abc import Callable
from typing import Any

from corral_engine.native.catalog import Format
from corral_engine.native.optable import GROUP_ROWS, Repack
from corral_engine.native.simd import load_i64, store_u8

_SOURCE, _TARGET, _ROWS, _BLOCKS = 8 * Repack.SOURCE, 8 * Repack.TARGET, 8 * Repack.ROWS, 8 * Repack.BLOCKS


def repacker(facts: Format, repack: Callable[..., Any]) -> Callable[..., None]:
    """Apply `repack(source, target, lane)` to every block of the file; rows beyond the last are zeros."""
    file_bytes, packed_bytes = facts.file_bytes, facts.packed_bytes

    def kernel(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
        n_rows, n_blocks = load_i64(op + _ROWS), load_i64(op + _BLOCKS)
        for group in range(begin, end):
            target = load_i64(op + _TARGET) + group * n_blocks * packed_bytes
            if (group + 1) * GROUP_ROWS > n_rows:
                for i in range(n_blocks * packed_bytes):
                    store_u8(target + i, 0)
            for lane in range(min(GROUP_ROWS, n_rows - group * GROUP_ROWS)):
                source = load_i64(op + _SOURCE) + (group * GROUP_ROWS + lane) * n_blocks * file_bytes
                for block in range(n_blocks):
                    repack(source + block * file_bytes, target + block * packed_bytes, lane)

    return kernel
