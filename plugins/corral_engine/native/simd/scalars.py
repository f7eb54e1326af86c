"""Words for scalars in memory.  Addresses and integers are int64."""

from typing import Any

from llvmlite import ir
from numba import types

from corral_engine.native.simd.registers import ELEMENTS, INT, fused, load, store, word

_I32, _F32 = ELEMENTS["i32"], ELEMENTS["f32"]


@word(types.int64, types.int64)
def load_i64(builder: Any, address: Any) -> Any:
    return load(builder, address, INT)


@word(types.int64, types.int64)
def load_i32(builder: Any, address: Any) -> Any:
    return builder.sext(load(builder, address, _I32), INT)


@word(types.int64, types.int64)
def load_u16(builder: Any, address: Any) -> Any:
    return builder.zext(load(builder, address, ir.IntType(16)), INT)


@word(types.int64, types.int64)
def load_u8(builder: Any, address: Any) -> Any:
    return builder.zext(load(builder, address, ir.IntType(8)), INT)


@word(types.float32, types.int64)
def load_f32(builder: Any, address: Any) -> Any:
    return load(builder, address, _F32)


@word(types.int32, types.int64, types.int64)
def store_i64(builder: Any, address: Any, value: Any) -> Any:
    return store(builder, address, value)


@word(types.int32, types.int64, types.int64)
def store_i32(builder: Any, address: Any, value: Any) -> Any:
    """The low 32 bits."""
    return store(builder, address, builder.trunc(value, _I32))


@word(types.int32, types.int64, types.int64)
def store_u16(builder: Any, address: Any, value: Any) -> Any:
    """The low 16 bits."""
    return store(builder, address, builder.trunc(value, ir.IntType(16)))


@word(types.int32, types.int64, types.int64)
def store_u8(builder: Any, address: Any, value: Any) -> Any:
    """The low 8 bits."""
    return store(builder, address, builder.trunc(value, ir.IntType(8)))


@word(types.int32, types.int64, types.float32)
def store_f32(builder: Any, address: Any, value: Any) -> Any:
    return store(builder, address, value)


@word(types.float32, types.float32, types.float32, types.float32)
def fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    return fused(builder, a, b, c)
