"""Random draws: the Mersenne Twister seeded with 32 bits, as C++'s standard library has it.

Source: Matsumoto & Nishimura 1998.
"""

import secrets
from functools import cached_property

import numpy as np

RANDOM_SEED = 0xFFFFFFFF  # asks for a seed from the operating system, as -1 does


def actual_seed(seed: int) -> int:
    """The 32-bit seed in use: -1 and 0xFFFFFFFF become a random one."""
    seed &= 0xFFFFFFFF
    return secrets.randbits(32) if seed == RANDOM_SEED else seed


class Random:
    """Words of one MT19937 stream."""

    def __init__(self, seed: int) -> None:
        """`seed` has 32 bits."""
        self._seed = seed

    @cached_property
    def _bits(self) -> "np.random.MT19937":
        """Made when first drawn from: greedy text needs none, and numpy imports this part of itself on demand."""
        bits = np.random.MT19937()
        bits._legacy_seeding(self._seed)  # the only way to `init_genrand`
        return bits

    def word(self) -> int:
        return int(self._bits.random_raw())

    def uniform(self) -> float:
        """In [0, 1), from two words, the lower first."""
        low = self.word()
        return (low + (self.word() << 32)) / 2**64

    def uniform32(self) -> float:
        """In [0, 1], from one word, rounded to float32."""
        return float(np.float32(self.word() / 2**32))
