"""Weights in storage → float32, in plain numpy: what every kernel is compared with.

Formats are little-endian blocks as described in ggml's `ggml-common.h`.  d and m are float16 scales, qs packed codes.
Types with codebooks (IQ…, TQ…) are decoded by the `gguf` package.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from corral import FormatError, Unsupported
from corral_engine.program import Float32

Bytes = NDArray[np.uint8]

K_BLOCK = 256


def _f16(blocks: Bytes, start: int) -> Float32:
    """The float16 at byte `start` of every block, as (N, 1) float32."""
    return blocks[:, start : start + 2].copy().view(np.float16).astype(np.float32)


def _nibbles(qs: Bytes) -> Bytes:
    """(N, 16) bytes → (N, 32) codes: low nibbles first, then high."""
    return np.concatenate([qs & 15, qs >> 4], axis=1)


def _fifth_bits(qh: Bytes) -> Bytes:
    """(N, 4) bytes, one bit a code → (N, 32) of 0 or 16."""
    bits: Bytes = np.unpackbits(qh, axis=1, bitorder="little") << np.uint8(4)
    return bits


def _q4_0(b: Bytes) -> Float32:
    return _f16(b, 0) * (_nibbles(b[:, 2:]).astype(np.float32) - 8)


def _q4_1(b: Bytes) -> Float32:
    return _f16(b, 0) * _nibbles(b[:, 4:]).astype(np.float32) + _f16(b, 2)


def _q5_0(b: Bytes) -> Float32:
    codes = _nibbles(b[:, 6:]) | _fifth_bits(b[:, 2:6])
    return _f16(b, 0) * (codes.astype(np.float32) - 16)


def _q5_1(b: Bytes) -> Float32:
    codes = _nibbles(b[:, 8:]) | _fifth_bits(b[:, 4:8])
    return _f16(b, 0) * codes.astype(np.float32) + _f16(b, 2)


def _q8_0(b: Bytes) -> Float32:
    return _f16(b, 0) * b[:, 2:].view(np.int8).astype(np.float32)


def _six_bit_scales(packed: Bytes) -> tuple[Bytes, Bytes]:
    """The 12 bytes of Q4_K and Q5_K → eight scales and eight minima of six bits, each (N, 8)."""
    low, high, mixed = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([low & 63, (mixed & 15) | (low >> 6 << 4)], axis=1)
    minima = np.concatenate([high & 63, (mixed >> 4) | (high >> 6 << 4)], axis=1)
    return scales, minima


def _sub_blocks(b: Bytes, codes: Bytes) -> Float32:
    """Q4_K and Q5_K: d · scale · code − dmin · minimum, for codes (N, 8, 32)."""
    scales, minima = _six_bit_scales(b[:, 4:16])
    d = _f16(b, 0) * scales
    m = _f16(b, 2) * minima
    values: Float32 = d[:, :, None] * codes.astype(np.float32) - m[:, :, None]
    return values.reshape(len(b), K_BLOCK)


def _q4_k(b: Bytes) -> Float32:
    qs = b[:, 16:].reshape(-1, 4, 32)
    return _sub_blocks(b, np.stack([qs & 15, qs >> 4], axis=2).reshape(-1, 8, 32))


def _q5_k(b: Bytes) -> Float32:
    qs = b[:, 48:].reshape(-1, 4, 32)
    fifth = (b[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[None, :, None]) & 1
    return _sub_blocks(b, np.stack([qs & 15, qs >> 4], axis=2).reshape(-1, 8, 32) | fifth << 4)


def _q6_k(b: Bytes) -> Float32:
    ql, qh = b[:, :128].reshape(-1, 2, 64), b[:, 128:192].reshape(-1, 2, 32)
    low = np.concatenate([ql & 15, ql >> 4], axis=2).reshape(-1, 2, 4, 32)
    high = (qh[:, :, None, :] >> np.array([0, 2, 4, 6], np.uint8)[None, None, :, None]) & 3
    codes = (low | high << 4).reshape(-1, 16, 16).astype(np.float32) - 32
    d = _f16(b, 208) * b[:, 192:208].view(np.int8).astype(np.float32)
    values: Float32 = d[:, :, None] * codes
    return values.reshape(-1, K_BLOCK)


def _q2_k(b: Bytes) -> Float32:
    packed = b[:, :16]
    shifts = np.array([0, 2, 4, 6], np.uint8)[None, None, :, None]
    codes = (b[:, 16:80].reshape(-1, 2, 1, 32) >> shifts & 3).reshape(-1, 16, 16).astype(np.float32)
    d = _f16(b, 80) * (packed & 15)
    m = _f16(b, 82) * (packed >> 4)
    return (d[:, :, None] * codes - m[:, :, None]).reshape(-1, K_BLOCK)


def _q3_k(b: Bytes) -> Float32:
    packed = b[:, 96:108]
    low = np.concatenate([packed[:, :8] & 15, packed[:, :8] >> 4], axis=1)
    high = (packed[:, None, 8:] >> np.array([0, 2, 4, 6], np.uint8)[None, :, None] & 3).reshape(-1, 16)
    scales = (low | high << 4).astype(np.float32) - 32
    shifts = np.array([0, 2, 4, 6], np.uint8)[None, None, :, None]
    codes = (b[:, 32:96].reshape(-1, 2, 1, 32) >> shifts & 3).reshape(-1, 8, 32)
    third = (b[:, None, :32] >> np.arange(8, dtype=np.uint8)[None, :, None]) & 1
    values = (codes.astype(np.float32) - 4 * (third == 0)).reshape(-1, 16, 16).astype(np.float32)
    scaled: Float32 = (_f16(b, 108) * scales)[:, :, None] * values
    return scaled.reshape(-1, K_BLOCK)


def _q1_0(b: Bytes) -> Float32:
    bits = np.unpackbits(b[:, 2:], axis=1, bitorder="little").astype(np.float32)
    return _f16(b, 0) * (2 * bits - 1)


def _q2_0(b: Bytes) -> Float32:
    codes = b[:, 2:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
    return _f16(b, 0) * (codes.reshape(len(b), -1).astype(np.float32) - 1)


def _f32(b: Bytes) -> Float32:
    return b.view(np.float32).copy()


def _half(b: Bytes) -> Float32:
    return b.view(np.float16).astype(np.float32)


def _bf16(b: Bytes) -> Float32:
    return (b.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def _f64(b: Bytes) -> Float32:
    return b.view(np.float64).astype(np.float32)


# storage type: (weights a block, bytes a block, decoder of (N, bytes) blocks)
_TYPES: dict[str, tuple[int, int, Callable[[Bytes], Float32]]] = {
    "F32": (1, 4, _f32),
    "F16": (1, 2, _half),
    "BF16": (1, 2, _bf16),
    "F64": (1, 8, _f64),
    "Q4_0": (32, 18, _q4_0),
    "Q4_1": (32, 20, _q4_1),
    "Q5_0": (32, 22, _q5_0),
    "Q5_1": (32, 24, _q5_1),
    "Q8_0": (32, 34, _q8_0),
    "Q1_0": (128, 18, _q1_0),
    "Q2_0": (64, 18, _q2_0),
    "Q2_K": (K_BLOCK, 84, _q2_k),
    "Q3_K": (K_BLOCK, 110, _q3_k),
    "Q4_K": (K_BLOCK, 144, _q4_k),
    "Q5_K": (K_BLOCK, 176, _q5_k),
    "Q6_K": (K_BLOCK, 210, _q6_k),
}
_BY_GGUF = frozenset(
    [
        *("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS"),
        *("TQ1_0", "TQ2_0", "MXFP4", "NVFP4"),
    ]
)


def block_layout(storage: str) -> tuple[int, int]:
    """(weights, bytes) of one block of a storage type.  Raises Unsupported naming the type."""
    if storage in _TYPES:
        return _TYPES[storage][:2]
    if storage in _BY_GGUF:
        import gguf

        size: tuple[int, int] = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[storage]]
        return size
    raise Unsupported(f"weights of type {storage} cannot be run here")


def row_bytes(storage: str, columns: int) -> int:
    """Bytes of one row.  Raises FormatError when `columns` is no whole number of blocks, Unsupported."""
    weights, size = block_layout(storage)
    if columns % weights:
        raise FormatError(f"a row of {columns} weights is no whole number of {storage} blocks of {weights}")
    return columns // weights * size


def dequantize(data: Bytes, storage: str, columns: int) -> Float32:
    """Rows of bytes → float32 (R, columns).  `data` has any shape that holds whole rows.

    Raises FormatError, Unsupported.
    """
    n_bytes = row_bytes(storage, columns)
    if data.size % n_bytes:
        raise FormatError(f"{data.size} bytes are no whole number of {storage} rows of {n_bytes} bytes")
    rows = np.ascontiguousarray(data).reshape(-1, n_bytes)
    if storage in _TYPES:
        _, size, decode = _TYPES[storage]
        return decode(rows.reshape(-1, size)).reshape(-1, columns).astype(np.float32, copy=False)
    import gguf

    values: Float32 = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[storage])
    return values.reshape(-1, columns).astype(np.float32, copy=False)
