"""exp, tanh, sigmoid and erf of a register of float32.  Relative error of exp about 1e-7; NaN stays NaN."""

import numpy as np

from corral_engine.native.simd import (
    absolute,
    add,
    add_i32,
    as_f32,
    as_i32,
    div,
    fma_f32,
    inline,
    like,
    like_i32,
    maximum,
    minimum,
    mul,
    shift_left,
    sub,
    sub_i32,
    where_less,
)

_MAGIC = np.float32(12582912.0)  # 1.5 · 2^23: adding it leaves the rounded integer in the low bits
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOWEST, _HIGHEST = np.float32(-87.3), np.float32(88.7)
# Remez coefficients of (e^r - 1 - r) / r² on |r| <= ln(2)/2, highest power first (Cephes, S. Moshier).
_C5, _C4, _C3 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_C2, _C1, _C0 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)

# Abramowitz & Stegun 7.1.26: erf within 1.5e-7.
_P = np.float32(0.3275911)
_A1, _A2, _A3 = np.float32(0.254829592), np.float32(-0.284496736), np.float32(1.421413741)
_A4, _A5 = np.float32(-1.453152027), np.float32(1.061405429)


@inline
def exp(x):  # type: ignore[no-untyped-def]
    """e^x; 0 below -87.3."""
    clamped = minimum(like(x, _HIGHEST), maximum(like(x, _LOWEST), x))
    shifted = fma_f32(clamped, like(x, _LOG2_E), like(x, _MAGIC))
    n = sub(shifted, like(x, _MAGIC))
    r = fma_f32(n, like(x, -_LN2_LOW), fma_f32(n, like(x, -_LN2_HIGH), clamped))
    y = fma_f32(like(x, _C5), r, like(x, _C4))
    y = fma_f32(y, r, like(x, _C3))
    y = fma_f32(y, r, like(x, _C2))
    y = fma_f32(y, r, like(x, _C1))
    y = fma_f32(y, r, like(x, _C0))
    y = add(fma_f32(y, mul(r, r), r), like(x, _ONE))
    n_bits = as_i32(shifted)
    power = as_f32(shift_left(add_i32(sub_i32(n_bits, like_i32(n_bits, 0x4B400000)), like_i32(n_bits, 127)), 23))
    return where_less(x, like(x, _LOWEST), like(x, _ZERO), mul(y, power))


@inline
def sigmoid(x):  # type: ignore[no-untyped-def]
    return div(like(x, _ONE), add(like(x, _ONE), exp(sub(like(x, _ZERO), x))))


@inline
def tanh(x):  # type: ignore[no-untyped-def]
    """1 - 2 / (e^2x + 1): absolute error about 1e-7, 0 at 0."""
    return sub(like(x, _ONE), div(like(x, _TWO), add(exp(add(x, x)), like(x, _ONE))))


@inline
def erf(x):  # type: ignore[no-untyped-def]
    magnitude = absolute(x)
    t = div(like(x, _ONE), fma_f32(like(x, _P), magnitude, like(x, _ONE)))
    y = fma_f32(like(x, _A5), t, like(x, _A4))
    y = fma_f32(y, t, like(x, _A3))
    y = fma_f32(y, t, like(x, _A2))
    y = mul(fma_f32(y, t, like(x, _A1)), t)
    positive = sub(like(x, _ONE), mul(y, exp(sub(like(x, _ZERO), mul(magnitude, magnitude)))))
    return where_less(x, like(x, _ZERO), sub(like(x, _ZERO), positive), positive)
