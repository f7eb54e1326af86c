"""Matrix product of float weights (F32, F16, BF16) and float32 activations.

Weights lie in groups of eight rows, column by column, so a register holds eight rows of one column and a result is one
accumulator that takes the columns in order, in every kernel.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from corral_engine.native.catalog import Format
from corral_engine.native.formats.repack import repacker
from corral_engine.native.kernels.epilogue import write_results
from corral_engine.native.optable import Linear, Op
from corral_engine.native.simd import fma_f32, inline, load_i64, splat_load_f32, zero_f32

_WEIGHT, _GROUP_BYTES, _COLUMNS = 8 * Linear.WEIGHT, 8 * Linear.GROUP_BYTES, 8 * Linear.COLUMNS
_X, _X_STRIDE, _FIRST_ROW = 8 * Linear.X, 8 * Linear.X_STRIDE, 8 * Op.FIRST_ROW


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """repack(source, target, lane): one weight; load(address): eight weights as F32x8."""

    facts: Format
    repack: Callable[..., Any]
    load: Callable[..., Any]


def one(form: FloatFormat) -> Any:
    """For one token: four groups at a time, to keep the multipliers busy."""
    load, step = form.load, form.facts.packed_bytes

    @inline
    def dots(p0, p1, p2, p3, x, columns):  # type: ignore[no-untyped-def]
        a0 = a1 = a2 = a3 = zero_f32()
        for column in range(columns):
            y, at = splat_load_f32(x + 4 * column), column * step
            a0, a1 = fma_f32(load(p0 + at), y, a0), fma_f32(load(p1 + at), y, a1)
            a2, a3 = fma_f32(load(p2 + at), y, a2), fma_f32(load(p3 + at), y, a3)
        return a0, a1, a2, a3

    @inline
    def multiply(op, weights, rows, begin, end, scratch):  # type: ignore[no-untyped-def]
        columns, size = load_i64(op + _COLUMNS), load_i64(op + _GROUP_BYTES)
        row = load_i64(op + _FIRST_ROW)
        x = load_i64(op + _X) + row * load_i64(op + _X_STRIDE)
        last = weights + (end - 1 - begin) * size
        for group in range(begin, end, 4):
            p = weights + (group - begin) * size
            a0, a1, a2, a3 = dots(p, min(p + size, last), min(p + 2 * size, last), min(p + 3 * size, last), x, columns)
            write_results(op, row, group, a0, scratch)
            if group + 1 < end:
                write_results(op, row, group + 1, a1, scratch)
            if group + 2 < end:
                write_results(op, row, group + 2, a2, scratch)
            if group + 3 < end:
                write_results(op, row, group + 3, a3, scratch)
        return 0

    return multiply


def many(form: FloatFormat) -> Any:
    """For several tokens: one group and six tokens at a time."""
    load, step = form.load, form.facts.packed_bytes

    @inline
    def dots(p, x0, x1, x2, x3, x4, x5, columns):  # type: ignore[no-untyped-def]
        a0 = a1 = a2 = a3 = a4 = a5 = zero_f32()
        for column in range(columns):
            w, at = load(p + column * step), 4 * column
            a0, a1 = fma_f32(w, splat_load_f32(x0 + at), a0), fma_f32(w, splat_load_f32(x1 + at), a1)
            a2, a3 = fma_f32(w, splat_load_f32(x2 + at), a2), fma_f32(w, splat_load_f32(x3 + at), a3)
            a4, a5 = fma_f32(w, splat_load_f32(x4 + at), a4), fma_f32(w, splat_load_f32(x5 + at), a5)
        return a0, a1, a2, a3, a4, a5

    @inline
    def multiply(op, weights, rows, begin, end, scratch):  # type: ignore[no-untyped-def]
        columns, stride = load_i64(op + _COLUMNS), load_i64(op + _X_STRIDE)
        first = load_i64(op + _FIRST_ROW)
        last = load_i64(op + _X) + (first + rows - 1) * stride
        for group in range(begin, end):
            p = weights + (group - begin) * load_i64(op + _GROUP_BYTES)
            for row in range(first, first + rows, 6):
                x = load_i64(op + _X) + row * stride
                a0, a1, a2, a3, a4, a5 = dots(
                    p,
                    x,
                    min(x + stride, last),
                    min(x + 2 * stride, last),
                    min(x + 3 * stride, last),
                    min(x + 4 * stride, last),
                    min(x + 5 * stride, last),
                    columns,
                )
                left = first + rows - row
                write_results(op, row, group, a0, scratch)
                if left > 1:
                    write_results(op, row + 1, group, a1, scratch)
                if left > 2:
                    write_results(op, row + 2, group, a2, scratch)
                if left > 3:
                    write_results(op, row + 3, group, a3, scratch)
                if left > 4:
                    write_results(op, row + 4, group, a4, scratch)
                if left > 5:
                    write_results(op, row + 5, group, a5, scratch)

        return 0

    return multiply


def multiplier(form: FloatFormat, what: str) -> Any:
    """multiply(op, weights, rows, begin, end, scratch), inline; `weights` is the address of group `begin`."""
    return {"one": one, "many": many}[what](form)


def build(form: FloatFormat, what: str) -> Callable[..., None]:
    """The kernel of a float format called "one", "many" or "repack"."""
    if what == "repack":
        return repacker(form.facts, form.repack)
    multiply = multiplier(form, what)

    def kernel(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
        weights = load_i64(op + _WEIGHT) + begin * load_i64(op + _GROUP_BYTES)
        multiply(op, weights, rows, begin, end, scratch)

    return kernel
