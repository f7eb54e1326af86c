"""Q4_K: 256 weights in 144 bytes: d and dmin (float16), twelve bytes of six-bit scales and minima, 128 bytes of codes.

Each 32 weights have a scale s and a minimum m: d·s·q − dmin·m.  Packed, eight rows: eight planes of nibbles, eight
pairs of scales and minima, eight d, eight dmin.  d·s and dmin·m are exact in float32.
"""

from collections.abc import Callable

from corral_engine.native.catalog import FORMATS
from corral_engine.native.formats.bits import nibble_codes, write_nibbles
from corral_engine.native.formats.six_bits import PAIR_BYTES, load_pairs, scale_and_minimum, write_pair
from corral_engine.native.kernels import product
from corral_engine.native.kernels.kinds import Kind
from corral_engine.native.simd import (
    inline,
    load_f16x8,
    load_u16,
    mul,
    store_u16,
    sub,
    to_f32,
    zero_f32,
    zero_i32,
)

_FACTS = FORMATS["Q4_K"]
_BYTES, _SCALES, _D = _FACTS.packed_bytes, 1024, 1120


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    store_u16(target + _D + 2 * lane, load_u16(source))
    store_u16(target + _D + 16 + 2 * lane, load_u16(source + 2))
    for j in range(8):
        scale, minimum = scale_and_minimum(source + 4, j)
        write_pair(target + _SCALES + PAIR_BYTES * j, lane, scale, minimum)
        write_nibbles(source + 16 + 32 * (j >> 1), 4 * (j & 1), target + 128 * j, lane)
    return 0


@inline
def _codes(group, b):  # type: ignore[no-untyped-def]
    return nibble_codes(group + (b >> 3) * _BYTES + 128 * (b & 7))


@inline
def _sides(group, b):  # type: ignore[no-untyped-def]
    p = group + (b >> 3) * _BYTES
    scales, minima = load_pairs(p + _SCALES + PAIR_BYTES * (b & 7))
    scale, offset = mul(load_f16x8(p + _D), to_f32(scales)), mul(load_f16x8(p + _D + 16), to_f32(minima))
    return scale, sub(zero_f32(), offset), zero_i32(), zero_i32()


FORMAT = product.BlockFormat(Kind(offset=True), _FACTS, _repack, _codes, _sides)


def build(what: str) -> Callable[..., None]:
    """See `product.build`."""
    return product.build(FORMAT, what)
