"""Eight-lane SIMD values for Numba: a vector is a value inside a compiled function, an operation one LLVM instruction.

`F32x8` holds eight float32, `I32x8` eight int32, `Mask8` eight booleans.  The arithmetic and comparison operators work
on them; the functions below do the rest.  LLVM lowers them to whatever registers the host has (AVX, SSE, NEON), always
in IEEE arithmetic: no reassociation and no fused multiply-add, so that results equal the plain numpy versions bit for
bit.  Arrays are one-dimensional and contiguous, indices count elements, and bounds are the caller's promise.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

LANES = 8
_I16x8 = ir.VectorType(ir.IntType(16), LANES)
_F32, _I32, _I8, _I1 = ir.FloatType(), ir.IntType(32), ir.IntType(8), ir.IntType(1)


class VectorType(types.Type):
    """The Numba type of a SIMD value."""

    def __init__(self, name: str, element: ir.Type) -> None:
        super().__init__(name=name)
        self.llvm = ir.VectorType(element, LANES)


class _VectorModel(models.PrimitiveModel):
    """A SIMD value is one LLVM vector."""

    def __init__(self, manager: Any, kind: VectorType) -> None:
        super().__init__(manager, kind, kind.llvm)


register_model(VectorType)(_VectorModel)
F32x8, I32x8, Mask8 = VectorType("F32x8", _F32), VectorType("I32x8", _I32), VectorType("Mask8", _I1)

Lanes = Any  # a SIMD value in an annotation: only compiled code can hold one
Emit = Callable[[Any, Sequence[ir.Value]], ir.Value]  # (IR builder, arguments) -> result


def _operation(result: types.Type, parameters: tuple[types.Type, ...], emit: Emit) -> Any:
    """An intrinsic of one, two or three arguments of exactly these types."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Sequence[ir.Value]) -> ir.Value:
        return emit(builder, args)

    def typed(given: tuple[types.Type, ...]) -> Any:
        return (result(*parameters), generate) if given == parameters else None

    def one(_typing: Any, a: Any) -> Any:
        return typed((a,))

    def two(_typing: Any, a: Any, b: Any) -> Any:
        return typed((a, b))

    def three(_typing: Any, a: Any, b: Any, c: Any) -> Any:
        return typed((a, b, c))

    return intrinsic((one, two, three)[len(parameters) - 1])


def _operator(function: Callable[..., Any], operation: Any, left: types.Type, right: types.Type) -> None:
    """Let a Python operator mean `operation` for these operand types."""

    overload(function)(lambda a, b: (lambda a, b: operation(a, b)) if (a, b) == (left, right) else None)


def _call(builder: Any, name: str, kind: ir.Type, *args: ir.Value) -> ir.Value:
    """Call the LLVM intrinsic `llvm.<name>` on values of one type."""
    found = builder.module.globals.get(name)
    function = found or ir.Function(builder.module, ir.FunctionType(kind, [kind] * len(args)), name)
    return builder.call(function, args)


for _function, _method in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(
        _function,
        _operation(F32x8, (F32x8, F32x8), lambda b, a, method=_method: getattr(b, method)(*a)),  # type: ignore[misc]
        F32x8,
        F32x8,
    )
for _function, _sign in ((operator.lt, "<"), (operator.gt, ">"), (operator.ge, ">="), (operator.ne, "!=")):
    _operator(
        _function,
        _operation(
            Mask8,
            (F32x8, F32x8),
            lambda b, a, sign=_sign: b.fcmp_unordered(sign, *a) if sign == "!=" else b.fcmp_ordered(sign, *a),  # type: ignore[misc]
        ),
        F32x8,
        F32x8,
    )
_operator(operator.and_, _operation(Mask8, (Mask8, Mask8), lambda b, a: b.and_(*a)), Mask8, Mask8)


def _smaller(builder: Any, args: Sequence[ir.Value]) -> ir.Value:
    return builder.select(builder.fcmp_ordered("<", *args), *args)


def _larger(builder: Any, args: Sequence[ir.Value]) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", *args), *args)


def _any_lane(builder: Any, args: Sequence[ir.Value]) -> ir.Value:
    return builder.icmp_unsigned("!=", builder.bitcast(args[0], ir.IntType(LANES)), ir.Constant(ir.IntType(LANES), 0))


def _splat(builder: Any, args: Sequence[ir.Value]) -> ir.Value:
    first = builder.insert_element(ir.Constant(F32x8.llvm, ir.Undefined), args[0], ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, first, ir.Constant(I32x8.llvm, None))


def _fold(combine: Emit) -> Emit:
    """Reduce eight lanes to one by halving: the order does not matter for smallest and largest."""

    def emit(builder: Any, args: Sequence[ir.Value]) -> ir.Value:
        value = args[0]
        for half in (4, 2, 1):
            index = ir.Constant(ir.VectorType(_I32, LANES), [(i + half) % LANES for i in range(LANES)])
            value = combine(builder, (value, builder.shuffle_vector(value, value, index)))
        return builder.extract_element(value, ir.Constant(_I32, 0))

    return emit


smallest = _operation(F32x8, (F32x8, F32x8), _smaller)
largest = _operation(F32x8, (F32x8, F32x8), _larger)
min_lane = _operation(types.float32, (F32x8,), _fold(_smaller))
max_lane = _operation(types.float32, (F32x8,), _fold(_larger))
any_lane = _operation(types.boolean, (Mask8,), _any_lane)
where = _operation(F32x8, (Mask8, F32x8, F32x8), lambda b, a: b.select(*a))
magnitude = _operation(F32x8, (F32x8,), lambda b, a: _call(b, "llvm.fabs.v8f32", F32x8.llvm, *a))
floor = _operation(F32x8, (F32x8,), lambda b, a: _call(b, "llvm.floor.v8f32", F32x8.llvm, *a))
root = _operation(F32x8, (F32x8,), lambda b, a: _call(b, "llvm.sqrt.v8f32", F32x8.llvm, *a))
nearest = _operation(F32x8, (F32x8,), lambda b, a: _call(b, "llvm.rint.v8f32", F32x8.llvm, *a))
floats = _operation(F32x8, (types.float32,), _splat)
truncated = _operation(I32x8, (F32x8,), lambda b, a: b.fptosi(a[0], I32x8.llvm))


def _memory(
    element: types.Type, emit: Callable[[Any, ir.Value, Sequence[ir.Value]], ir.Value], result: types.Type
) -> Any:
    """An intrinsic on `(array of element, index, …)`; `emit` gets the address of the indexed element."""

    def generate(context: Any, builder: Any, signature: Any, args: Sequence[ir.Value]) -> ir.Value:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        value = emit(builder, builder.gep(array.data, [args[1]]), args[2:])
        return context.get_dummy_value() if result is types.void else value

    def fits(array: Any) -> bool:
        return isinstance(array, types.Array) and array.dtype == element and array.ndim == 1 and array.layout == "C"

    def two(_typing: Any, array: Any, index: Any) -> Any:
        return (result(array, types.intp), generate) if fits(array) else None

    def three(_typing: Any, array: Any, index: Any, extra: Any) -> Any:
        return (result(array, types.intp, extra), generate) if fits(array) else None

    return intrinsic(three if result is types.void or emit is _load_strided else two)


def _load(builder: Any, address: ir.Value, _rest: Sequence[ir.Value]) -> ir.Value:
    return builder.load(builder.bitcast(address, F32x8.llvm.as_pointer()), align=4)


def _load_strided(builder: Any, address: ir.Value, rest: Sequence[ir.Value]) -> ir.Value:
    value = ir.Constant(F32x8.llvm, ir.Undefined)
    for lane in range(LANES):
        offset = builder.mul(rest[0], ir.Constant(rest[0].type, lane))
        value = builder.insert_element(value, builder.load(builder.gep(address, [offset])), ir.Constant(_I32, lane))
    return value


def _int(value: int) -> ir.Constant:
    return ir.Constant(I32x8.llvm, [value] * LANES)


def _load_halves(builder: Any, address: ir.Value, _rest: Sequence[ir.Value]) -> ir.Value:
    """Widen eight half floats with integer arithmetic alone, which every host has."""
    bits = builder.zext(builder.load(builder.bitcast(address, _I16x8.as_pointer()), align=2), I32x8.llvm)
    size = builder.and_(bits, _int(0x7FFF))
    sign = builder.shl(builder.and_(bits, _int(0x8000)), _int(16))
    bias = builder.select(builder.icmp_unsigned(">=", size, _int(0x7C00)), _int(224 << 23), _int(112 << 23))
    normal = builder.add(builder.shl(size, _int(13)), bias)
    tiny = builder.fmul(builder.uitofp(size, F32x8.llvm), ir.Constant(F32x8.llvm, [2.0**-24] * LANES))
    is_tiny = builder.icmp_unsigned("<", size, _int(0x400))
    value = builder.select(is_tiny, builder.bitcast(tiny, I32x8.llvm), normal)
    return builder.bitcast(builder.or_(value, sign), F32x8.llvm)


def _rounded_shift(builder: Any, bits: ir.Value, n_bits: int) -> ir.Value:
    """Drop the low bits, rounding to nearest, halves to even."""
    odd = builder.and_(builder.lshr(bits, _int(n_bits)), _int(1))
    return builder.lshr(builder.add(bits, builder.add(odd, _int((1 << n_bits - 1) - 1))), _int(n_bits))


def _store_halves(builder: Any, address: ir.Value, rest: Sequence[ir.Value]) -> ir.Value:
    """Narrow to half floats; adding 0.5 aligns a tiny number's bits with a half's subnormals, rounding on the way."""
    bits = builder.bitcast(rest[0], I32x8.llvm)
    size = builder.and_(bits, _int(0x7FFFFFFF))
    half = ir.Constant(F32x8.llvm, [0.5] * LANES)
    tiny = builder.sub(
        builder.bitcast(builder.fadd(builder.bitcast(size, F32x8.llvm), half), I32x8.llvm), _int(63 << 24)
    )
    normal = _rounded_shift(builder, builder.sub(size, _int(112 << 23)), 13)
    value = builder.select(builder.icmp_unsigned("<", size, _int(113 << 23)), tiny, normal)
    value = builder.select(builder.icmp_unsigned(">=", size, _int(0x477FF000)), _int(0x7C00), value)
    value = builder.select(builder.icmp_unsigned(">", size, _int(0x7F800000)), _int(0x7E00), value)
    return _store_short(
        builder, address, builder.or_(value, builder.lshr(builder.and_(bits, _int(-1 << 31)), _int(16)))
    )


def _store_brains(builder: Any, address: ir.Value, rest: Sequence[ir.Value]) -> ir.Value:
    """Narrow to bfloat16; a NaN stays one."""
    bits = builder.bitcast(rest[0], I32x8.llvm)
    quiet = builder.lshr(builder.or_(bits, _int(1 << 22)), _int(16))
    is_nan = builder.fcmp_unordered("uno", rest[0], rest[0])
    return _store_short(builder, address, builder.select(is_nan, quiet, _rounded_shift(builder, bits, 16)))


def _store_short(builder: Any, address: ir.Value, value: ir.Value) -> ir.Value:
    return builder.store(builder.trunc(value, _I16x8), builder.bitcast(address, _I16x8.as_pointer()), align=2)


def _store(builder: Any, address: ir.Value, rest: Sequence[ir.Value]) -> ir.Value:
    return builder.store(rest[0], builder.bitcast(address, F32x8.llvm.as_pointer()), align=4)


def _store_bytes(builder: Any, address: ir.Value, rest: Sequence[ir.Value]) -> ir.Value:
    small = ir.VectorType(_I8, LANES)
    return builder.store(builder.trunc(rest[0], small), builder.bitcast(address, small.as_pointer()), align=1)


load = _memory(types.float32, _load, F32x8)  # (array, index): eight neighbours
load_strided = _memory(types.float32, _load_strided, F32x8)  # (array, index, stride): one element every `stride`
load_halves = _memory(types.uint16, _load_halves, F32x8)  # (array of half floats' bits, index): eight neighbours
store_halves = _memory(types.uint16, _store_halves, types.void)  # (array of half floats' bits, index, F32x8)
store_brains = _memory(types.uint16, _store_brains, types.void)  # (array of bfloat16 bits, index, F32x8)
store = _memory(types.float32, _store, types.void)  # (array, index, F32x8)
store_bytes = _memory(types.uint8, _store_bytes, types.void)  # (array, index, I32x8): the low byte of each lane
