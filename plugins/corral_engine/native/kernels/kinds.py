"""The arithmetic of a block of quantized weights: how codes are multiplied and what turns the sums into a result."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from corral_engine.native.simd import (
    SIGNED_ZERO,
    VARIANT,
    add_i32,
    dot,
    dot_pairs,
    dot_signed,
    fma_f32,
    inline,
    mul,
    mul_i32,
    no_sums,
    splat_i32,
    splat_load_f32,
    splat_load_i32,
    sub_i32,
    sums_i32,
    sums_times_high,
    sums_times_low,
    to_f32,
    zero_i32,
)

REGISTERS = 8  # of codes in a block of 8 rows x 32 weights


@dataclass(frozen=True, slots=True)
class Kind:
    """What finishes a block, i being Σ code · x over its 32 weights:

    result += (scale · d) · i [+ offset · s] [+ (offset · d) · Σ minimum · Σx]

    bits       of a code
    signed     codes are signed, of eight bits
    zero       the code that means 0 (subtracted exactly, as zero · Σx)
    offset     each block has a float offset a row
    halves     each half of a block has an integer scale (a pair of int16 a row)
    minima     each half of a block has an integer minimum, times the float offset
    """

    bits: int = 4
    signed: bool = False
    zero: int = 0
    offset: bool = False
    halves: bool = False
    minima: bool = False

    @property
    def steps(self) -> int:
        """Registers that are added up before the sums are widened: AVX2 adds in 16 bits, which few products fit."""
        most = {5: 4, 6: 2}.get(self.bits, REGISTERS) if VARIANT == "avx2" else REGISTERS
        return min(most, REGISTERS // 2) if self.halves else most

    @property
    def parts(self) -> int:
        """How many times the sums of a block are widened."""
        return REGISTERS // self.steps


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A kind as inline functions.

    start() → sums; step(sums, codes, x) → sums; collect(part, i, sums, pairs) → i;
    finish(acc, i, scale, offset, pairs, minima, side) → acc, `side` being the address of the activation block's twelve
    bytes.
    """

    start: Callable[..., Any]
    step: Callable[..., Any]
    collect: Callable[..., Any]
    finish: Callable[..., Any]


@inline
def _sum_signed(part, i, sums, pairs):  # type: ignore[no-untyped-def]
    return add_i32(i, sums)


@inline
def _sum_plain(part, i, sums, pairs):  # type: ignore[no-untyped-def]
    return add_i32(i, sums_i32(sums))


def _sum_halves(parts: int) -> Callable[..., Any]:
    @inline
    def collect(part, i, sums, pairs):  # type: ignore[no-untyped-def]
        if 2 * part < parts:
            return add_i32(i, sums_times_low(sums, pairs))
        return add_i32(i, sums_times_high(sums, pairs))

    return collect


def arithmetic(kind: Kind) -> Arithmetic:
    """The inline functions of a kind."""
    zero = SIGNED_ZERO if kind.signed else kind.zero
    zero_pair, has_zero = zero | zero << 16, zero != 0
    halves, has_offset, has_minima = kind.halves, kind.offset, kind.minima

    @inline
    def finish(acc, i, scale, offset, pairs, minima, side):  # type: ignore[no-untyped-def]
        d = splat_load_f32(side)
        if has_zero:
            x_sums = splat_load_i32(side + 8)
            if halves:
                i = sub_i32(i, mul_i32(dot_pairs(pairs, x_sums), splat_i32(zero)))
            else:
                i = sub_i32(i, dot_pairs(x_sums, splat_i32(zero_pair)))
        acc = fma_f32(mul(scale, d), to_f32(i), acc)
        if has_offset:
            acc = fma_f32(offset, splat_load_f32(side + 4), acc)
        if has_minima:
            acc = fma_f32(mul(offset, d), to_f32(dot_pairs(minima, splat_load_i32(side + 8))), acc)
        return acc

    if kind.signed:
        return Arithmetic(zero_i32, dot_signed, _sum_signed, finish)
    return Arithmetic(no_sums, dot, _sum_halves(kind.parts) if halves else _sum_plain, finish)
