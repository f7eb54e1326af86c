"""The storage types this plugin encodes: block geometry, error bounds and GGUF ids."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Format(NamedTuple):
    """A storage type.

    `block_size` weights take `type_size` bytes; `max_error` bounds the RMS error of Gaussian weights relative to their
    RMS (2 % above the value measured with the reference searches); `type_id` is GGUF's tensor type.
    """

    name: str
    block_size: int
    type_size: int
    max_error: float
    type_id: int

    def size_bytes(self, n_weights: int) -> int:
        """The bytes of `n_weights`, a multiple of the block size."""
        return n_weights // self.block_size * self.type_size


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        row.name: row
        for row in (
            Format("F32", 1, 4, 0.0, 0),
            Format("F16", 1, 2, 0.0003, 1),
            Format("BF16", 1, 2, 0.0024, 30),
            Format("Q4_0", 32, 18, 0.0880, 2),
            Format("Q4_1", 32, 20, 0.0800, 3),
            Format("Q5_0", 32, 22, 0.0437, 6),
            Format("Q5_1", 32, 24, 0.0388, 7),
            Format("Q8_0", 32, 34, 0.0055, 8),
            Format("Q2_K", 256, 84, 0.3020, 10),
            Format("Q3_K", 256, 110, 0.1545, 11),
            Format("Q4_K", 256, 144, 0.0730, 12),
            Format("Q5_K", 256, 176, 0.0370, 13),
            Format("Q6_K", 256, 210, 0.0182, 14),
            Format("IQ4_NL", 32, 18, 0.0780, 20),
            Format("IQ4_XS", 256, 136, 0.0785, 23),
            Format("MXFP4", 32, 17, 0.1180, 39),
        )
    }
)
