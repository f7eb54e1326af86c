"""IQ4_XS: 256 weights in 136 bytes: d (float16), 16 bits of high and four bytes of low bits of scales, 128 of codes.

Each 32 weights have a scale s of six bits: d·(s − 32)·table[q].  Packed, eight rows: eight planes of nibbles, low
nibbles of the scales, their high two bits, eight d.
"""

from collections.abc import Callable

from corral_engine.native.catalog import FORMATS
from corral_engine.native.formats.bits import repack_words, write_nibble
from corral_engine.native.formats.iq4 import table_codes
from corral_engine.native.kernels import product
from corral_engine.native.kernels.kinds import Kind
from corral_engine.native.simd import (
    inline,
    load_f16x8,
    load_u2x8,
    load_u4x8,
    load_u8,
    load_u16,
    mul,
    or_i32,
    shift_left,
    splat_i32,
    store_u8,
    store_u16,
    sub_i32,
    to_f32,
    zero_f32,
    zero_i32,
)

_FACTS = FORMATS["IQ4_XS"]
_BYTES, _LOW, _HIGH, _D = _FACTS.packed_bytes, 1024, 1056, 1072


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    store_u16(target + _D + 2 * lane, load_u16(source))
    for j in range(8):
        write_nibble(target + _LOW + 4 * j, lane, load_u8(source + 4 + (j >> 1)) >> 4 * (j & 1) & 15)
        at, shift = target + _HIGH + 2 * j + (lane >> 2), 2 * (lane & 3)
        high = load_u16(source + 2) >> 2 * j & 3
        store_u8(at, load_u8(at) & ~(3 << shift) | high << shift)
        repack_words(source + 8 + 16 * j, target + 128 * j, lane, 4)
    return 0


@inline
def _codes(group, b):  # type: ignore[no-untyped-def]
    return table_codes(group + (b >> 3) * _BYTES + 128 * (b & 7))


@inline
def _sides(group, b):  # type: ignore[no-untyped-def]
    p, j = group + (b >> 3) * _BYTES, b & 7
    scales = or_i32(load_u4x8(p + _LOW + 4 * j), shift_left(load_u2x8(p + _HIGH + 2 * j), 4))
    scale = mul(load_f16x8(p + _D), to_f32(sub_i32(scales, splat_i32(32))))
    return scale, zero_f32(), zero_i32(), zero_i32()


FORMAT = product.BlockFormat(Kind(signed=True), _FACTS, _repack, _codes, _sides)


def build(what: str) -> Callable[..., None]:
    """See `product.build`."""
    return product.build(FORMAT, what)
