"""Register types, and how a word is declared."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from llvmlite import ir
from numba import njit, types
from numba.core.typing.templates import signature
from numba.extending import intrinsic, models, register_model

from corral_engine.native.host import detect

HOST = detect()
VARIANT = HOST.variant

Emit = Callable[..., Any]

inline: Callable[[Emit], Emit] = njit(
    forceinline=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)
"""A part of a kernel, pasted into every caller."""

INT = ir.IntType(64)
ELEMENTS = {"i8": ir.IntType(8), "i16": ir.IntType(16), "i32": ir.IntType(32), "f32": ir.FloatType()}


class Vector(types.Type):
    """A register of `lanes` elements ("i8", "i16", "i32", "f32"); LLVM splits one that is wider than the machine's."""

    def __init__(self, element: str, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"{element}x{lanes}")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, shape(vector))


def shape(vector: Vector) -> ir.VectorType:
    """The LLVM type of a register."""
    return ir.VectorType(ELEMENTS[vector.element], vector.lanes)


I8x32, I16x16 = Vector("i8", 32), Vector("i16", 16)
I32x8, I32x32 = Vector("i32", 8), Vector("i32", 32)
F32x8, F32x32 = Vector("f32", 8), Vector("f32", 32)

Shape: TypeAlias = types.Type | Callable[[Vector], Vector]


def same(vector: Vector) -> Vector:
    """In a word's declaration: the type of its first argument."""
    return vector


def integers(vector: Vector) -> Vector:
    """In a word's declaration: int32 lanes, as many as the first argument has."""
    return Vector("i32", vector.lanes)


def floats(vector: Vector) -> Vector:
    """In a word's declaration: float32 lanes, as many as the first argument has."""
    return Vector("f32", vector.lanes)


def halves(vector: Vector) -> Vector:
    """In a word's declaration: half the lanes of the first argument."""
    return Vector(vector.element, vector.lanes // 2)


def word(result: Shape, *arguments: Shape) -> Callable[[Emit], Any]:
    """Make a word of an emitter `(builder, *values) -> value`."""

    def declare(emit: Emit) -> Any:
        def typed(*given: types.Type) -> tuple[Any, Any]:
            def settle(wanted: Shape) -> types.Type:
                return wanted if isinstance(wanted, types.Type) else wanted(given[0])

            def codegen(_context: Any, builder: Any, _signature: Any, values: Sequence[Any]) -> Any:
                return emit(builder, *values)

            if any(not isinstance(w, types.Type) and not isinstance(given[0], Vector) for w in arguments):
                raise TypeError(f"{emit.__name__} takes a register, not {given[0]}")
            return signature(settle(result), *(settle(wanted) for wanted in arguments)), codegen

        arities: dict[int, Callable[..., Any]] = {
            0: lambda typing_context: typed(),
            1: lambda typing_context, a: typed(a),
            2: lambda typing_context, a, b: typed(a, b),
            3: lambda typing_context, a, b, c: typed(a, b, c),
            4: lambda typing_context, a, b, c, d: typed(a, b, c, d),
            5: lambda typing_context, a, b, c, d, e: typed(a, b, c, d, e),
        }
        function = arities[len(arguments)]
        function.__name__, function.__doc__ = emit.__name__, emit.__doc__
        return intrinsic(function)

    return declare


# --- what emitters are made of ------------------------------------------------------------------------------------


def call(builder: Any, name: str, result: ir.Type, *values: Any) -> Any:
    """Call one of LLVM's intrinsic functions."""
    kind = ir.FunctionType(result, [value.type for value in values])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, values)


def load(builder: Any, address: Any, kind: ir.Type) -> Any:
    return builder.load(builder.inttoptr(address, ir.PointerType(kind)), align=1)


def store(builder: Any, address: Any, value: Any) -> Any:
    builder.store(value, builder.inttoptr(address, ir.PointerType(value.type)), align=1)
    return ir.Constant(ELEMENTS["i32"], 0)


def constant(vector: ir.VectorType, value: float) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def splat(builder: Any, value: Any, lanes: int) -> Any:
    """A scalar in every lane."""
    vector = ir.VectorType(value.type, lanes)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ELEMENTS["i32"], 0))
    return shuffled(builder, first, [0] * lanes)


def shuffled(builder: Any, value: Any, lanes: Sequence[int]) -> Any:
    """The given lanes of a register."""
    mask = ir.Constant(ir.VectorType(ELEMENTS["i32"], len(lanes)), list(lanes))
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)


def fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once where the machine can."""
    if HOST.has_fma:
        suffix = f"v{a.type.count}f32" if isinstance(a.type, ir.VectorType) else "f32"
        return call(builder, f"llvm.fma.{suffix}", a.type, a, b, c)
    return builder.fadd(builder.fmul(a, b), c)
