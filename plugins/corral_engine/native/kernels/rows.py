"""Kernels whose rows are independent of each other: norms, activations, sums, row selection, softcap.

A unit of work is a row.  Widths are multiples of eight: the executor pads the rows of its buffers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from corral_engine.native.kernels.functions import erf, sigmoid, tanh
from corral_engine.native.optable import Env, Op
from corral_engine.native.simd import (
    add,
    div,
    fma_f32,
    inline,
    load_f32,
    load_f32x8,
    load_i32,
    load_i64,
    maximum,
    mul,
    splat_f32,
    splat_load_f32,
    store_f32x8,
    sub,
    total,
    zero_f32,
)

_A0, _A1, _A2, _A3, _A4, _A5, _A6, _A7, _A8 = (8 * (Op.ARGS + i) for i in range(9))
_OUTPUT_ROWS = 8 * Env.OUTPUT_ROWS

_ONE, _HALF = np.float32(1), np.float32(0.5)
_GELU, _CUBIC = np.float32(0.7978845608028654), np.float32(0.044715)  # sqrt(2 / pi)
_QUICK, _ROOT_HALF = np.float32(1.702), np.float32(0.7071067811865476)


# --- norms: X, X_STRIDE, OUT, OUT_STRIDE, WIDTH, GROUP, WEIGHT, BIAS, EPS ---------------------------------------------


@inline
def _sum_squares(x, width, mean):  # type: ignore[no-untyped-def]
    """Σ (x - mean)² in eight partial sums."""
    sums = zero_f32()
    for i in range(0, width, 8):
        a = sub(load_f32x8(x + 4 * i), mean)
        sums = fma_f32(a, a, sums)
    return total(sums)


@inline
def _sum(x, width):  # type: ignore[no-untyped-def]
    sums = zero_f32()
    for i in range(0, width, 8):
        sums = add(sums, load_f32x8(x + 4 * i))
    return total(sums)


def _norm(centred: bool) -> Callable[..., None]:
    def kernel(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
        width, group = load_i64(op + _A4), load_i64(op + _A5)
        weight, bias = load_i64(op + _A6), load_i64(op + _A7)
        size = np.float32(group)
        for row in range(begin, end):
            for head in range(width // group):
                x = load_i64(op + _A0) + row * load_i64(op + _A1) + 4 * group * head
                out = load_i64(op + _A2) + row * load_i64(op + _A3) + 4 * group * head
                mean = zero_f32()
                if centred:
                    mean = splat_f32(_sum(x, group) / size)
                mean_square = _sum_squares(x, group, mean) / size
                factor = splat_f32(_ONE / np.sqrt(mean_square + load_f32(op + _A8)))
                for i in range(0, group, 8):
                    y = mul(sub(load_f32x8(x + 4 * i), mean), factor)
                    if weight != 0:
                        y = mul(y, load_f32x8(weight + 4 * i))
                    if bias != 0:
                        y = add(y, load_f32x8(bias + 4 * i))
                    store_f32x8(out + 4 * i, y)

    return kernel


# --- activations: GATE, GATE_STRIDE, UP, UP_STRIDE, OUT, OUT_STRIDE, WIDTH --------------------------------------------


@inline
def _silu(x):  # type: ignore[no-untyped-def]
    return mul(x, sigmoid(x))


@inline
def _gelu(x):  # type: ignore[no-untyped-def]
    inner = mul(mul(splat_f32(_GELU), x), fma_f32(mul(splat_f32(_CUBIC), x), x, splat_f32(_ONE)))
    return mul(mul(splat_f32(_HALF), x), add(splat_f32(_ONE), tanh(inner)))


@inline
def _gelu_erf(x):  # type: ignore[no-untyped-def]
    return mul(mul(splat_f32(_HALF), x), add(splat_f32(_ONE), erf(mul(x, splat_f32(_ROOT_HALF)))))


@inline
def _relu(x):  # type: ignore[no-untyped-def]
    return maximum(zero_f32(), x)


@inline
def _quick_gelu(x):  # type: ignore[no-untyped-def]
    return mul(x, sigmoid(mul(splat_f32(_QUICK), x)))


_ACTIVATIONS = {"silu": _silu, "gelu": _gelu, "gelu_erf": _gelu_erf, "relu": _relu, "quick_gelu": _quick_gelu}


def _activate(function: Any) -> Callable[..., None]:
    def kernel(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
        width, up = load_i64(op + _A6), load_i64(op + _A2)
        for row in range(begin, end):
            x = load_i64(op + _A0) + row * load_i64(op + _A1)
            factor = up + row * load_i64(op + _A3)
            out = load_i64(op + _A4) + row * load_i64(op + _A5)
            for i in range(0, width, 8):
                y = function(load_f32x8(x + 4 * i))
                if up != 0:
                    y = mul(y, load_f32x8(factor + 4 * i))
                store_f32x8(out + 4 * i, y)

    return kernel


# --- A, A_STRIDE, B, B_STRIDE, OUT, OUT_STRIDE, WIDTH, SCALE ----------------------------------------------------------


def _add(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
    """out = a + b * scale."""
    width, scale = load_i64(op + _A6), splat_load_f32(op + _A7)
    for row in range(begin, end):
        a = load_i64(op + _A0) + row * load_i64(op + _A1)
        b = load_i64(op + _A2) + row * load_i64(op + _A3)
        out = load_i64(op + _A4) + row * load_i64(op + _A5)
        for i in range(0, width, 8):
            scaled = mul(load_f32x8(b + 4 * i), scale)
            store_f32x8(out + 4 * i, add(load_f32x8(a + 4 * i), scaled))


# --- X, X_STRIDE, OUT, OUT_STRIDE, WIDTH ------------------------------------------------------------------------------


def _select(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
    """out[r] = x[output_rows[r]]."""
    width = load_i64(op + _A4)
    for row in range(begin, end):
        source = load_i32(load_i64(env + _OUTPUT_ROWS) + 4 * row)
        x = load_i64(op + _A0) + source * load_i64(op + _A1)
        out = load_i64(op + _A2) + row * load_i64(op + _A3)
        for i in range(0, width, 8):
            store_f32x8(out + 4 * i, load_f32x8(x + 4 * i))


# --- X, X_STRIDE, WIDTH, CAP, SCALE -----------------------------------------------------------------------------------


def _softcap(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
    """x = cap · tanh(x / cap) · scale; no cap when it is 0."""
    width, cap, scale = load_i64(op + _A2), splat_load_f32(op + _A3), splat_load_f32(op + _A4)
    capped = load_f32(op + _A3) > np.float32(0)
    for row in range(begin, end):
        x = load_i64(op + _A0) + row * load_i64(op + _A1)
        for i in range(0, width, 8):
            y = load_f32x8(x + 4 * i)
            if capped:
                y = mul(cap, tanh(div(y, cap)))
            store_f32x8(x + 4 * i, mul(y, scale))


def build(what: str) -> Callable[..., None]:
    """ "rms", "layer", "add", "select", "softcap" or the name of an activation."""
    if what in _ACTIVATIONS:
        return _activate(_ACTIVATIONS[what])
    if what in ("rms", "layer"):
        return _norm(what == "layer")
    return {"add": _add, "select": _select, "softcap": _softcap}[what]
