"""Words for threads: atomic memory, waiting politely, calling a function by its address."""

from typing import Any

from llvmlite import ir
from numba import types

from corral_engine.native.simd import HOST, word

_INT = ir.IntType(64)


def _pointer(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.PointerType(_INT))


@word(types.int64, types.int64)
def atomic_load(builder: Any, address: Any) -> Any:
    return builder.load_atomic(_pointer(builder, address), ordering="seq_cst", align=8)


@word(types.int32, types.int64, types.int64)
def atomic_store(builder: Any, address: Any, value: Any) -> Any:
    builder.store_atomic(value, _pointer(builder, address), ordering="seq_cst", align=8)
    return ir.Constant(ir.IntType(32), 0)


@word(types.int64, types.int64, types.int64)
def atomic_add(builder: Any, address: Any, value: Any) -> Any:
    """The value before."""
    return builder.atomic_rmw("add", _pointer(builder, address), value, ordering="seq_cst")


@word(types.boolean, types.int64, types.int64, types.int64)
def compare_and_swap(builder: Any, address: Any, expected: Any, desired: Any) -> Any:
    """Whether `expected` stood there and was replaced."""
    result = builder.cmpxchg(_pointer(builder, address), expected, desired, ordering="seq_cst", failordering="seq_cst")
    return builder.extract_value(result, 1)


@word(types.int32)
def fence(builder: Any) -> Any:
    builder.fence("seq_cst")
    return ir.Constant(ir.IntType(32), 0)


@word(types.int32)
def pause(builder: Any) -> Any:
    """Tell the core that this is a spinning wait."""
    if "sse2" in HOST.features:
        kind = ir.FunctionType(ir.VoidType(), [])
        name = "llvm.x86.sse2.pause"
        builder.call(builder.module.globals.get(name) or ir.Function(builder.module, kind, name), [])
    return ir.Constant(ir.IntType(32), 0)


@word(types.int32, types.int64)
def prefetch(builder: Any, address: Any) -> Any:
    """Ask for the cache line at `address`, which need not be memory of ours."""
    byte, number = ir.IntType(8), ir.IntType(32)
    pointer = builder.inttoptr(address, ir.PointerType(byte))
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
    name = "llvm.prefetch.p0"
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    read, keep, data = (ir.Constant(number, value) for value in (0, 3, 1))
    builder.call(function, [pointer, read, keep, data])
    return ir.Constant(number, 0)


@word(types.int32, types.int64)
def call_plain(builder: Any, address: Any) -> Any:
    """Call an `int f(void)`."""
    kind = ir.FunctionType(ir.IntType(32), [])
    return builder.call(builder.inttoptr(address, ir.PointerType(kind)), [])


@word(types.int32, types.int64, types.int64, types.int64, types.int64, types.int64)
def call_decoder(builder: Any, address: Any, weight: Any, first: Any, count: Any, target: Any) -> Any:
    """Call a `void f(weight, first, count, target)`."""
    kind = ir.FunctionType(ir.VoidType(), [_INT] * 4)
    builder.call(builder.inttoptr(address, ir.PointerType(kind)), [weight, first, count, target])
    return ir.Constant(ir.IntType(32), 0)


def _kernel_word() -> Any:
    from numba.core.typing.templates import signature
    from numba.extending import intrinsic

    shown = signature(types.int32, *[types.int64] * 7)
    kind = ir.FunctionType(ir.VoidType(), [_INT] * 6)

    def codegen(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        builder.call(builder.inttoptr(values[0], ir.PointerType(kind)), values[1:])
        return ir.Constant(ir.IntType(32), 0)

    def call_kernel(typing_context, address, op, env, rows, begin, end, scratch):  # type: ignore[no-untyped-def]
        return shown, codegen

    return intrinsic(call_kernel)


call_kernel = _kernel_word()
"""call_kernel(address, op, env, rows, begin, end, scratch): run one chunk of an op."""
