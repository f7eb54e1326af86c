"""The low-rank update of adapters: out += scale · B (A x), row by row, for the adapters of the row's sequence.

A unit of work is a row.  Arguments: X, X_STRIDE, OUT, OUT_STRIDE, NUMBER (of the weight), SELECTED (rows are those of
`output_rows`), IN, WIDTH, TABLE, OUT_SCALE.  TABLE is the address of two int64: the address of int64 (sequences, N),
and N.  An entry is 0 or the address of a list of pairs: their count, then for each the addresses of A (r, IN) and of B
transposed (r, WIDTH), r, and the bits of the scale, all int64.  IN and WIDTH are multiples of eight.
"""

from collections.abc import Callable

from corral_engine.native.optable import Env, Op
from corral_engine.native.simd import (
    add,
    fma_f32,
    inline,
    load_f32,
    load_f32x8,
    load_f32x32,
    load_i32,
    load_i64,
    splat_load_f32,
    splat_load_f32x32,
    store_f32,
    store_f32x8,
    store_f32x32,
    total,
    zero_f32,
    zero_f32x32,
)

_X, _X_STRIDE, _OUT, _OUT_STRIDE, _NUMBER, _SELECTED, _IN, _WIDTH, _TABLE, _OUT_SCALE = (
    8 * (Op.ARGS + i) for i in range(10)
)
_SEQ_OF, _OUTPUT_ROWS = 8 * Env.SEQ_OF, 8 * Env.OUTPUT_ROWS
PAIR_COLUMNS = 4
_PAIR_BYTES = 8 * PAIR_COLUMNS


@inline
def _product(a, x, width):  # type: ignore[no-untyped-def]
    """Σ a · x, always in the same order."""
    wide, whole = zero_f32x32(), width // 32 * 32
    for i in range(0, whole, 32):
        wide = fma_f32(load_f32x32(a + 4 * i), load_f32x32(x + 4 * i), wide)
    narrow = zero_f32()
    for i in range(whole, width, 8):
        narrow = fma_f32(load_f32x8(a + 4 * i), load_f32x8(x + 4 * i), narrow)
    return total(wide) + total(narrow)


@inline
def _add_columns(b, weights, rank, out, width):  # type: ignore[no-untyped-def]
    """out += Σ weights[j] · b[j], summed before it is added."""
    whole = width // 32 * 32
    for i in range(0, whole, 32):
        wide = zero_f32x32()
        for j in range(rank):
            wide = fma_f32(splat_load_f32x32(weights + 4 * j), load_f32x32(b + 4 * (j * width + i)), wide)
        store_f32x32(out + 4 * i, add(load_f32x32(out + 4 * i), wide))
    for i in range(whole, width, 8):
        narrow = zero_f32()
        for j in range(rank):
            narrow = fma_f32(splat_load_f32(weights + 4 * j), load_f32x8(b + 4 * (j * width + i)), narrow)
        store_f32x8(out + 4 * i, add(load_f32x8(out + 4 * i), narrow))


def _update(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
    columns, width = load_i64(op + _IN), load_i64(op + _WIDTH)
    table, n_weights = load_i64(load_i64(op + _TABLE)), load_i64(load_i64(op + _TABLE) + 8)
    for row in range(begin, end):
        token = row
        if load_i64(op + _SELECTED) != 0:
            token = load_i32(load_i64(env + _OUTPUT_ROWS) + 4 * row)
        sequence = load_i32(load_i64(env + _SEQ_OF) + 4 * token)
        pairs = load_i64(table + 8 * (sequence * n_weights + load_i64(op + _NUMBER)))
        if pairs == 0:
            continue
        x = load_i64(op + _X) + row * load_i64(op + _X_STRIDE)
        out = load_i64(op + _OUT) + row * load_i64(op + _OUT_STRIDE)
        for index in range(load_i64(pairs)):
            pair = pairs + 8 + index * _PAIR_BYTES
            a, b, rank = load_i64(pair), load_i64(pair + 8), load_i64(pair + 16)
            scale = load_f32(pair + 24) * load_f32(op + _OUT_SCALE)
            for j in range(rank):
                store_f32(scratch + 4 * j, scale * _product(a + 4 * j * columns, x, columns))
            _add_columns(b, scratch, rank, out, width)


def build(what: str) -> Callable[..., None]:
    """ "update"."""
    return {"update": _update}[what]
