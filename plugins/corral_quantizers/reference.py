"""The searches behind the block formats, in plain numpy: the definition, and what runs when Numba is absent.

`x` is always (S, n) float32: S sub-blocks of n weights.  Codes are (S, n) uint8, counted up from the lowest code.  Sums
run over a sub-block in order, in float32, so that `corral_quantizers.kernels` gives the same bits eight at a time.
Source: the k-quant searches of llama.cpp (weighted least squares over trial scales), from their description.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]

TINY = np.float32(1e-15)  # a sub-block whose largest weight is smaller counts as zero
TABLE = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.float32)
MIDPOINTS = (TABLE[1:] + TABLE[:-1]) / np.float32(2)  # exact; a tie goes to the upper entry
MX_VALUES = np.array([0, 1, 2, 3, 4, 6, 8, 12], dtype=np.float32)  # E2M1 magnitudes, doubled
MX_MIDPOINTS = (MX_VALUES[1:] + MX_VALUES[:-1]) / np.float32(2)
DESCENT_PASSES = 5


def all_finite(x: Floats) -> bool:
    """Whether no weight is NaN or infinite."""
    return bool(np.isfinite(x).all())


def affine_search(
    x: Floats, n_max: int, first: float, step: float, n_steps: int, *, absolute: bool, rms_weight: bool
) -> tuple[Codes, Floats, Floats]:
    """Fit x ≈ scale * code - minimum, code in 0…n_max, minimum ≥ 0; returns codes, scale (S,), minimum (S,).

    The trial scales are (n_max + first + step * i) / range for i in 0…n_steps, each refitted by least squares with
    weights |x| (plus the sub-block's RMS when `rms_weight`).  `absolute` compares trials by absolute error.
    """
    columns = np.ascontiguousarray(x.T)
    low, high = np.minimum(columns.min(axis=0), np.float32(0)), columns.max(axis=0)
    weights = np.abs(columns)
    if rms_weight:
        weights = np.sqrt(_total(columns * columns) / np.float32(len(columns))) + weights
    sum_w, sum_x = _total(weights), _total(weights * columns)
    zero, top = np.float32(0), np.float32(n_max)

    def codes_for(inverse: Floats, base: Floats) -> Floats:
        return np.clip(np.rint(inverse * (columns - base)), zero, top)

    def error_of(codes: Floats, scale: Floats, base: Floats) -> Floats:
        difference = scale * codes + base - columns
        return _total(weights * (np.abs(difference) if absolute else difference * difference))

    with np.errstate(all="ignore"):  # constant sub-blocks divide by zero and are replaced at the end
        inverse = top / (high - low)
        base: Floats = low
        scale: Floats = np.float32(1) / inverse
        best, best_inverse, best_base = error_of(codes_for(inverse, base), scale, base), inverse, base
        for numerator in trial_numerators(n_max, first, step, n_steps):
            inverse = numerator / (high - base)
            codes = codes_for(inverse, base)
            weighted = weights * codes
            sum_l, sum_l2, sum_xl = _total(weighted), _total(weighted * codes), _total(weighted * columns)
            determinant = sum_w * sum_l2 - sum_l * sum_l
            new_scale: Floats = np.divide(sum_w * sum_xl - sum_x * sum_l, determinant)
            new_base: Floats = np.divide(sum_l2 * sum_x - sum_l * sum_xl, determinant)
            positive = new_base > 0  # the minimum is never positive: fit the scale alone
            new_scale = np.where(positive, sum_xl / sum_l2, new_scale)
            new_base = np.where(positive, zero, new_base)
            error = error_of(codes, new_scale, new_base)
            better = (determinant > 0) & (error < best)
            best = np.where(better, error, best)
            best_inverse, best_base = np.where(better, inverse, best_inverse), np.where(better, base, best_base)
            scale, base = np.where(better, new_scale, scale), np.where(better, new_base, base)
        codes = codes_for(best_inverse, best_base)
    constant = high == low
    codes, scale, base = np.where(constant, zero, codes), np.where(constant, zero, scale), np.where(constant, low, base)
    return np.ascontiguousarray(codes.T).astype(np.uint8), scale.astype(np.float32), -base.astype(np.float32)


def trial_numerators(n_max: int, first: float, step: float, n_steps: int) -> Floats:
    """The numerators of `affine_search`'s trial scales, rounded to float32 after every operation."""
    index = np.arange(n_steps + 1, dtype=np.float32)
    return np.float32(first) + np.float32(step) * index + np.float32(n_max)


def symmetric_search(x: Floats, n_max: int) -> tuple[Codes, Floats]:
    """Fit x ≈ scale * (code - n_max), weights x²; returns codes in 0…2 n_max - 1 and scale (S,)."""
    columns = np.ascontiguousarray(x.T)
    extreme = signed_extreme(x)
    weights = columns * columns

    def trial(inverse: Floats) -> tuple[Floats, Floats]:
        codes = np.clip(np.rint(inverse * columns), np.float32(-n_max), np.float32(n_max - 1))
        return _total(weights * columns * codes), _total(weights * codes * codes)

    with np.errstate(all="ignore"):
        inverse = np.float32(-n_max) / extreme
        sum_lx, sum_l2 = trial(inverse)
        scale = np.where(sum_l2 > 0, sum_lx / sum_l2, np.float32(0))
        best, best_inverse = scale * sum_lx, inverse
        for numerator in symmetric_numerators(n_max):
            inverse = numerator / extreme
            sum_lx, sum_l2 = trial(inverse)
            better = (sum_l2 > 0) & (sum_lx * sum_lx > best * sum_l2)
            scale = np.where(better, sum_lx / sum_l2, scale)
            best, best_inverse = np.where(better, scale * sum_lx, best), np.where(better, inverse, best_inverse)
        codes = np.clip(np.rint(best_inverse * columns), np.float32(-n_max), np.float32(n_max - 1))
    zero = np.abs(extreme) < TINY
    codes, scale = np.where(zero, -n_max, codes) + np.float32(n_max), np.where(zero, 0, scale)
    return np.ascontiguousarray(codes.T).astype(np.uint8), scale.astype(np.float32)


def symmetric_numerators(n_max: int) -> Floats:
    """The numerators of `symmetric_search`'s trial scales after the first."""
    index = np.array([t for t in range(-9, 10) if t], dtype=np.float32)
    return -(np.float32(n_max) + np.float32(0.1) * index)


def descent_search(x: Floats, n_max: int) -> tuple[Codes, Floats]:
    """Fit x ≈ scale * (code - n_max), weights x², by improving one code at a time; returns codes and scale (S,)."""
    columns = np.ascontiguousarray(x.T)
    extreme = signed_extreme(x)
    weights = columns * columns
    low, high = np.float32(-n_max), np.float32(n_max - 1)
    with np.errstate(all="ignore"):
        codes = np.clip(np.rint(np.float32(-n_max) / extreme * columns), low, high)
        sum_lx, sum_l2 = _total(weights * columns * codes), _total(weights * codes * codes)
        for _ in range(DESCENT_PASSES):
            changed = np.zeros(len(x), dtype=np.bool_)
            for i, (row, w) in enumerate(zip(columns, weights, strict=True)):
                old = codes[i]
                rest_lx, rest_l2 = sum_lx - w * row * old, sum_l2 - w * old * old
                new = np.clip(np.rint(row * rest_l2 / rest_lx), low, high)
                new_lx, new_l2 = rest_lx + w * row * new, rest_l2 + w * new * new
                better = (rest_lx > 0) & (new != old) & (new_l2 > 0)
                better &= new_lx * new_lx * sum_l2 > sum_lx * sum_lx * new_l2
                codes[i] = np.where(better, new, old)
                sum_lx, sum_l2 = np.where(better, new_lx, sum_lx), np.where(better, new_l2, sum_l2)
                changed |= better
            if not changed.any():
                break
        scale = np.where(sum_l2 > 0, sum_lx / sum_l2, np.float32(0))
    zero = np.abs(extreme) < TINY
    codes, scale = np.where(zero, low, codes) + np.float32(n_max), np.where(zero, 0, scale)
    return np.ascontiguousarray(codes.T).astype(np.uint8), scale.astype(np.float32)


def table_search(x: Floats) -> Floats:
    """Fit x ≈ scale * TABLE[code], weights x²; returns scale (S,)."""
    columns = np.ascontiguousarray(x.T)
    extreme = signed_extreme(x)
    weights = columns * columns

    def trial(inverse: Floats) -> tuple[Floats, Floats]:
        values = TABLE[np.searchsorted(MIDPOINTS, inverse * columns, side="right")]
        return _total(weights * values * columns), _total(weights * values * values)

    with np.errstate(all="ignore"):
        sum_qx, sum_q2 = trial(np.float32(1) / (-extreme / TABLE[0]))
        scale = sum_qx / sum_q2
        best = scale * sum_qx
        for t in range(-7, 8):
            sum_qx, sum_q2 = trial((np.float32(t) + TABLE[0]) / extreme)
            better = (sum_q2 > 0) & (sum_qx * sum_qx > best * sum_q2)
            scale = np.where(better, sum_qx / sum_q2, scale)
            best = np.where(better, scale * sum_qx, best)
    return np.where(np.abs(extreme) < TINY, 0, scale).astype(np.float32)


def round_codes(x: Floats, scale: Floats, minimum: Floats, low: int, high: int, codes: Codes) -> None:
    """Replace `codes` by round((x + minimum) / scale), clamped to low…high, less low; kept where scale (S,) is 0."""
    with np.errstate(all="ignore"):
        new = np.clip(np.rint((x + minimum[:, None]) / scale[:, None]), np.float32(low), np.float32(high))
    usable = scale != 0
    codes[usable] = (new[usable] - np.float32(low)).astype(np.uint8)


def table_codes(x: Floats, inverse: Floats) -> Codes:
    """The index of the TABLE entry nearest to x * inverse, inverse (S,)."""
    return np.searchsorted(MIDPOINTS, x * inverse[:, None], side="right").astype(np.uint8)


def extreme_codes(x: Floats, n_max: int) -> tuple[Codes, Floats]:
    """Codes around n_max on a grid that puts the weight of largest magnitude on code 0; returns codes, scale (S,)."""
    scale = signed_extreme(x) / np.float32(-n_max)
    codes = np.trunc(x * _inverse(scale)[:, None] + np.float32(n_max + 0.5))
    return np.minimum(codes, np.float32(2 * n_max - 1)).astype(np.uint8), scale


def range_codes(x: Floats, n_max: int) -> tuple[Codes, Floats, Floats]:
    """Codes 0…n_max on a grid from the smallest to the largest weight; returns codes, scale (S,), smallest (S,)."""
    low = x.min(axis=1)
    scale = (x.max(axis=1) - low) / np.float32(n_max)
    codes = np.trunc((x - low[:, None]) * _inverse(scale)[:, None] + np.float32(0.5))
    return np.minimum(codes, np.float32(n_max)).astype(np.uint8), scale, low


def byte_codes(x: Floats) -> tuple[Codes, Floats]:
    """Signed codes -127…127 as bytes, halves rounded away from zero; returns codes, scale (S,)."""
    scale = np.abs(x).max(axis=1) / np.float32(127)
    scaled = np.abs(x * _inverse(scale)[:, None])
    whole = np.floor(scaled)
    codes = np.copysign(whole + (scaled - whole >= np.float32(0.5)), x)
    return codes.astype(np.int8).view(np.uint8), scale


def mx_codes(x: Floats, scale: Floats) -> Codes:
    """The E2M1 code nearest to x / scale (S,), the smaller magnitude of two equally near; bit 3 is the sign."""
    codes = np.zeros(x.shape, dtype=np.uint8)
    size = np.abs(x)
    for midpoint in MX_MIDPOINTS:
        codes += size > midpoint * scale[:, None]
    return codes + np.uint8(8) * ((x < 0) & (codes > 0))


def widen_halves(halves: npt.NDArray[np.uint16]) -> Floats:
    """Half floats, given as their bits, to float32."""
    return halves.view(np.float16).astype(np.float32)


def narrow_halves(x: Floats) -> npt.NDArray[np.uint16]:
    """Float32 to the bits of half floats, rounded to nearest, halves to even; beyond 65504 is infinite."""
    with np.errstate(over="ignore"):
        return x.astype(np.float16).view(np.uint16)


def narrow_brains(x: Floats) -> npt.NDArray[np.uint16]:
    """Float32 to the bits of bfloat16, rounded to nearest, halves to even; a NaN stays one."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))
    quiet = bits | np.uint32(0x400000)
    return (np.where(np.isnan(x), quiet, rounded) >> np.uint32(16)).astype(np.uint16)


def pack_nibbles(codes: Codes, half: int) -> Codes:
    """Two codes a byte: of every 2 * half codes of a row the first half low, the second half high."""
    pairs = codes.reshape(len(codes), -1, 2, half)
    return (pairs[:, :, 0] | pairs[:, :, 1] << np.uint8(4)).reshape(len(codes), -1)


def _inverse(scale: Floats) -> Floats:
    """1 / scale, or 0 where that is infinite."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scale
    return np.where(np.isfinite(inverse), inverse, np.float32(0))


def signed_extreme(x: Floats) -> Floats:
    """The weight of largest magnitude in each sub-block, with its sign; the first of equals."""
    return np.take_along_axis(x, np.abs(x).argmax(axis=1, keepdims=True), axis=1)[:, 0]


def _total(terms: Floats | Sequence[Floats]) -> Floats:
    """Sum over the first axis strictly in order: numpy's own sum may pair terms up."""
    total = np.zeros_like(terms[0])
    for term in terms:
        total = total + term
    return total
