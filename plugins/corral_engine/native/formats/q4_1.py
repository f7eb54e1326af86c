"""Q4_1: 32 weights d·q + m in 20 bytes: d and m (float16), then 16 bytes of codes, low nibbles first.

Packed, eight rows: eight d, eight m, then four registers of codes.
"""

from collections.abc import Callable

from corral_engine.native.catalog import FORMATS
from corral_engine.native.formats.bits import nibble_codes, repack_words
from corral_engine.native.kernels import product
from corral_engine.native.kernels.kinds import Kind
from corral_engine.native.simd import inline, load_f16x8, load_u16, store_u16, zero_i32

_FACTS = FORMATS["Q4_1"]
_BYTES, _CODES = _FACTS.packed_bytes, 32


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    store_u16(target + 2 * lane, load_u16(source))
    store_u16(target + 16 + 2 * lane, load_u16(source + 2))
    return repack_words(source + 4, target + _CODES, lane, 4)


@inline
def _codes(group, b):  # type: ignore[no-untyped-def]
    return nibble_codes(group + b * _BYTES + _CODES)


@inline
def _sides(group, b):  # type: ignore[no-untyped-def]
    p = group + b * _BYTES
    return load_f16x8(p), load_f16x8(p + 16), zero_i32(), zero_i32()


FORMAT = product.BlockFormat(Kind(offset=True), _FACTS, _repack, _codes, _sides)


def build(what: str) -> Callable[..., None]:
    """See `product.build`."""
    return product.build(FORMAT, what)
