"""Half floats and the codes of the 32-weight formats, compiled by Numba.

Arrays are flat.  What is computed is specified in `corral_quantizers.reference`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from corral_quantizers.compiler import inlined, jit
from corral_quantizers.reference import Codes, Floats
from corral_quantizers.simd import (
    LANES,
    floats,
    floor,
    largest,
    load,
    load_halves,
    magnitude,
    max_lane,
    min_lane,
    smallest,
    store,
    store_brains,
    store_bytes,
    store_halves,
    truncated,
    where,
)

F = np.float32
BLOCK = 32
INFINITY = F(np.inf)


@inlined
def _inverse(scale: np.float32) -> Any:
    inverse = F(1) / scale
    return inverse if abs(inverse) < INFINITY else F(0)


@inlined
def _bounds(x: Floats, start: int) -> tuple[np.float32, np.float32]:
    """The smallest and the largest weight of a block."""
    low = high = load(x, start)
    for i in range(start + LANES, start + BLOCK, LANES):
        v = load(x, i)
        low, high = smallest(low, v), largest(high, v)
    return min_lane(low), max_lane(high)


@inlined
def _signed_extreme(x: Floats, start: int) -> Any:
    """The weight of largest magnitude of a block, with its sign; the first of equals."""
    low, high = _bounds(x, start)
    if -low != high:
        return low if -low > high else high
    for i in range(start, start + BLOCK):
        if abs(x[i]) == high:
            return x[i]
    return high


@jit
def extreme_codes(x: Floats, n_max: np.float32, codes: Codes, scales: Floats) -> None:
    shift, top = floats(n_max + F(0.5)), floats(F(2) * n_max - F(1))
    for block in range(scales.size):
        scales[block] = _signed_extreme(x, block * BLOCK) / -n_max
        inverse = floats(_inverse(scales[block]))
        for i in range(block * BLOCK, block * BLOCK + BLOCK, LANES):
            store_bytes(codes, i, truncated(smallest(load(x, i) * inverse + shift, top)))


@jit
def range_codes(x: Floats, n_max: np.float32, codes: Codes, scales: Floats, lows: Floats) -> None:
    half, top = floats(F(0.5)), floats(n_max)
    for block in range(scales.size):
        low, high = _bounds(x, block * BLOCK)
        lows[block] = low
        scales[block] = (high - low) / n_max
        base, inverse = floats(low), floats(_inverse(scales[block]))
        for i in range(block * BLOCK, block * BLOCK + BLOCK, LANES):
            store_bytes(codes, i, truncated(smallest((load(x, i) - base) * inverse + half, top)))


@jit
def byte_codes(x: Floats, codes: Codes, scales: Floats) -> None:
    zero, half, one = floats(F(0)), floats(F(0.5)), floats(F(1))
    for block in range(scales.size):
        low, high = _bounds(x, block * BLOCK)
        scales[block] = abs(max(-low, high)) / F(127)
        inverse = floats(_inverse(scales[block]))
        for i in range(block * BLOCK, block * BLOCK + BLOCK, LANES):
            v = load(x, i)
            scaled = magnitude(v * inverse)
            whole = floor(scaled)
            code = whole + where(scaled - whole >= half, one, zero)
            store_bytes(codes, i, truncated(where(v < zero, zero - code, code)))


@jit
def mx_codes(x: Floats, scales: Floats, midpoints: Floats, codes: Codes) -> None:
    zero, one, sign = floats(F(0)), floats(F(1)), floats(F(8))
    for block in range(scales.size):
        for i in range(block * BLOCK, block * BLOCK + BLOCK, LANES):
            v, code = load(x, i), zero
            for k in range(7):
                code += where(magnitude(v) > floats(midpoints[k] * scales[block]), one, zero)
            negative = (v < zero) & (code > zero)
            store_bytes(codes, i, truncated(code + where(negative, sign, zero)))


@jit
def widen_halves(halves: npt.NDArray[np.uint16], n: int, out: Floats) -> None:
    for i in range(0, n, LANES):
        store(out, i, load_halves(halves, i))


@jit
def narrow_halves(x: Floats, n: int, out: npt.NDArray[np.uint16]) -> None:
    for i in range(0, n, LANES):
        store_halves(out, i, load(x, i))


@jit
def narrow_brains(x: Floats, n: int, out: npt.NDArray[np.uint16]) -> None:
    for i in range(0, n, LANES):
        store_brains(out, i, load(x, i))


@jit
def pack_nibbles(codes: Codes, half: int, packed: Codes) -> None:
    for group in range(packed.size // half):
        for i in range(half):
            packed[group * half + i] = codes[2 * group * half + i] | codes[2 * group * half + half + i] << 4
