"""Words for registers of int32.  Unless a name says otherwise they take registers of any width."""

from typing import Any

from llvmlite import ir
from numba import types

from corral_engine.native.simd.floats import tree
from corral_engine.native.simd.registers import (
    ELEMENTS,
    INT,
    F32x32,
    I32x8,
    I32x32,
    constant,
    floats,
    halves,
    load,
    same,
    shape,
    shuffled,
    splat,
    store,
    word,
)

_I8, _I32 = ELEMENTS["i8"], ELEMENTS["i32"]


@word(I32x8)
def zero_i32(builder: Any) -> Any:
    return constant(shape(I32x8), 0)


@word(F32x32)
def lane_numbers(builder: Any) -> Any:
    """0.0 … 31.0."""
    return ir.Constant(shape(F32x32), [float(i) for i in range(32)])


@word(I32x8, types.int64)
def load_i32x8(builder: Any, address: Any) -> Any:
    return load(builder, address, shape(I32x8))


@word(types.int32, types.int64, I32x8)
def store_i32x8(builder: Any, address: Any, value: Any) -> Any:
    return store(builder, address, value)


@word(I32x8, types.int64)
def splat_i32(builder: Any, value: Any) -> Any:
    """The low 32 bits in every lane."""
    return splat(builder, builder.trunc(value, _I32), 8)


@word(I32x8, types.int64)
def splat_load_i32(builder: Any, address: Any) -> Any:
    return splat(builder, load(builder, address, _I32), 8)


@word(same, same, types.int64)
def like_i32(builder: Any, register: Any, value: Any) -> Any:
    """The low 32 bits of `value` in every lane of a register as wide as the given one."""
    return splat(builder, builder.trunc(value, _I32), register.type.count)


@word(I32x8, types.int64)
def load_u8x8(builder: Any, address: Any) -> Any:
    return builder.zext(load(builder, address, ir.VectorType(_I8, 8)), shape(I32x8))


@word(I32x8, types.int64)
def load_i8x8(builder: Any, address: Any) -> Any:
    return builder.sext(load(builder, address, ir.VectorType(_I8, 8)), shape(I32x8))


def _spread(builder: Any, bits: Any, width: int) -> Any:
    """Eight unsigned numbers of `width` bits, the first one lowest, one a lane."""
    shifts = ir.Constant(shape(I32x8), [width * lane for lane in range(8)])
    return builder.and_(builder.lshr(splat(builder, bits, 8), shifts), constant(shape(I32x8), (1 << width) - 1))


@word(I32x8, types.int64)
def load_u4x8(builder: Any, address: Any) -> Any:
    """Eight unsigned numbers of four bits, low bits first."""
    return _spread(builder, load(builder, address, _I32), 4)


@word(I32x8, types.int64)
def load_u2x8(builder: Any, address: Any) -> Any:
    """Eight unsigned numbers of two bits, low bits first."""
    return _spread(builder, builder.zext(load(builder, address, ELEMENTS["i16"]), _I32), 2)


@word(I32x8, types.int64)
def load_i8_pairs(builder: Any, address: Any) -> Any:
    """Sixteen signed bytes, widened: a pair of int16 a lane."""
    wide = builder.sext(load(builder, address, ir.VectorType(_I8, 16)), ir.VectorType(ELEMENTS["i16"], 16))
    return builder.bitcast(wide, shape(I32x8))


@word(I32x8, types.int64)
def load_u8_pairs(builder: Any, address: Any) -> Any:
    """Sixteen unsigned bytes, widened: a pair of int16 a lane."""
    wide = builder.zext(load(builder, address, ir.VectorType(_I8, 16)), ir.VectorType(ELEMENTS["i16"], 16))
    return builder.bitcast(wide, shape(I32x8))


@word(I32x8, I32x8, I32x8)
def make_pairs(builder: Any, low: Any, high: Any) -> Any:
    """The low 16 bits of two registers as a pair of int16 a lane."""
    lanes = shape(I32x8)
    return builder.or_(builder.and_(low, constant(lanes, 0xFFFF)), builder.shl(high, constant(lanes, 16)))


@word(I32x32, types.int64)
def load_i8x32(builder: Any, address: Any) -> Any:
    return builder.sext(load(builder, address, ir.VectorType(_I8, 32)), shape(I32x32))


@word(same, same, same)
def add_i32(builder: Any, a: Any, b: Any) -> Any:
    return builder.add(a, b)


@word(same, same, same)
def sub_i32(builder: Any, a: Any, b: Any) -> Any:
    return builder.sub(a, b)


@word(same, same, same)
def mul_i32(builder: Any, a: Any, b: Any) -> Any:
    return builder.mul(a, b)


@word(same, same, same)
def and_i32(builder: Any, a: Any, b: Any) -> Any:
    return builder.and_(a, b)


@word(same, same, same)
def or_i32(builder: Any, a: Any, b: Any) -> Any:
    return builder.or_(a, b)


@word(same, same, types.int64)
def shift_left(builder: Any, a: Any, count: Any) -> Any:
    return builder.shl(a, splat(builder, builder.trunc(count, _I32), a.type.count))


@word(same, same, types.int64)
def shift_right(builder: Any, a: Any, count: Any) -> Any:
    """Zeros come in from the left."""
    return builder.lshr(a, splat(builder, builder.trunc(count, _I32), a.type.count))


@word(floats, same)
def to_f32(builder: Any, a: Any) -> Any:
    return builder.sitofp(a, ir.VectorType(ELEMENTS["f32"], a.type.count))


@word(floats, same)
def as_f32(builder: Any, a: Any) -> Any:
    """The same bits."""
    return builder.bitcast(a, ir.VectorType(ELEMENTS["f32"], a.type.count))


@word(halves, same)
def low_half(builder: Any, a: Any) -> Any:
    return shuffled(builder, a, range(a.type.count // 2))


@word(halves, same)
def high_half(builder: Any, a: Any) -> Any:
    return shuffled(builder, a, range(a.type.count // 2, a.type.count))


@word(types.int64, same)
def total_i32(builder: Any, a: Any) -> Any:
    return builder.sext(tree(builder, a, builder.add), INT)


@word(types.int32, types.int64, I32x8)
def store_i8x8(builder: Any, address: Any, value: Any) -> Any:
    """The low 8 bits of every lane, eight bytes in all."""
    return store(builder, address, builder.trunc(value, ir.VectorType(_I8, 8)))


@word(types.int32, types.int64, I32x32)
def store_i8x32(builder: Any, address: Any, value: Any) -> Any:
    """The low 8 bits of every lane, thirty-two bytes in all."""
    return store(builder, address, builder.trunc(value, ir.VectorType(_I8, 32)))
