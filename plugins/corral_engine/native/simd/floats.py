"""Words for registers of float32.  Unless a name says otherwise they take registers of any width."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from corral_engine.native.simd.registers import (
    ELEMENTS,
    HOST,
    F32x8,
    F32x32,
    constant,
    fused,
    integers,
    load,
    same,
    shape,
    shuffled,
    splat,
    store,
    word,
)

_F32 = ELEMENTS["f32"]


def _bits(vector: ir.VectorType) -> ir.VectorType:
    return ir.VectorType(ELEMENTS["i32"], vector.count)


@word(F32x8)
def zero_f32(builder: Any) -> Any:
    return constant(shape(F32x8), 0.0)


@word(F32x32)
def zero_f32x32(builder: Any) -> Any:
    return constant(shape(F32x32), 0.0)


@word(F32x8, types.int64)
def load_f32x8(builder: Any, address: Any) -> Any:
    return load(builder, address, shape(F32x8))


@word(F32x32, types.int64)
def load_f32x32(builder: Any, address: Any) -> Any:
    return load(builder, address, shape(F32x32))


@word(types.int32, types.int64, F32x8)
def store_f32x8(builder: Any, address: Any, value: Any) -> Any:
    return store(builder, address, value)


@word(types.int32, types.int64, F32x32)
def store_f32x32(builder: Any, address: Any, value: Any) -> Any:
    return store(builder, address, value)


@word(F32x8, types.float32)
def splat_f32(builder: Any, value: Any) -> Any:
    return splat(builder, value, 8)


@word(F32x8, types.int64)
def splat_load_f32(builder: Any, address: Any) -> Any:
    return splat(builder, load(builder, address, _F32), 8)


@word(F32x32, types.int64)
def splat_load_f32x32(builder: Any, address: Any) -> Any:
    return splat(builder, load(builder, address, _F32), 32)


@word(same, same, types.float32)
def like(builder: Any, register: Any, value: Any) -> Any:
    """`value` in every lane of a register as wide as the given one."""
    return splat(builder, value, register.type.count)


@word(same, same, same)
def add(builder: Any, a: Any, b: Any) -> Any:
    return builder.fadd(a, b)


@word(same, same, same)
def sub(builder: Any, a: Any, b: Any) -> Any:
    return builder.fsub(a, b)


@word(same, same, same)
def mul(builder: Any, a: Any, b: Any) -> Any:
    return builder.fmul(a, b)


@word(same, same, same)
def div(builder: Any, a: Any, b: Any) -> Any:
    return builder.fdiv(a, b)


@word(same, same, same, same)
def fma_f32(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    return fused(builder, a, b, c)


@word(same, same, same)
def maximum(builder: Any, a: Any, b: Any) -> Any:
    """The larger one; b where either is NaN."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@word(same, same, same)
def minimum(builder: Any, a: Any, b: Any) -> Any:
    """The smaller one; b where either is NaN."""
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


@word(same, same)
def absolute(builder: Any, a: Any) -> Any:
    bits = _bits(a.type)
    return builder.bitcast(builder.and_(builder.bitcast(a, bits), constant(bits, 0x7FFFFFFF)), a.type)


@word(same, same, same, same, same)
def where_less(builder: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
    """`yes` in the lanes where a < b, else `no`."""
    return builder.select(builder.fcmp_ordered("<", a, b), yes, no)


@word(integers, same)
def as_i32(builder: Any, a: Any) -> Any:
    """The same bits."""
    return builder.bitcast(a, _bits(a.type))


def tree(builder: Any, value: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """Combine the lanes two by two, the far halves first: always in the same order."""
    half = value.type.count // 2
    while half:
        low, high = shuffled(builder, value, range(half)), shuffled(builder, value, range(half, 2 * half))
        value, half = combine(low, high), half // 2
    return builder.extract_element(value, ir.Constant(ELEMENTS["i32"], 0))


@word(types.float32, same)
def total(builder: Any, a: Any) -> Any:
    """The sum of the lanes, always in the same order."""
    return tree(builder, a, builder.fadd)


@word(types.float32, same)
def largest(builder: Any, a: Any) -> Any:
    return tree(builder, a, lambda x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y))


# --- half precision -----------------------------------------------------------------------------------------------


def _words(count: int) -> ir.VectorType:
    return ir.VectorType(ELEMENTS["i16"], count)


def _widen_f16(builder: Any, halves: Any) -> Any:
    """Exact, subnormals and infinities included."""
    count = halves.type.count
    result, bits = ir.VectorType(_F32, count), ir.VectorType(ELEMENTS["i32"], count)
    if HOST.converts_f16:
        return builder.fpext(builder.bitcast(halves, ir.VectorType(ir.HalfType(), count)), result)
    wide = builder.zext(halves, bits)
    magnitude = builder.shl(builder.and_(wide, constant(bits, 0x7FFF)), constant(bits, 13))
    scaled = builder.fmul(builder.bitcast(magnitude, result), constant(result, 2.0**112))
    special = builder.icmp_unsigned(">=", magnitude, constant(bits, 0x0F800000))
    value = builder.select(special, builder.or_(magnitude, constant(bits, 0x7F800000)), builder.bitcast(scaled, bits))
    sign = builder.shl(builder.and_(wide, constant(bits, 0x8000)), constant(bits, 16))
    return builder.bitcast(builder.or_(value, sign), result)


def _narrow_f16(builder: Any, values: Any) -> Any:
    """Round to nearest even; for finite values up to 65504, and NaN."""
    count = values.type.count
    if HOST.converts_f16:
        return builder.bitcast(builder.fptrunc(values, ir.VectorType(ir.HalfType(), count)), _words(count))
    kind = ir.VectorType(ELEMENTS["i32"], count)
    bits = builder.bitcast(values, kind)
    magnitude = builder.and_(bits, constant(kind, 0x7FFFFFFF))
    # Adding 0.5 puts the last bit of a subnormal half at the last bit of the sum, which rounds it.
    sum_bits = builder.bitcast(builder.fadd(builder.bitcast(magnitude, values.type), constant(values.type, 0.5)), kind)
    small = builder.sub(sum_bits, constant(kind, 0x3F000000))
    odd = builder.and_(builder.lshr(magnitude, constant(kind, 13)), constant(kind, 1))
    rounded = builder.add(builder.sub(magnitude, constant(kind, 0x37FFF001)), odd)
    normal = builder.lshr(rounded, constant(kind, 13))
    is_small = builder.icmp_unsigned("<", magnitude, constant(kind, 0x38800000))
    is_nan = builder.icmp_unsigned(">", magnitude, constant(kind, 0x7F800000))
    sign = builder.and_(builder.lshr(bits, constant(kind, 16)), constant(kind, 0x8000))
    value = builder.select(is_nan, constant(kind, 0x7E00), builder.select(is_small, small, normal))
    return builder.trunc(builder.or_(value, sign), _words(count))


@word(F32x8, types.int64)
def load_f16x8(builder: Any, address: Any) -> Any:
    return _widen_f16(builder, load(builder, address, _words(8)))


@word(F32x32, types.int64)
def load_f16x32(builder: Any, address: Any) -> Any:
    return _widen_f16(builder, load(builder, address, _words(32)))


@word(F32x8, types.int64)
def splat_load_f16(builder: Any, address: Any) -> Any:
    return _widen_f16(builder, splat(builder, load(builder, address, ELEMENTS["i16"]), 8))


@word(F32x32, types.int64)
def splat_load_f16x32(builder: Any, address: Any) -> Any:
    return _widen_f16(builder, splat(builder, load(builder, address, ELEMENTS["i16"]), 32))


@word(types.int32, types.int64, F32x8)
def store_f16x8(builder: Any, address: Any, value: Any) -> Any:
    """Rounded to nearest even.  Values must be within ±65504."""
    return store(builder, address, _narrow_f16(builder, value))


@word(F32x8, types.int64)
def load_bf16x8(builder: Any, address: Any) -> Any:
    bits = _bits(shape(F32x8))
    wide = builder.zext(load(builder, address, _words(8)), bits)
    return builder.bitcast(builder.shl(wide, constant(bits, 16)), shape(F32x8))
