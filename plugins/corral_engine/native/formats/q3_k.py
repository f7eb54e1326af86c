"""Q3_K: 256 weights in 110 bytes: 32 bytes of third bits, 64 of low two bits, twelve of six-bit scales, d (float16).

Each 16 weights have a scale s: d·(s − 32)·(q − 4).  Packed, eight rows: eight planes of two bits, eight planes of third
bits, two scales a row for each 32 weights, eight d.
"""

from collections.abc import Callable

from corral_engine.native.catalog import FORMATS
from corral_engine.native.formats.bits import joined, one_bit_codes, two_bit_codes, write_one_bit, write_two_bits
from corral_engine.native.formats.six_bits import PAIR_BYTES, load_pairs, write_pair
from corral_engine.native.kernels import product
from corral_engine.native.kernels.kinds import Kind
from corral_engine.native.simd import (
    inline,
    load_f16x8,
    load_u8,
    load_u16,
    make_pairs,
    splat_i32,
    store_u16,
    sub_i32,
    zero_f32,
    zero_i32,
)

_FACTS = FORMATS["Q3_K"]
_BYTES, _THIRD, _SCALES, _D = _FACTS.packed_bytes, 512, 768, 864


@inline
def _scale(scales, j):  # type: ignore[no-untyped-def]
    """Number j of the sixteen scales in twelve bytes: eight bytes of low nibbles, four of high bits."""
    low = load_u8(scales + (j & 7)) >> 4 * (j >> 3) & 15
    return low | (load_u8(scales + 8 + (j & 3)) >> 2 * (j >> 2) & 3) << 4


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    store_u16(target + _D + 2 * lane, load_u16(source + 108))
    for j in range(8):
        first, second = _scale(source + 96, 2 * j), _scale(source + 96, 2 * j + 1)
        write_pair(target + _SCALES + PAIR_BYTES * j, lane, first, second)
        write_two_bits(source + 32 + 32 * (j >> 2), 2 * (j & 3), target + 64 * j, lane)
        write_one_bit(source, j, target + _THIRD + 32 * j, lane)
    return 0


@inline
def _codes(group, b):  # type: ignore[no-untyped-def]
    p, j = group + (b >> 3) * _BYTES, b & 7
    return joined(two_bit_codes(p + 64 * j), one_bit_codes(p + _THIRD + 32 * j), 2)


@inline
def _sides(group, b):  # type: ignore[no-untyped-def]
    p = group + (b >> 3) * _BYTES
    first, second = load_pairs(p + _SCALES + PAIR_BYTES * (b & 7))
    pairs = make_pairs(sub_i32(first, splat_i32(32)), sub_i32(second, splat_i32(32)))
    return load_f16x8(p + _D), zero_f32(), pairs, zero_i32()


FORMAT = product.BlockFormat(Kind(zero=4, halves=True), _FACTS, _repack, _codes, _sides)


def build(what: str) -> Callable[..., None]:
    """See `product.build`."""
    return product.build(FORMAT, what)
