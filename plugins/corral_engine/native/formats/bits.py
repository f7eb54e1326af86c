"""Codes of fewer than eight bits: how a block's 32 codes of each of eight rows are spread over planes of bits.

Register k (0 … 7) of a block holds codes 4k … 4k+3 of the eight rows, a row a lane.  A plane of nibbles is four
registers: register i holds register i's bits low and register i+4's high.  A plane of two bits is two registers, a
plane of one bit is one.  A format that needs five bits a code stores a plane of nibbles and a plane of one, and so on.
"""

from corral_engine.native.simd import (
    high_nibbles,
    inline,
    join_codes,
    load_codes,
    load_i32,
    load_u8,
    low_nibbles,
    mask_codes,
    scale_codes,
    shift_codes,
    store_i32,
    store_u8,
)

# --- loading planes -----------------------------------------------------------------------------------------------


@inline
def nibble_codes(p):  # type: ignore[no-untyped-def]
    """A plane of nibbles → eight registers."""
    v0, v1, v2, v3 = load_codes(p), load_codes(p + 32), load_codes(p + 64), load_codes(p + 96)
    low = low_nibbles(v0), low_nibbles(v1), low_nibbles(v2), low_nibbles(v3)
    return (*low, high_nibbles(v0), high_nibbles(v1), high_nibbles(v2), high_nibbles(v3))


@inline
def _quarters(v):  # type: ignore[no-untyped-def]
    first, second = mask_codes(v, 3), mask_codes(shift_codes(v, 2), 3)
    return first, second, mask_codes(shift_codes(v, 4), 3), shift_codes(v, 6)


@inline
def two_bit_codes(p):  # type: ignore[no-untyped-def]
    """A plane of two bits → eight registers."""
    return (*_quarters(load_codes(p)), *_quarters(load_codes(p + 32)))


@inline
def one_bit_codes(p):  # type: ignore[no-untyped-def]
    """A plane of one bit → eight registers."""
    v = load_codes(p)
    b0, b1 = mask_codes(v, 1), mask_codes(shift_codes(v, 1), 1)
    b2, b3 = mask_codes(shift_codes(v, 2), 1), mask_codes(shift_codes(v, 3), 1)
    b4, b5 = mask_codes(shift_codes(v, 4), 1), mask_codes(shift_codes(v, 5), 1)
    return b0, b1, b2, b3, b4, b5, mask_codes(shift_codes(v, 6), 1), shift_codes(v, 7)


@inline
def joined(low, high, shift):  # type: ignore[no-untyped-def]
    """Eight registers of low bits and eight of bits that lie `shift` higher → eight."""
    c0 = join_codes(low[0], scale_codes(high[0], shift))
    c1 = join_codes(low[1], scale_codes(high[1], shift))
    c2 = join_codes(low[2], scale_codes(high[2], shift))
    c3 = join_codes(low[3], scale_codes(high[3], shift))
    c4 = join_codes(low[4], scale_codes(high[4], shift))
    c5 = join_codes(low[5], scale_codes(high[5], shift))
    c6 = join_codes(low[6], scale_codes(high[6], shift))
    return c0, c1, c2, c3, c4, c5, c6, join_codes(low[7], scale_codes(high[7], shift))


# --- writing planes: `source` holds a byte a code, of which the bits from `shift` on count ----------------------------


@inline
def repack_words(source, target, lane, count):  # type: ignore[no-untyped-def]
    """`count` groups of four bytes, each into its own register at lane `lane`: a plane as the legacy types store it."""
    for i in range(count):
        store_i32(target + 32 * i + 4 * lane, load_i32(source + 4 * i))
    return 0


@inline
def write_nibbles(source, shift, target, lane):  # type: ignore[no-untyped-def]
    """Four bits a code → a plane of nibbles."""
    for i in range(4):
        low = load_i32(source + 4 * i) >> shift & 0x0F0F0F0F
        high = load_i32(source + 4 * i + 16) >> shift & 0x0F0F0F0F
        store_i32(target + 32 * i + 4 * lane, low | high << 4)
    return 0


@inline
def write_two_bits(source, shift, target, lane):  # type: ignore[no-untyped-def]
    """Two bits a code → a plane of two bits."""
    for half in range(2):
        bits = 0
        for i in range(4):
            bits |= (load_i32(source + 16 * half + 4 * i) >> shift & 0x03030303) << 2 * i
        store_i32(target + 32 * half + 4 * lane, bits)
    return 0


@inline
def write_one_bit(source, shift, target, lane):  # type: ignore[no-untyped-def]
    """One bit a code → a plane of one bit."""
    bits = 0
    for i in range(8):
        bits |= (load_i32(source + 4 * i) >> shift & 0x01010101) << i
    return store_i32(target + 4 * lane, bits)


@inline
def write_fifth_bits(word, target, lane):  # type: ignore[no-untyped-def]
    """The 32 bits of `word`, one a code → a plane of one bit."""
    bits = 0
    for i in range(8):
        four = word >> 4 * i & 15
        bits |= (four * 0x204081 & 0x01010101) << i
    return store_i32(target + 4 * lane, bits)


@inline
def write_nibble(target, lane, value):  # type: ignore[no-untyped-def]
    """Number `lane` of eight numbers of four bits."""
    at, shift = target + (lane >> 1), 4 * (lane & 1)
    return store_u8(at, load_u8(at) & ~(15 << shift) | value << shift)
