"""Q2_K: 256 weights in 84 bytes: 16 bytes of scales (low nibble) and minima (high), 64 of codes, d and dmin (float16).

Each 16 weights have a scale s and a minimum m: d·s·q − dmin·m.  Packed, eight rows: eight planes of two bits, two bytes
of scales and minima a row for each 32 weights, eight d, eight dmin.
"""

from collections.abc import Callable

from corral_engine.native.catalog import FORMATS
from corral_engine.native.formats.bits import two_bit_codes, write_two_bits
from corral_engine.native.kernels import product
from corral_engine.native.kernels.kinds import Kind
from corral_engine.native.simd import (
    and_i32,
    inline,
    load_f16x8,
    load_u8_pairs,
    load_u16,
    shift_right,
    splat_i32,
    store_u16,
    sub,
    zero_f32,
)

_FACTS = FORMATS["Q2_K"]
_BYTES, _SCALES, _D = _FACTS.packed_bytes, 512, 640
_NIBBLES = 0x000F000F  # of a pair


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    store_u16(target + _D + 2 * lane, load_u16(source + 80))
    store_u16(target + _D + 16 + 2 * lane, load_u16(source + 82))
    for j in range(8):
        store_u16(target + _SCALES + 16 * j + 2 * lane, load_u16(source + 2 * j))
        write_two_bits(source + 16 + 32 * (j >> 2), 2 * (j & 3), target + 64 * j, lane)
    return 0


@inline
def _codes(group, b):  # type: ignore[no-untyped-def]
    return two_bit_codes(group + (b >> 3) * _BYTES + 64 * (b & 7))


@inline
def _sides(group, b):  # type: ignore[no-untyped-def]
    p = group + (b >> 3) * _BYTES
    both = load_u8_pairs(p + _SCALES + 16 * (b & 7))
    pairs, minima = and_i32(both, splat_i32(_NIBBLES)), and_i32(shift_right(both, 4), splat_i32(_NIBBLES))
    return load_f16x8(p + _D), sub(zero_f32(), load_f16x8(p + _D + 16)), pairs, minima


FORMAT = product.BlockFormat(Kind(halves=True, minima=True), _FACTS, _repack, _codes, _sides)


def build(what: str) -> Callable[..., None]:
    """See `product.build`."""
    return product.build(FORMAT, what)
