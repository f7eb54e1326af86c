"""F32, F16, BF16: one number a weight.  Rows (…) of float32 to and from little-endian bytes, NaN and infinity kept."""

import numpy as np

from corral_quantizers.backend import Backend
from corral_quantizers.reference import Codes, Floats


def encode_f32(x: Floats, _backend: Backend) -> Codes:
    """The numbers as they are."""
    return x.astype("<f4").view(np.uint8)


def encode_f16(x: Floats, backend: Backend) -> Codes:
    """Rounded to nearest, halves to even; beyond 65504 is infinite."""
    return backend.narrow_halves(x).astype("<u2", copy=False).view(np.uint8)


def encode_bf16(x: Floats, backend: Backend) -> Codes:
    """The upper half of a float32, rounded to nearest, halves to even."""
    return backend.narrow_brains(x).astype("<u2", copy=False).view(np.uint8)


def decode_f32(blocks: Codes, _backend: Backend) -> Floats:
    """The numbers as they are."""
    return blocks.view("<f4").astype(np.float32, copy=False)


def decode_f16(blocks: Codes, backend: Backend) -> Floats:
    """Exact."""
    return backend.widen_halves(blocks.view("<u2"))


def decode_bf16(blocks: Codes, _backend: Backend) -> Floats:
    """Exact."""
    return (blocks.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
