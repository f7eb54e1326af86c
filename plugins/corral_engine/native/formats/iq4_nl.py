"""IQ4_NL: 32 weights d·table[q] in 18 bytes: d (float16), then 16 bytes of codes, low nibbles first.

Packed, eight rows: eight d, a plane of nibbles.
"""

from collections.abc import Callable

from corral_engine.native.catalog import FORMATS
from corral_engine.native.formats.bits import repack_words
from corral_engine.native.formats.iq4 import table_codes
from corral_engine.native.kernels import product
from corral_engine.native.kernels.kinds import Kind
from corral_engine.native.simd import inline, load_f16x8, load_u16, store_u16, zero_f32, zero_i32

_FACTS = FORMATS["IQ4_NL"]
_BYTES, _CODES = _FACTS.packed_bytes, 16


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    store_u16(target + 2 * lane, load_u16(source))
    return repack_words(source + 2, target + _CODES, lane, 4)


@inline
def _codes(group, b):  # type: ignore[no-untyped-def]
    return table_codes(group + b * _BYTES + _CODES)


@inline
def _sides(group, b):  # type: ignore[no-untyped-def]
    return load_f16x8(group + b * _BYTES), zero_f32(), zero_i32(), zero_i32()


FORMAT = product.BlockFormat(Kind(signed=True), _FACTS, _repack, _codes, _sides)


def build(what: str) -> Callable[..., None]:
    """See `product.build`."""
    return product.build(FORMAT, what)
