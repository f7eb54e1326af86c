"""Two six-bit numbers a row for each block of 32 weights: the scales of Q3_K, Q4_K and Q5_K.

Packed, eight rows, twelve bytes: a byte a row with the low four bits of both numbers, then four bits a row with the
high two bits of both.
"""

from corral_engine.native.formats.bits import write_nibble
from corral_engine.native.simd import (
    and_i32,
    inline,
    load_u4x8,
    load_u8,
    load_u8x8,
    or_i32,
    shift_left,
    shift_right,
    splat_i32,
    store_u8,
)

PAIR_BYTES = 12


@inline
def load_pairs(p):  # type: ignore[no-untyped-def]
    """The first numbers and the second ones, a lane a row."""
    low, high = load_u8x8(p), load_u4x8(p + 8)
    first = or_i32(and_i32(low, splat_i32(15)), shift_left(and_i32(high, splat_i32(3)), 4))
    return first, or_i32(shift_right(low, 4), shift_left(shift_right(high, 2), 4))


@inline
def write_pair(target, lane, first, second):  # type: ignore[no-untyped-def]
    store_u8(target + lane, first & 15 | (second & 15) << 4)
    return write_nibble(target + 8, lane, first >> 4 | second >> 4 << 2)


@inline
def scale_and_minimum(scales, j):  # type: ignore[no-untyped-def]
    """Number j of the eight scales and of the eight minima in the twelve bytes of Q4_K and Q5_K."""
    if j < 4:
        return load_u8(scales + j) & 63, load_u8(scales + j + 4) & 63
    mixed = load_u8(scales + j + 4)
    scale = mixed & 15 | load_u8(scales + j - 4) >> 6 << 4
    return scale, mixed >> 4 | load_u8(scales + j) >> 6 << 4
