"""Q8_0: 32 weights d·q in 34 bytes: d (float16), then 32 signed codes.

Packed, eight rows: eight d, then eight registers of codes.  The code -128, which no quantizer writes, counts as -127.
"""

from collections.abc import Callable

from corral_engine.native.catalog import FORMATS
from corral_engine.native.kernels import product
from corral_engine.native.kernels.kinds import Kind
from corral_engine.native.simd import (
    inline,
    load_codes,
    load_f16x8,
    load_i32,
    load_u16,
    signed_codes,
    store_i32,
    store_u16,
    zero_f32,
    zero_i32,
)

_FACTS = FORMATS["Q8_0"]
_BYTES, _CODES = _FACTS.packed_bytes, 16


@inline
def _without_lowest(codes):  # type: ignore[no-untyped-def]
    """Four codes at once: 1 is added to each that is -128."""
    turned = (codes ^ 0x80808080) & 0xFFFFFFFF
    zeros = ~((turned & 0x7F7F7F7F) + 0x7F7F7F7F | turned | 0x7F7F7F7F)
    return codes + (zeros >> 7 & 0x01010101)


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    store_u16(target + 2 * lane, load_u16(source))
    for i in range(8):
        store_i32(target + _CODES + 32 * i + 4 * lane, _without_lowest(load_i32(source + 2 + 4 * i)))
    return 0


@inline
def _four(p):  # type: ignore[no-untyped-def]
    c0, c1, c2, c3 = load_codes(p), load_codes(p + 32), load_codes(p + 64), load_codes(p + 96)
    return signed_codes(c0), signed_codes(c1), signed_codes(c2), signed_codes(c3)


@inline
def _codes(group, b):  # type: ignore[no-untyped-def]
    p = group + b * _BYTES + _CODES
    return (*_four(p), *_four(p + 128))


@inline
def _sides(group, b):  # type: ignore[no-untyped-def]
    return load_f16x8(group + b * _BYTES), zero_f32(), zero_i32(), zero_i32()


FORMAT = product.BlockFormat(Kind(signed=True), _FACTS, _repack, _codes, _sides)


def build(what: str) -> Callable[..., None]:
    """See `product.build`."""
    return product.build(FORMAT, what)
