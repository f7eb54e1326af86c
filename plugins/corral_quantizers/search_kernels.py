"""The k-quant searches compiled by Numba: eight sub-blocks at a time, one a SIMD lane.

Arrays are flat: `x` and `codes` hold sub-blocks of `n` weights one after the other, at least eight of them.  A last
group of fewer than eight overlaps the one before it.  What is computed is specified in `corral_quantizers.reference`.
"""

import numpy as np

from corral_quantizers.compiler import inlined, jit
from corral_quantizers.reference import DESCENT_PASSES, TINY, Codes, Floats
from corral_quantizers.simd import (
    LANES,
    Lanes,
    any_lane,
    floats,
    largest,
    load,
    load_strided,
    magnitude,
    nearest,
    root,
    smallest,
    store,
    store_bytes,
    truncated,
    where,
)

F = np.float32


@inlined
def _first_of_group(group: int, n_sub: int) -> int:
    """The first sub-block of a group of eight; the last group is moved back to be whole."""
    return min(group * LANES, n_sub - LANES)


@inlined
def _store_codes(codes: Codes, small: Codes, first: int, n: int) -> None:
    """Write lane-major `small` (n, 8) back as eight rows of codes."""
    for lane in range(LANES):
        for i in range(n):
            codes[(first + lane) * n + i] = small[i * LANES + lane]


@inlined
def _load_columns(x: Floats, first: int, n: int, columns: Floats) -> Lanes:
    """Transpose eight sub-blocks into `columns` (n, 8); returns each lane's signed extreme weight."""
    extreme = load_strided(x, first * n, n)
    for i in range(n):
        v = load_strided(x, first * n + i, n)
        store(columns, i * LANES, v)
        extreme = where(magnitude(v) > magnitude(extreme), v, extreme)
    return extreme


@inlined
def _clamped(value: Lanes, low: Lanes, high: Lanes) -> Lanes:
    return largest(smallest(nearest(value), high), low)


@jit
def all_finite(x: Floats) -> bool:
    zero = floats(F(0))
    total = zero
    for i in range(0, x.size, LANES):
        total += load(x, i) * zero  # NaN for NaN and for infinities
    return not any_lane(total != zero)


@jit
def affine_search(
    x: Floats,
    n: int,
    n_max: np.float32,
    numerators: Floats,
    absolute: bool,
    rms_weight: bool,
    codes: Codes,
    scales: Floats,
    minimums: Floats,
) -> None:
    n_sub = scales.size
    columns, weights, trial = np.empty(n * LANES, F), np.empty(n * LANES, F), np.empty(n * LANES, F)
    small = np.empty(n * LANES, np.uint8)
    zero, one, top = floats(F(0)), floats(F(1)), floats(n_max)
    for group in range((n_sub + LANES - 1) // LANES):
        first = _first_of_group(group, n_sub)
        low, high, squares = zero, load_strided(x, first * n, n), zero
        for i in range(n):
            v = load_strided(x, first * n + i, n)
            store(columns, i * LANES, v)
            low, high = smallest(low, v), largest(high, v)
            squares += v * v
        offset = root(squares / floats(F(n))) if rms_weight else zero
        sum_w, sum_x = zero, zero
        for i in range(n):
            v = load(columns, i * LANES)
            w = offset + magnitude(v)
            store(weights, i * LANES, w)
            sum_w += w
            sum_x += w * v
        inverse = top / (high - low)
        scale, base = one / inverse, low
        best_inverse, best_base, best = inverse, base, zero
        for i in range(n):
            v = load(columns, i * LANES)
            difference = scale * _clamped(inverse * (v - base), zero, top) + base - v
            best += load(weights, i * LANES) * (magnitude(difference) if absolute else difference * difference)
        for t in range(numerators.size):
            inverse = floats(numerators[t]) / (high - base)
            sum_l, sum_l2, sum_xl = zero, zero, zero
            for i in range(n):
                v = load(columns, i * LANES)
                code = _clamped(inverse * (v - base), zero, top)
                store(trial, i * LANES, code)
                weighted = load(weights, i * LANES) * code
                sum_l += weighted
                sum_l2 += weighted * code
                sum_xl += weighted * v
            determinant = sum_w * sum_l2 - sum_l * sum_l
            new_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant
            new_base = (sum_l2 * sum_x - sum_l * sum_xl) / determinant
            positive = new_base > zero
            new_scale, new_base = where(positive, sum_xl / sum_l2, new_scale), where(positive, zero, new_base)
            error = zero
            for i in range(n):
                difference = new_scale * load(trial, i * LANES) + new_base - load(columns, i * LANES)
                error += load(weights, i * LANES) * (magnitude(difference) if absolute else difference * difference)
            better = (determinant > zero) & (error < best)
            best = where(better, error, best)
            best_inverse, best_base = where(better, inverse, best_inverse), where(better, base, best_base)
            scale, base = where(better, new_scale, scale), where(better, new_base, base)
        varies = high > low
        for i in range(n):
            code = _clamped(best_inverse * (load(columns, i * LANES) - best_base), zero, top)
            store_bytes(small, i * LANES, truncated(where(varies, code, zero)))
        _store_codes(codes, small, first, n)
        store(scales, first, where(varies, scale, zero))
        store(minimums, first, zero - where(varies, base, low))


@jit
def symmetric_search(x: Floats, n: int, n_max: np.float32, numerators: Floats, codes: Codes, scales: Floats) -> None:
    n_sub = scales.size
    columns, small = np.empty(n * LANES, F), np.empty(n * LANES, np.uint8)
    zero, low, high, shift = floats(F(0)), floats(-n_max), floats(n_max - F(1)), floats(n_max)
    for group in range((n_sub + LANES - 1) // LANES):
        first = _first_of_group(group, n_sub)
        extreme = _load_columns(x, first, n, columns)
        scale, best, best_inverse = zero, zero, zero
        for t in range(-1, numerators.size):
            inverse = (low if t < 0 else floats(numerators[t])) / extreme
            sum_lx, sum_l2 = zero, zero
            for i in range(n):
                v = load(columns, i * LANES)
                code = _clamped(inverse * v, low, high)
                sum_lx += v * v * v * code
                sum_l2 += v * v * code * code
            better = sum_l2 > zero if t < 0 else (sum_l2 > zero) & (sum_lx * sum_lx > best * sum_l2)
            scale = where(better, sum_lx / sum_l2, scale)
            best = where(better, scale * sum_lx, best)
            best_inverse = inverse if t < 0 else where(better, inverse, best_inverse)
        usable = magnitude(extreme) >= floats(TINY)
        for i in range(n):
            code = where(usable, _clamped(best_inverse * load(columns, i * LANES), low, high), low)
            store_bytes(small, i * LANES, truncated(code + shift))
        _store_codes(codes, small, first, n)
        store(scales, first, where(usable, scale, zero))


@jit
def descent_search(x: Floats, n: int, n_max: np.float32, codes: Codes, scales: Floats) -> None:
    n_sub = scales.size
    columns, chosen, small = np.empty(n * LANES, F), np.empty(n * LANES, F), np.empty(n * LANES, np.uint8)
    zero, low, high, shift = floats(F(0)), floats(-n_max), floats(n_max - F(1)), floats(n_max)
    for group in range((n_sub + LANES - 1) // LANES):
        first = _first_of_group(group, n_sub)
        extreme = _load_columns(x, first, n, columns)
        inverse = low / extreme
        sum_lx, sum_l2 = zero, zero
        for i in range(n):
            v = load(columns, i * LANES)
            code = _clamped(inverse * v, low, high)
            store(chosen, i * LANES, code)
            sum_lx += v * v * v * code
            sum_l2 += v * v * code * code
        for _ in range(DESCENT_PASSES):
            changed = False
            for i in range(n):
                v, old = load(columns, i * LANES), load(chosen, i * LANES)
                w = v * v
                rest_lx, rest_l2 = sum_lx - w * v * old, sum_l2 - w * old * old
                new = _clamped(v * rest_l2 / rest_lx, low, high)
                new_lx, new_l2 = rest_lx + w * v * new, rest_l2 + w * new * new
                better = (rest_lx > zero) & (new != old) & (new_l2 > zero)
                better = better & (new_lx * new_lx * sum_l2 > sum_lx * sum_lx * new_l2)
                if any_lane(better):
                    changed = True
                    store(chosen, i * LANES, where(better, new, old))
                    sum_lx, sum_l2 = where(better, new_lx, sum_lx), where(better, new_l2, sum_l2)
            if not changed:
                break
        usable = magnitude(extreme) >= floats(TINY)
        for i in range(n):
            store_bytes(small, i * LANES, truncated(where(usable, load(chosen, i * LANES), low) + shift))
        _store_codes(codes, small, first, n)
        store(scales, first, where((sum_l2 > zero) & usable, sum_lx / sum_l2, zero))


@inlined
def _table_value(v: Lanes, table: Floats, midpoints: Floats) -> Lanes:
    """The table entry nearest to each lane."""
    value = floats(table[0])
    for k in range(15):
        value = where(v >= floats(midpoints[k]), floats(table[k + 1]), value)
    return value


@jit
def table_search(x: Floats, n: int, table: Floats, midpoints: Floats, scales: Floats) -> None:
    n_sub = scales.size
    columns = np.empty(n * LANES, F)
    zero, one = floats(F(0)), floats(F(1))
    for group in range((n_sub + LANES - 1) // LANES):
        first = _first_of_group(group, n_sub)
        extreme = _load_columns(x, first, n, columns)
        scale, best = zero, zero
        for t in range(-8, 8):
            inverse = one / ((zero - extreme) / floats(table[0])) if t == -8 else floats(F(t) + table[0]) / extreme
            sum_qx, sum_q2 = zero, zero
            for i in range(n):
                v = load(columns, i * LANES)
                value = _table_value(inverse * v, table, midpoints)
                weighted = v * v * value
                sum_qx += weighted * v
                sum_q2 += weighted * value
            better = sum_q2 > zero if t == -8 else (sum_q2 > zero) & (sum_qx * sum_qx > best * sum_q2)
            scale = where(better, sum_qx / sum_q2, scale)
            best = where(better, scale * sum_qx, best)
        store(scales, first, where(magnitude(extreme) >= floats(TINY), scale, zero))


@jit
def round_codes(
    x: Floats, n: int, scales: Floats, minimums: Floats, low: np.float32, high: np.float32, codes: Codes
) -> None:
    bottom, top = floats(low), floats(high)
    for block in range(scales.size):
        if scales[block] != F(0):
            scale, minimum = floats(scales[block]), floats(minimums[block])
            for i in range(block * n, block * n + n, LANES):
                code = _clamped((load(x, i) + minimum) / scale, bottom, top)
                store_bytes(codes, i, truncated(code - bottom))


@jit
def table_codes(x: Floats, n: int, inverses: Floats, midpoints: Floats, codes: Codes) -> None:
    zero, one = floats(F(0)), floats(F(1))
    for block in range(inverses.size):
        inverse = floats(inverses[block])
        for i in range(block * n, block * n + n, LANES):
            v, index = load(x, i) * inverse, zero
            for k in range(15):
                index += where(v >= floats(midpoints[k]), one, zero)
            store_bytes(codes, i, truncated(index))
