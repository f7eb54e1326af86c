"""Activations → int8 in blocks of 32, once per buffer and shared by every product that reads it.

A quantized row is its K codes, then for each block twelve bytes: d (float32), s = d · Σ codes (float32), and the
sums of the two halves of the block as a pair of int16.  d = max|x| / 127, code = x / d rounded to nearest even.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from corral_engine.native.optable import ACTIVATION_BLOCK, SIDE_BYTES, Op
from corral_engine.native.simd import (
    absolute,
    as_i32,
    fma_f32,
    high_half,
    inline,
    largest,
    like,
    like_i32,
    load_f32x32,
    load_i64,
    low_half,
    mul,
    store_f32,
    store_i8x32,
    store_i32,
    sub_i32,
    total,
    total_i32,
)

_X, _X_STRIDE, _OUT, _OUT_STRIDE, _WIDTH = (8 * (Op.ARGS + i) for i in range(5))

_ONE, _ZERO, _LARGEST_CODE = np.float32(1), np.float32(0), np.float32(127)
_MAGIC = np.float32(12582912.0)  # 1.5 · 2^23: adding it leaves the rounded integer in the low bits
_MAGIC_BITS = 0x4B400000


@inline
def round_codes(x, step):  # type: ignore[no-untyped-def]
    """x / step, rounded to nearest even, as int32; zeros when the step is 0 or NaN."""
    inverse = _ONE / step if step > _ZERO else _ZERO
    shifted = as_i32(fma_f32(x, like(x, inverse), like(x, _MAGIC)))
    return sub_i32(shifted, like_i32(shifted, _MAGIC_BITS))


@inline
def _quantize_block(at, codes, side):  # type: ignore[no-untyped-def]
    """Thirty-two floats → codes at `codes`, twelve bytes at `side`.  NaN and infinity make d NaN."""
    x = load_f32x32(at)
    step = largest(absolute(x)) / _LARGEST_CODE + total(mul(x, like(x, _ZERO)))
    rounded = round_codes(x, step)
    store_i8x32(codes, rounded)
    first, second = total_i32(low_half(rounded)), total_i32(high_half(rounded))
    store_f32(side, step)
    store_f32(side + 4, step * np.float32(first + second))
    store_i32(side + 8, (first & 0xFFFF) | (second << 16))


def _quantize(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
    """Rows `begin … end - 1` of X (float32) → OUT (quantized rows)."""
    width = load_i64(op + _WIDTH)
    for row in range(begin, end):
        x = load_i64(op + _X) + row * load_i64(op + _X_STRIDE)
        out = load_i64(op + _OUT) + row * load_i64(op + _OUT_STRIDE)
        for block in range(width // ACTIVATION_BLOCK):
            codes, side = out + block * ACTIVATION_BLOCK, out + width + block * SIDE_BYTES
            _quantize_block(x + block * 4 * ACTIVATION_BLOCK, codes, side)


def build(what: str) -> Callable[..., None]:
    """The one kernel of this module, "rows"."""
    return {"rows": _quantize}[what]


def reference(x: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """x (T, K) → codes (T, K), d (T, K/32)."""
    blocks = x.reshape(len(x), -1, ACTIVATION_BLOCK)
    d = np.abs(blocks).max(axis=-1) / np.float32(127)
    inverse = np.divide(np.float32(1), d, out=np.zeros_like(d), where=d > 0)
    codes = np.rint(blocks * inverse[..., None]).astype(np.int8)
    return codes.reshape(x.shape), d
