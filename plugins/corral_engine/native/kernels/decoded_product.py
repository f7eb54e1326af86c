"""Matrix product of weights that have no kernels of their own: a few groups of rows are decoded to float32 in this
thread's scratch memory by a function that the executor supplies, and multiplied as F32 weights are.
"""

from collections.abc import Callable

from corral_engine.native.formats import f32
from corral_engine.native.kernels import float_product
from corral_engine.native.machine import call_decoder
from corral_engine.native.optable import DECODED_GROUPS, SPARE_BYTES, Linear
from corral_engine.native.simd import load_i64

_WEIGHT, _DECODER = 8 * Linear.WEIGHT, 8 * Linear.DECODER


def build(what: str) -> Callable[..., None]:
    """The kernel called "one" or "many"."""
    multiply = float_product.multiplier(f32.FORMAT, what)

    def kernel(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
        decoder, weight, target = load_i64(op + _DECODER), load_i64(op + _WEIGHT), scratch + SPARE_BYTES
        for first in range(begin, end, DECODED_GROUPS):
            last = min(first + DECODED_GROUPS, end)
            call_decoder(decoder, weight, first, last - first, target)
            multiply(op, target, rows, first, last, scratch)

    return kernel
