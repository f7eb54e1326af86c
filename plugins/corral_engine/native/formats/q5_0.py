"""Q5_0: 32 weights d·(q − 16) in 22 bytes: d (float16), four bytes of fifth bits, 16 bytes of codes, low nibbles first.

Packed, eight rows: eight d, a plane of nibbles, a plane of fifth bits.
"""

from collections.abc import Callable

from corral_engine.native.catalog import FORMATS
from corral_engine.native.formats.bits import joined, nibble_codes, one_bit_codes, repack_words, write_fifth_bits
from corral_engine.native.kernels import product
from corral_engine.native.kernels.kinds import Kind
from corral_engine.native.simd import inline, load_f16x8, load_i32, load_u16, store_u16, zero_f32, zero_i32

_FACTS = FORMATS["Q5_0"]
_BYTES, _CODES, _FIFTH = _FACTS.packed_bytes, 16, 144


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    store_u16(target + 2 * lane, load_u16(source))
    write_fifth_bits(load_i32(source + 2), target + _FIFTH, lane)
    return repack_words(source + 6, target + _CODES, lane, 4)


@inline
def _codes(group, b):  # type: ignore[no-untyped-def]
    p = group + b * _BYTES
    return joined(nibble_codes(p + _CODES), one_bit_codes(p + _FIFTH), 4)


@inline
def _sides(group, b):  # type: ignore[no-untyped-def]
    return load_f16x8(group + b * _BYTES), zero_f32(), zero_i32(), zero_i32()


FORMAT = product.BlockFormat(Kind(bits=5, zero=16), _FACTS, _repack, _codes, _sides)


def build(what: str) -> Callable[..., None]:
    """See `product.build`."""
    return product.build(FORMAT, what)
