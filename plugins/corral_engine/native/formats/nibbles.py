"""What the formats share whose blocks hold 32 codes in 16 bytes, low nibbles first."""

from corral_engine.native.simd import high_nibbles, inline, load_codes, load_i32, low_nibbles, store_i32


@inline
def nibble_codes(p):  # type: ignore[no-untyped-def]
    """Four registers at `p` → eight: codes 0 … 15 of each row, then 16 … 31."""
    v0, v1, v2, v3 = load_codes(p), load_codes(p + 32), load_codes(p + 64), load_codes(p + 96)
    low = low_nibbles(v0), low_nibbles(v1), low_nibbles(v2), low_nibbles(v3)
    return (*low, high_nibbles(v0), high_nibbles(v1), high_nibbles(v2), high_nibbles(v3))


@inline
def repack_words(source, target, lane, count):  # type: ignore[no-untyped-def]
    """`count` groups of four bytes, each into its own register at lane `lane`."""
    for i in range(count):
        store_i32(target + 32 * i + 4 * lane, load_i32(source + 4 * i))
    return 0
