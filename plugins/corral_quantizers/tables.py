"""IQ4_NL, IQ4_XS and MXFP4: four-bit codes that index a table of unevenly spaced values.

Encoders take (N, block) float32, decoders return it; blocks are (N, type_size) uint8, little-endian.
Source for MXFP4: OCP Microscaling Formats 1.0 (E2M1 elements, one E8M0 scale for 32 of them).
"""

import numpy as np

from corral_quantizers.backend import Backend
from corral_quantizers.legacy import as_bytes, as_records, unpack_nibbles
from corral_quantizers.reference import MX_VALUES, TABLE, Codes, Floats, signed_extreme

IQ4_NL = np.dtype([("d", "<f2"), ("qs", "u1", 16)])
IQ4_XS = np.dtype([("d", "<f2"), ("scales_h", "<u2"), ("scales_l", "u1", 4), ("qs", "u1", 128)])
MXFP4 = np.dtype([("e", "u1"), ("qs", "u1", 16)])
MX_SIGNED = np.concatenate([MX_VALUES, np.float32(0) - MX_VALUES])  # code 8 is +0


def encode_iq4_nl(x: Floats, backend: Backend) -> Codes:
    """One scale for 32 weights, found by search."""
    out = np.empty(len(x), dtype=IQ4_NL)
    scale = backend.table_search(x)
    out["d"] = scale
    out["qs"] = backend.pack_nibbles(backend.table_codes(x, _inverse(scale)), 16)
    return as_bytes(out)


def encode_iq4_xs(x: Floats, backend: Backend) -> Codes:
    """A six-bit scale for 32 weights, one scale of these for 256."""
    subs = x.reshape(-1, 32)
    scale = backend.table_search(subs).reshape(-1, 8)
    unit = signed_extreme(scale) / np.float32(-32)
    ls = np.clip(np.rint(_inverse(unit)[:, None] * scale), np.float32(-32), np.float32(31))
    codes = backend.table_codes(subs, _inverse((unit[:, None] * ls).reshape(-1)))
    out = np.empty(len(x), dtype=IQ4_XS)
    out["d"] = unit
    stored = (ls + np.float32(32)).astype(np.uint16)
    out["scales_h"] = np.bitwise_or.reduce(stored >> np.uint16(4) << np.arange(0, 16, 2, dtype=np.uint16), axis=1)
    low = (stored & np.uint16(15)).astype(np.uint8)
    out["scales_l"] = low[:, ::2] | low[:, 1::2] << np.uint8(4)
    out["qs"] = backend.pack_nibbles(codes.reshape(x.shape), 16)
    return as_bytes(out)


def encode_mxfp4(x: Floats, backend: Backend) -> Codes:
    """A power of two for 32 weights, chosen so that the largest falls in the top binade."""
    out = np.empty(len(x), dtype=MXFP4)
    largest = np.abs(x).max(axis=1)
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log2(largest)) + np.float32(127 - 2)
    out["e"] = np.clip(exponent, 0, 254)  # -inf, of an all-zero block, is 0 too
    out["qs"] = backend.pack_nibbles(backend.mx_codes(x, _half_power(out["e"])), 16)
    return as_bytes(out)


def decode_iq4_nl(blocks: Codes, _backend: Backend) -> Floats:
    """d * table[code]."""
    data = as_records(blocks, IQ4_NL)
    scale: Floats = data["d"].astype(np.float32)[:, None]
    return scale * TABLE[unpack_nibbles(data["qs"], 16)]


def decode_iq4_xs(blocks: Codes, _backend: Backend) -> Floats:
    """d * scale * table[code]."""
    data = as_records(blocks, IQ4_XS)
    low = np.stack([data["scales_l"] & np.uint8(15), data["scales_l"] >> np.uint8(4)], axis=2).reshape(-1, 8)
    high = data["scales_h"][:, None] >> np.arange(0, 16, 2, dtype=np.uint16) & np.uint16(3)
    ls = (low | high << np.uint16(4)).astype(np.float32) - np.float32(32)
    scale: Floats = data["d"].astype(np.float32)[:, None] * ls
    return (scale[:, :, None] * TABLE[unpack_nibbles(data["qs"], 16)].reshape(-1, 8, 32)).reshape(-1, 256)


def decode_mxfp4(blocks: Codes, _backend: Backend) -> Floats:
    """2^(e - 128) * doubled E2M1 value."""
    data = as_records(blocks, MXFP4)
    values: Floats = MX_SIGNED[unpack_nibbles(data["qs"], 16)]
    return _half_power(data["e"])[:, None] * values


def _half_power(exponent: Codes) -> Floats:
    """2^(e - 128): half of the E8M0 scale, because the table holds doubled values.  e = 255 reads as 2^127."""
    power: Floats = np.ldexp(np.float32(1), exponent.astype(np.int32) - 128)
    return power


def _inverse(scale: Floats) -> Floats:
    """1 / scale, or 0 where scale is 0."""
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
