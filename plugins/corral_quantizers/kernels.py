"""The functions of `corral_quantizers.reference`, compiled: same names, arguments and results, bit for bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from corral_quantizers import code_kernels, reference, search_kernels
from corral_quantizers.reference import MIDPOINTS, MX_MIDPOINTS, TABLE, Codes, Floats
from corral_quantizers.simd import LANES

F = np.float32


def all_finite(x: Floats) -> bool:
    """Whether no weight is NaN or infinite."""
    flat = _flat(x)
    whole = flat.size - flat.size % LANES
    return bool(search_kernels.all_finite(flat[:whole])) and reference.all_finite(flat[whole:])


def affine_search(
    x: Floats, n_max: int, first: float, step: float, n_steps: int, *, absolute: bool, rms_weight: bool
) -> tuple[Codes, Floats, Floats]:
    """See `reference.affine_search`."""
    padded, n_real = _padded(x)
    codes, scale = _results(padded)
    minimum = np.empty_like(scale)
    numerators = reference.trial_numerators(n_max, first, step, n_steps)
    search_kernels.affine_search(
        _flat(padded), x.shape[1], F(n_max), numerators, absolute, rms_weight, codes.reshape(-1), scale, minimum
    )
    return codes[:n_real], scale[:n_real], minimum[:n_real]


def symmetric_search(x: Floats, n_max: int) -> tuple[Codes, Floats]:
    """See `reference.symmetric_search`."""
    padded, n_real = _padded(x)
    codes, scale = _results(padded)
    numerators = reference.symmetric_numerators(n_max)
    search_kernels.symmetric_search(_flat(padded), x.shape[1], F(n_max), numerators, codes.reshape(-1), scale)
    return codes[:n_real], scale[:n_real]


def descent_search(x: Floats, n_max: int) -> tuple[Codes, Floats]:
    """See `reference.descent_search`."""
    padded, n_real = _padded(x)
    codes, scale = _results(padded)
    search_kernels.descent_search(_flat(padded), x.shape[1], F(n_max), codes.reshape(-1), scale)
    return codes[:n_real], scale[:n_real]


def table_search(x: Floats) -> Floats:
    """See `reference.table_search`."""
    padded, n_real = _padded(x)
    scale = np.empty(len(padded), dtype=np.float32)
    search_kernels.table_search(_flat(padded), x.shape[1], TABLE, MIDPOINTS, scale)
    return scale[:n_real]


def round_codes(x: Floats, scale: Floats, minimum: Floats, low: int, high: int, codes: Codes) -> None:
    """See `reference.round_codes`."""
    search_kernels.round_codes(_flat(x), x.shape[1], scale, minimum, F(low), F(high), codes.reshape(-1))


def table_codes(x: Floats, inverse: Floats) -> Codes:
    """See `reference.table_codes`."""
    codes = np.empty(x.shape, dtype=np.uint8)
    search_kernels.table_codes(_flat(x), x.shape[1], inverse, MIDPOINTS, codes.reshape(-1))
    return codes


def extreme_codes(x: Floats, n_max: int) -> tuple[Codes, Floats]:
    """See `reference.extreme_codes`."""
    codes, scale = _results(x)
    code_kernels.extreme_codes(_flat(x), F(n_max), codes.reshape(-1), scale)
    return codes, scale


def range_codes(x: Floats, n_max: int) -> tuple[Codes, Floats, Floats]:
    """See `reference.range_codes`."""
    codes, scale = _results(x)
    low = np.empty_like(scale)
    code_kernels.range_codes(_flat(x), F(n_max), codes.reshape(-1), scale, low)
    return codes, scale, low


def byte_codes(x: Floats) -> tuple[Codes, Floats]:
    """See `reference.byte_codes`."""
    codes, scale = _results(x)
    code_kernels.byte_codes(_flat(x), codes.reshape(-1), scale)
    return codes, scale


def mx_codes(x: Floats, scale: Floats) -> Codes:
    """See `reference.mx_codes`."""
    codes = np.empty(x.shape, dtype=np.uint8)
    code_kernels.mx_codes(_flat(x), scale, MX_MIDPOINTS, codes.reshape(-1))
    return codes


def widen_halves(halves: npt.NDArray[np.uint16]) -> Floats:
    """See `reference.widen_halves`."""
    flat = _flat(halves)
    out = np.empty(flat.size, dtype=np.float32)
    whole = flat.size - flat.size % LANES
    code_kernels.widen_halves(flat, whole, out)
    out[whole:] = flat[whole:].view(np.float16)
    return out.reshape(halves.shape)


def narrow_halves(x: Floats) -> npt.NDArray[np.uint16]:
    """See `reference.narrow_halves`."""
    return _narrowed(x, code_kernels.narrow_halves, reference.narrow_halves)


def narrow_brains(x: Floats) -> npt.NDArray[np.uint16]:
    """See `reference.narrow_brains`."""
    return _narrowed(x, code_kernels.narrow_brains, reference.narrow_brains)


def pack_nibbles(codes: Codes, half: int) -> Codes:
    """See `reference.pack_nibbles`."""
    packed = np.empty((len(codes), codes.shape[1] // 2), dtype=np.uint8)
    code_kernels.pack_nibbles(_flat(codes), half, packed.reshape(-1))
    return packed


def _narrowed(x: Floats, compiled: Callable[..., Any], plain: Callable[..., Any]) -> npt.NDArray[np.uint16]:
    """Whole vectors by the compiled function, the rest by the plain one."""
    flat = _flat(x)
    out = np.empty(flat.size, dtype=np.uint16)
    whole = flat.size - flat.size % LANES
    compiled(flat, whole, out)
    out[whole:] = plain(flat[whole:])
    return out.reshape(x.shape)


def _flat(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One dimension, read-only: whether the caller may write an array is part of its type, and compiled for anew."""
    flat = np.ascontiguousarray(array).reshape(-1).view()
    flat.flags.writeable = False
    return flat


def _padded(x: Floats) -> tuple[Floats, int]:
    """`x` with at least eight rows, and how many of them are real."""
    n_real = len(x)
    if n_real >= LANES:
        return np.ascontiguousarray(x), n_real
    padded = np.zeros((LANES, x.shape[1]), dtype=np.float32)
    padded[:n_real] = x
    return padded, n_real


def _results(x: Floats) -> tuple[Codes, Floats]:
    """Room for codes and scales."""
    return np.empty(x.shape, dtype=np.uint8), np.empty(len(x), dtype=np.float32)
