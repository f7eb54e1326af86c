"""MXFP4: 32 weights of four bits (e2m1) with a common power of two, in 17 bytes: the exponent, then 16 bytes of codes.

A code stands for 0, ½, 1, 1½, 2, 3, 4 or 6 with a sign; twice that, plus 12, is the unsigned code that is multiplied,
and the scale is half of 2^(e − 127).  Packed, eight rows: eight exponents, a plane of nibbles.
"""

from collections.abc import Callable

import numpy as np

from corral_engine.native.catalog import FORMATS
from corral_engine.native.formats.bits import nibble_codes, repack_words
from corral_engine.native.kernels import product
from corral_engine.native.kernels.kinds import Kind
from corral_engine.native.simd import (
    as_f32,
    inline,
    load_u8,
    load_u8x8,
    shift_left,
    splat_f32,
    splat_i32,
    store_u8,
    sub_i32,
    table_word,
    to_f32,
    where_less,
    zero_f32,
    zero_i32,
)

_FACTS = FORMATS["MXFP4"]
_BYTES, _CODES, _ZERO = _FACTS.packed_bytes, 8, 12
_DOUBLED = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
_LEAST, _TWO = np.float32(2.0**-128), np.float32(2)

_look_up = table_word([value + _ZERO for value in _DOUBLED])


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    store_u8(target + lane, load_u8(source))
    return repack_words(source + 1, target + _CODES, lane, 4)


@inline
def _codes(group, b):  # type: ignore[no-untyped-def]
    c = nibble_codes(group + b * _BYTES + _CODES)
    first = _look_up(c[0]), _look_up(c[1]), _look_up(c[2]), _look_up(c[3])
    return (*first, _look_up(c[4]), _look_up(c[5]), _look_up(c[6]), _look_up(c[7]))


@inline
def _sides(group, b):  # type: ignore[no-untyped-def]
    """2^(e − 128); exponents 0 and 1 give subnormal numbers."""
    e = load_u8x8(group + b * _BYTES)
    exponents = to_f32(e)
    normal = as_f32(shift_left(sub_i32(e, splat_i32(1)), 23))
    least, twice = splat_f32(_LEAST), splat_f32(_LEAST * _TWO)
    small = where_less(exponents, splat_f32(np.float32(1)), least, twice)
    scale = where_less(exponents, splat_f32(_TWO), small, normal)
    return scale, zero_f32(), zero_i32(), zero_i32()


FORMAT = product.BlockFormat(Kind(bits=5, zero=_ZERO), _FACTS, _repack, _codes, _sides)


def build(what: str) -> Callable[..., None]:
    """See `product.build`."""
    return product.build(FORMAT, what)
