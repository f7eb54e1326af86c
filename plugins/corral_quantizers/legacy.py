"""Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: 32 weights with one scale, some with a minimum.

Encoders take (N, 32) float32, decoders return it; blocks are (N, type_size) uint8, little-endian.
"""

import numpy as np

from corral_quantizers.backend import Backend
from corral_quantizers.reference import Codes, Floats

BLOCK = 32
Q4_0 = np.dtype([("d", "<f2"), ("qs", "u1", 16)])
Q4_1 = np.dtype([("d", "<f2"), ("m", "<f2"), ("qs", "u1", 16)])
Q5_0 = np.dtype([("d", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)])
Q5_1 = np.dtype([("d", "<f2"), ("m", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)])
Q8_0 = np.dtype([("d", "<f2"), ("qs", "i1", 32)])


def encode_q4_0(x: Floats, backend: Backend) -> Codes:
    """Codes 0…15 around 8."""
    out = np.empty(len(x), dtype=Q4_0)
    codes, out["d"] = backend.extreme_codes(x, 8)
    out["qs"] = backend.pack_nibbles(codes, 16)
    return as_bytes(out)


def encode_q5_0(x: Floats, backend: Backend) -> Codes:
    """Codes 0…31 around 16, their fifth bits apart."""
    out = np.empty(len(x), dtype=Q5_0)
    codes, out["d"] = backend.extreme_codes(x, 16)
    out["qh"], out["qs"] = _split_fifth_bit(codes, backend)
    return as_bytes(out)


def encode_q4_1(x: Floats, backend: Backend) -> Codes:
    """Codes 0…15 above the minimum."""
    out = np.empty(len(x), dtype=Q4_1)
    codes, out["d"], out["m"] = backend.range_codes(x, 15)
    out["qs"] = backend.pack_nibbles(codes, 16)
    return as_bytes(out)


def encode_q5_1(x: Floats, backend: Backend) -> Codes:
    """Codes 0…31 above the minimum, their fifth bits apart."""
    out = np.empty(len(x), dtype=Q5_1)
    codes, out["d"], out["m"] = backend.range_codes(x, 31)
    out["qh"], out["qs"] = _split_fifth_bit(codes, backend)
    return as_bytes(out)


def encode_q8_0(x: Floats, backend: Backend) -> Codes:
    """Codes -127…127."""
    out = np.empty(len(x), dtype=Q8_0)
    codes, out["d"] = backend.byte_codes(x)
    out["qs"] = codes.view(np.int8)
    return as_bytes(out)


def decode_q4_0(blocks: Codes, _backend: Backend) -> Floats:
    """scale * (code - 8)."""
    data = as_records(blocks, Q4_0)
    return _scale(data) * (unpack_nibbles(data["qs"], 16).astype(np.float32) - np.float32(8))


def decode_q5_0(blocks: Codes, _backend: Backend) -> Floats:
    """scale * (code - 16)."""
    data = as_records(blocks, Q5_0)
    return _scale(data) * (_join_fifth_bit(data) - np.float32(16))


def decode_q4_1(blocks: Codes, _backend: Backend) -> Floats:
    """scale * code + minimum."""
    data = as_records(blocks, Q4_1)
    return _scale(data) * unpack_nibbles(data["qs"], 16).astype(np.float32) + _minimum(data)


def decode_q5_1(blocks: Codes, _backend: Backend) -> Floats:
    """scale * code + minimum."""
    data = as_records(blocks, Q5_1)
    return _scale(data) * _join_fifth_bit(data) + _minimum(data)


def decode_q8_0(blocks: Codes, _backend: Backend) -> Floats:
    """scale * code."""
    data = as_records(blocks, Q8_0)
    return _scale(data) * data["qs"].astype(np.float32)


def as_bytes(records: np.ndarray) -> Codes:
    """Structured blocks (N,) -> uint8 (N, type_size)."""
    return records.view(np.uint8).reshape(len(records), records.dtype.itemsize)


def as_records(blocks: Codes, layout: "np.dtype[np.void]") -> np.ndarray:
    """uint8 (N, type_size) -> structured blocks (N,)."""
    return np.ascontiguousarray(blocks).view(layout).reshape(-1)


def unpack_nibbles(packed: Codes, half: int) -> Codes:
    """The inverse of `reference.pack_nibbles`."""
    groups = packed.reshape(len(packed), -1, 1, half)
    return np.concatenate([groups & np.uint8(15), groups >> np.uint8(4)], axis=2).reshape(len(packed), -1)


def _split_fifth_bit(codes: Codes, backend: Backend) -> tuple[Codes, Codes]:
    return np.packbits(codes >> np.uint8(4), axis=1, bitorder="little"), backend.pack_nibbles(codes & np.uint8(15), 16)


def _join_fifth_bit(data: np.ndarray) -> Floats:
    high = np.unpackbits(data["qh"], axis=1, bitorder="little")
    return (unpack_nibbles(data["qs"], 16) | high << np.uint8(4)).astype(np.float32)


def _scale(data: np.ndarray) -> Floats:
    return data["d"].astype(np.float32)[:, None]


def _minimum(data: np.ndarray) -> Floats:
    return data["m"].astype(np.float32)[:, None]
