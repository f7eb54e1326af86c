"""Words for codes (weights and activations of a few bits) and their dot products.

A register of codes holds four consecutive codes of each of eight rows; its dot product with four activations, repeated
for every row, gives a register of eight sums.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from corral_engine.native.simd.registers import (
    ELEMENTS,
    VARIANT,
    I8x32,
    I16x16,
    I32x8,
    call,
    constant,
    load,
    shape,
    shuffled,
    splat,
    store,
    word,
)

Sums = I16x16 if VARIANT == "avx2" else I32x8
"""Partial sums of a dot product.  AVX2 keeps sixteen of 16 bits, so few products fit: see `Kind.steps`."""

_CODES, _WORDS, _LANES = shape(I8x32), shape(I16x16), shape(I32x8)


@word(I8x32, types.int64)
def load_codes(builder: Any, address: Any) -> Any:
    return load(builder, address, _CODES)


@word(types.int32, types.int64, I8x32)
def store_codes(builder: Any, address: Any, value: Any) -> Any:
    return store(builder, address, value)


@word(I8x32, types.int64)
def splat_codes(builder: Any, address: Any) -> Any:
    """Four codes, repeated eight times."""
    return builder.bitcast(splat(builder, load(builder, address, ELEMENTS["i32"]), 8), _CODES)


@word(I8x32, I8x32)
def low_nibbles(builder: Any, a: Any) -> Any:
    return builder.and_(a, constant(_CODES, 15))


@word(I8x32, I8x32)
def high_nibbles(builder: Any, a: Any) -> Any:
    return builder.lshr(a, constant(_CODES, 4))


@word(I8x32, I8x32, types.int64)
def shift_codes(builder: Any, a: Any, count: Any) -> Any:
    """Each byte to the right."""
    return builder.lshr(a, splat(builder, builder.trunc(count, ir.IntType(8)), 32))


@word(I8x32, I8x32, types.int64)
def mask_codes(builder: Any, a: Any, mask: Any) -> Any:
    return builder.and_(a, splat(builder, builder.trunc(mask, ir.IntType(8)), 32))


@word(I8x32, I8x32, types.int64)
def scale_codes(builder: Any, a: Any, factor: Any) -> Any:
    """Each byte to the left by `factor` bits."""
    return builder.shl(a, splat(builder, builder.trunc(factor, ir.IntType(8)), 32))


@word(I8x32, I8x32, I8x32)
def join_codes(builder: Any, a: Any, b: Any) -> Any:
    return builder.or_(a, b)


SIGNED_ZERO = 128 if VARIANT == "vnni" else 0
"""What a code of 0 looks like to `dot_signed`."""


@word(I8x32, I8x32)
def signed_codes(builder: Any, a: Any) -> Any:
    """Signed codes in the form that `dot_signed` takes: VNNI multiplies unsigned ones only."""
    return builder.xor(a, constant(_CODES, SIGNED_ZERO)) if SIGNED_ZERO else a


def table_word(values: Sequence[int]) -> Any:
    """A word that looks up sixteen signed codes by indices 0 … 15."""

    @word(I8x32, I8x32)
    def look_up(builder: Any, index: Any) -> Any:
        return _look_up(builder, ir.Constant(_CODES, [value & 0xFF for value in (*values, *values)]), index)

    return look_up


def _look_up(builder: Any, table: Any, index: Any) -> Any:
    if VARIANT in ("avx2", "vnni"):
        return call(builder, "llvm.x86.avx2.pshuf.b", _CODES, table, index)
    result = ir.Constant(_CODES, ir.Undefined)
    for lane in range(32):
        where = ir.Constant(ELEMENTS["i32"], lane)
        result = builder.insert_element(
            result,
            builder.extract_element(table, builder.zext(builder.extract_element(index, where), ELEMENTS["i32"])),
            where,
        )
    return result


@word(Sums)
def no_sums(builder: Any) -> Any:
    return constant(_WORDS if VARIANT == "avx2" else _LANES, 0)


def _portable_dot(builder: Any, sums: Any, codes: Any, x: Any, *, signed: bool) -> Any:
    wide = ir.VectorType(ELEMENTS["i32"], 32)
    extended = builder.sext(codes, wide) if signed else builder.zext(codes, wide)
    products = builder.mul(extended, builder.sext(x, wide))
    for offset in range(4):
        sums = builder.add(sums, shuffled(builder, products, range(offset, 32, 4)))
    return sums


def _neon_dot(builder: Any, sums: Any, codes: Any, x: Any) -> Any:
    """Both operands signed; unsigned codes are below 128, so their sign bit is clear."""
    v4, v16 = ir.VectorType(ELEMENTS["i32"], 4), ir.VectorType(ELEMENTS["i8"], 16)
    halves = []
    for half in range(2):
        part = [shuffled(builder, v, range(16 * half, 16 * half + 16)) for v in (codes, x)]
        acc = shuffled(builder, sums, range(4 * half, 4 * half + 4))
        halves.append(call(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", v4, acc, part[0], part[1]))
        assert part[0].type == v16
    return builder.shuffle_vector(halves[0], halves[1], ir.Constant(_LANES, list(range(8))))


@word(Sums, Sums, I8x32, I8x32)
def dot(builder: Any, sums: Any, codes: Any, x: Any) -> Any:
    """Add to lane r the products of codes[4r … 4r+3] (unsigned, below 128) and x (signed)."""
    if VARIANT == "avx2":
        return builder.add(sums, call(builder, "llvm.x86.avx2.pmadd.ub.sw", _WORDS, codes, x))
    if VARIANT == "vnni":
        return call(builder, "llvm.x86.avx512.vpdpbusd.256", _LANES, sums, codes, x)
    if VARIANT == "neon":
        return _neon_dot(builder, sums, codes, x)
    return _portable_dot(builder, sums, codes, x, signed=False)


@word(I32x8, I32x8, I8x32, I8x32)
def dot_signed(builder: Any, sums: Any, codes: Any, x: Any) -> Any:
    """Add to lane r the products of codes[4r … 4r+3] (of `signed_codes`, above -128) and x, both signed.

    Too large by SIGNED_ZERO times the sum of x.
    """
    if VARIANT == "vnni":
        return call(builder, "llvm.x86.avx512.vpdpbusd.256", _LANES, sums, codes, x)
    if VARIANT == "avx2":
        magnitude = call(builder, "llvm.x86.avx2.psign.b", _CODES, codes, codes)
        turned = call(builder, "llvm.x86.avx2.psign.b", _CODES, x, codes)
        pairs = call(builder, "llvm.x86.avx2.pmadd.ub.sw", _WORDS, magnitude, turned)
        ones = constant(_WORDS, 1)
        return builder.add(sums, call(builder, "llvm.x86.avx2.pmadd.wd", _LANES, pairs, ones))
    if VARIANT == "neon":
        return _neon_dot(builder, sums, codes, x)
    return _portable_dot(builder, sums, codes, x, signed=True)


@word(I32x8, Sums)
def sums_i32(builder: Any, sums: Any) -> Any:
    """One sum a lane."""
    if VARIANT == "avx2":
        return call(builder, "llvm.x86.avx2.pmadd.wd", _LANES, sums, constant(_WORDS, 1))
    return sums


def _pair(builder: Any, pairs: Any) -> tuple[Any, Any]:
    """The low and the high 16 bits of every lane, sign extended."""
    sixteen = constant(_LANES, 16)
    return builder.ashr(builder.shl(pairs, sixteen), sixteen), builder.ashr(pairs, sixteen)


def _scaled(builder: Any, sums: Any, pairs: Any, which: int) -> Any:
    if VARIANT != "avx2":
        return builder.mul(sums, _pair(builder, pairs)[which])
    spread = [i - i % 2 + which for i in range(16)]
    both = shuffled(builder, builder.bitcast(pairs, _WORDS), spread)
    return call(builder, "llvm.x86.avx2.pmadd.wd", _LANES, sums, both)


@word(I32x8, Sums, I32x8)
def sums_times_low(builder: Any, sums: Any, pairs: Any) -> Any:
    """One sum a lane, times the low 16 bits of the lane of `pairs`."""
    return _scaled(builder, sums, pairs, 0)


@word(I32x8, Sums, I32x8)
def sums_times_high(builder: Any, sums: Any, pairs: Any) -> Any:
    """One sum a lane, times the high 16 bits of the lane of `pairs`."""
    return _scaled(builder, sums, pairs, 1)


@word(I32x8, I32x8, I32x8)
def dot_pairs(builder: Any, a: Any, b: Any) -> Any:
    """low(a) * low(b) + high(a) * high(b) of signed 16-bit halves."""
    if VARIANT in ("avx2", "vnni"):
        return call(builder, "llvm.x86.avx2.pmadd.wd", _LANES, builder.bitcast(a, _WORDS), builder.bitcast(b, _WORDS))
    (a_low, a_high), (b_low, b_high) = _pair(builder, a), _pair(builder, b)
    return builder.add(builder.mul(a_low, b_low), builder.mul(a_high, b_high))
