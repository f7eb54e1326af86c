"""Q6_K: 256 weights in 210 bytes: 128 bytes of low nibbles, 64 of high two bits, 16 signed scales, d (float16).

Each 16 weights have a scale s: d·s·(q − 32).  Packed, eight rows: eight planes of nibbles, eight planes of two bits,
two scales a row for each 32 weights, eight d.
"""

from collections.abc import Callable

from corral_engine.native.catalog import FORMATS
from corral_engine.native.formats.bits import joined, nibble_codes, two_bit_codes, write_nibbles, write_two_bits
from corral_engine.native.kernels import product
from corral_engine.native.kernels.kinds import Kind
from corral_engine.native.simd import inline, load_f16x8, load_i8_pairs, load_u16, store_u16, zero_f32, zero_i32

_FACTS = FORMATS["Q6_K"]
_BYTES, _HIGH, _SCALES, _D = _FACTS.packed_bytes, 1024, 1536, 1664


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    store_u16(target + _D + 2 * lane, load_u16(source + 208))
    for j in range(8):
        half, k = j >> 2, j & 3
        store_u16(target + _SCALES + 16 * j + 2 * lane, load_u16(source + 192 + 2 * j))
        write_nibbles(source + 64 * half + 32 * (k & 1), 4 * (k >> 1), target + 128 * j, lane)
        write_two_bits(source + 128 + 32 * half, 2 * k, target + _HIGH + 64 * j, lane)
    return 0


@inline
def _codes(group, b):  # type: ignore[no-untyped-def]
    p, j = group + (b >> 3) * _BYTES, b & 7
    return joined(nibble_codes(p + 128 * j), two_bit_codes(p + _HIGH + 64 * j), 4)


@inline
def _sides(group, b):  # type: ignore[no-untyped-def]
    p = group + (b >> 3) * _BYTES
    return load_f16x8(p + _D), zero_f32(), load_i8_pairs(p + _SCALES + 16 * (b & 7)), zero_i32()


FORMAT = product.BlockFormat(Kind(bits=6, zero=32, halves=True), _FACTS, _repack, _codes, _sides)


def build(what: str) -> Callable[..., None]:
    """See `product.build`."""
    return product.build(FORMAT, what)
