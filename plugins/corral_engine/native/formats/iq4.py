"""What IQ4_NL and IQ4_XS share: four-bit codes are indices into a table of signed values."""

from corral_engine.native.formats.bits import nibble_codes
from corral_engine.native.simd import inline, signed_codes, table_word

VALUES = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)

_look_up = table_word(VALUES)


@inline
def _value(index):  # type: ignore[no-untyped-def]
    return signed_codes(_look_up(index))


@inline
def table_codes(p):  # type: ignore[no-untyped-def]
    """A plane of nibbles → eight registers of signed values."""
    c = nibble_codes(p)
    first = _value(c[0]), _value(c[1]), _value(c[2]), _value(c[3])
    return (*first, _value(c[4]), _value(c[5]), _value(c[6]), _value(c[7]))
