"""Rotary position embedding, in place.  A unit of work is a row.

The table holds, for each position, the cosines of all pairs, then their sines.
Arguments: X, X_STRIDE, WIDTH, HEAD_DIM, HALF (pairs a head), TABLE.
"""

from collections.abc import Callable

from corral_engine.native.optable import Env, Op
from corral_engine.native.simd import load_f32, load_i32, load_i64, store_f32

_X, _X_STRIDE, _WIDTH, _HEAD_DIM, _HALF, _TABLE = (8 * (Op.ARGS + i) for i in range(6))
_POSITIONS = 8 * Env.POSITIONS


def _rope(adjacent: bool) -> Callable[..., None]:
    """Pairs (2i, 2i+1) when `adjacent`, else (i, i + half)."""

    def kernel(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
        width, head_dim, half = load_i64(op + _WIDTH), load_i64(op + _HEAD_DIM), load_i64(op + _HALF)
        step, apart = (8, 4) if adjacent else (4, 4 * half)
        for row in range(begin, end):
            position = load_i32(load_i64(env + _POSITIONS) + 4 * row)
            cosines = load_i64(op + _TABLE) + position * half * 8
            sines = cosines + half * 4
            x = load_i64(op + _X) + row * load_i64(op + _X_STRIDE)
            for head in range(width // head_dim):
                first = x + 4 * head_dim * head
                for i in range(half):
                    c, s = load_f32(cosines + 4 * i), load_f32(sines + 4 * i)
                    p = first + step * i
                    a, b = load_f32(p), load_f32(p + apart)
                    store_f32(p, a * c - b * s)
                    store_f32(p + apart, a * s + b * c)

    return kernel


def build(what: str) -> Callable[..., None]:
    """ "norm" or "neox", the kinds of `program.Rope`."""
    return _rope(what == "norm")
