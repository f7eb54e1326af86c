"""Q2_K … Q6_K: 256 weights in sub-blocks of 16 or 32 whose scales are themselves quantized.

Encoders take (N, 256) float32, decoders return it; blocks are (N, type_size) uint8, little-endian.  An encoder fits
every sub-block alone, rounds the sub-blocks' scales to a few bits, then rounds the weights again with what is stored.
"""

import numpy as np

from corral_quantizers.backend import Backend
from corral_quantizers.legacy import as_bytes, as_records, unpack_nibbles
from corral_quantizers.reference import TINY, Codes, Floats, signed_extreme

BLOCK = 256
Q2_K = np.dtype([("scales", "u1", 16), ("qs", "u1", 64), ("d", "<f2"), ("dmin", "<f2")])
Q3_K = np.dtype([("hmask", "u1", 32), ("qs", "u1", 64), ("scales", "u1", 12), ("d", "<f2")])
Q4_K = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qs", "u1", 128)])
Q5_K = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qh", "u1", 32), ("qs", "u1", 128)])
Q6_K = np.dtype([("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), ("d", "<f2")])


def encode_q2_k(x: Floats, backend: Backend) -> Codes:
    """Two bits a weight, four a scale and four a minimum of 16 weights."""
    subs = x.reshape(-1, 16)
    codes, scale, minimum = backend.affine_search(subs, 3, -0.5, 0.1, 15, absolute=True, rms_weight=False)
    out = np.empty(len(x), dtype=Q2_K)
    ls, lm = _round_affine(subs, codes, scale, minimum, 15, 3, out, backend)
    out["scales"] = ls | lm << np.uint8(4)
    out["qs"] = _pack_pairs(codes.reshape(x.shape))
    return as_bytes(out)


def encode_q3_k(x: Floats, backend: Backend) -> Codes:
    """Three bits a weight, six a scale of 16 weights."""
    subs = x.reshape(-1, 16)
    codes, scale = backend.descent_search(subs, 4)
    out = np.empty(len(x), dtype=Q3_K)
    ls = _round_symmetric(subs, codes, scale.reshape(-1, 16), 32, 4, out, backend)
    out["scales"] = _pack_q3_scales(ls + np.float32(32))
    codes = codes.reshape(x.shape)
    out["qs"] = _pack_pairs(codes & np.uint8(3))
    out["hmask"] = np.packbits((codes >> np.uint8(2)).reshape(-1, 8, 32), axis=1, bitorder="little")[:, 0]
    return as_bytes(out)


def encode_q4_k(x: Floats, backend: Backend) -> Codes:
    """Four bits a weight, six a scale and six a minimum of 32 weights."""
    subs = x.reshape(-1, 32)
    codes, scale, minimum = backend.affine_search(subs, 15, -1.0, 0.1, 20, absolute=False, rms_weight=True)
    out = np.empty(len(x), dtype=Q4_K)
    out["scales"] = _pack_q4_scales(*_round_affine(subs, codes, scale, minimum, 63, 15, out, backend))
    out["qs"] = backend.pack_nibbles(codes.reshape(x.shape), 32)
    return as_bytes(out)


def encode_q5_k(x: Floats, backend: Backend) -> Codes:
    """As Q4_K with a fifth bit, kept apart."""
    subs = x.reshape(-1, 32)
    codes, scale, minimum = backend.affine_search(subs, 31, -0.5, 0.1, 15, absolute=False, rms_weight=True)
    out = np.empty(len(x), dtype=Q5_K)
    out["scales"] = _pack_q4_scales(*_round_affine(subs, codes, scale, minimum, 63, 31, out, backend))
    codes = codes.reshape(x.shape)
    out["qh"] = np.packbits((codes >> np.uint8(4)).reshape(-1, 8, 32), axis=1, bitorder="little")[:, 0]
    out["qs"] = backend.pack_nibbles(codes & np.uint8(15), 32)
    return as_bytes(out)


def encode_q6_k(x: Floats, backend: Backend) -> Codes:
    """Six bits a weight, eight a scale of 16 weights."""
    subs = x.reshape(-1, 16)
    codes, scale = backend.symmetric_search(subs, 32)
    out = np.empty(len(x), dtype=Q6_K)
    scale = scale.reshape(-1, 16)
    out["scales"] = _round_symmetric(subs, codes, scale, 128, 32, out, backend)
    codes = codes.reshape(x.shape)
    out["ql"] = backend.pack_nibbles(codes & np.uint8(15), 64)
    out["qh"] = _pack_pairs(codes >> np.uint8(4))
    out[np.abs(scale).max(axis=1) < TINY] = np.zeros((), dtype=Q6_K)
    return as_bytes(out)


def decode_q2_k(blocks: Codes, _backend: Backend) -> Floats:
    """d * scale * code - dmin * minimum."""
    data = as_records(blocks, Q2_K)
    codes = _unpack_pairs(data["qs"]).reshape(-1, 16, 16)
    return _affine(data, data["scales"] & np.uint8(15), data["scales"] >> np.uint8(4), codes)


def decode_q3_k(blocks: Codes, _backend: Backend) -> Floats:
    """d * scale * code."""
    data = as_records(blocks, Q3_K)
    high = np.unpackbits(data["hmask"][:, None], axis=1, bitorder="little").reshape(-1, BLOCK)
    codes = (_unpack_pairs(data["qs"]) | high << np.uint8(2)).reshape(-1, 16, 16).astype(np.float32) - np.float32(4)
    return _symmetric(data, _unpack_q3_scales(data["scales"]), codes)


def decode_q4_k(blocks: Codes, _backend: Backend) -> Floats:
    """d * scale * code - dmin * minimum."""
    data = as_records(blocks, Q4_K)
    return _affine(data, *_unpack_q4_scales(data["scales"]), unpack_nibbles(data["qs"], 32).reshape(-1, 8, 32))


def decode_q5_k(blocks: Codes, _backend: Backend) -> Floats:
    """d * scale * code - dmin * minimum."""
    data = as_records(blocks, Q5_K)
    high = np.unpackbits(data["qh"][:, None], axis=1, bitorder="little").reshape(-1, 8, 32)
    codes = unpack_nibbles(data["qs"], 32).reshape(-1, 8, 32) | high << np.uint8(4)
    return _affine(data, *_unpack_q4_scales(data["scales"]), codes)


def decode_q6_k(blocks: Codes, _backend: Backend) -> Floats:
    """d * scale * code."""
    data = as_records(blocks, Q6_K)
    codes = unpack_nibbles(data["ql"], 64) | _unpack_pairs(data["qh"]) << np.uint8(4)
    return _symmetric(data, data["scales"], codes.reshape(-1, 16, 16).astype(np.float32) - np.float32(32))


def _round_affine(
    subs: Floats, codes: Codes, scale: Floats, minimum: Floats, top: int, high: int, out: np.ndarray, backend: Backend
) -> tuple[Codes, Codes]:
    """Round scales and minimums to 0…top, store d and dmin, round `codes` again; returns both, (N, sub-blocks)."""
    ls, out["d"] = _round_scales(scale.reshape(len(out), -1), top)
    lm, out["dmin"] = _round_scales(minimum.reshape(len(out), -1), top)
    stored_scale, stored_minimum = out["d"].astype(np.float32), out["dmin"].astype(np.float32)
    backend.round_codes(
        subs, (stored_scale[:, None] * ls).reshape(-1), (stored_minimum[:, None] * lm).reshape(-1), 0, high, codes
    )
    return ls.astype(np.uint8), lm.astype(np.uint8)


def _round_scales(scale: Floats, top: int) -> tuple[Floats, Floats]:
    """Non-negative scales (N, S) to integers 0…top; returns them and the unit (N,)."""
    limit = np.maximum(scale.max(axis=1), np.float32(0))
    inverse = np.divide(np.float32(top), limit, out=np.zeros_like(limit), where=limit > 0)
    return np.clip(np.rint(inverse[:, None] * scale), np.float32(0), np.float32(top)), limit / np.float32(top)


def _round_symmetric(
    subs: Floats, codes: Codes, scale: Floats, top: int, half: int, out: np.ndarray, backend: Backend
) -> Floats:
    """Round signed scales (N, 16) to -top…top-1, store d, round `codes` again; returns the rounded scales."""
    extreme = signed_extreme(scale)
    inverse = np.divide(np.float32(-top), extreme, out=np.zeros_like(extreme), where=extreme != 0)
    ls = np.clip(np.rint(inverse[:, None] * scale), np.float32(-top), np.float32(top - 1))
    ls[extreme == 0] = -top
    out["d"] = np.divide(np.float32(1), inverse, out=np.zeros_like(inverse), where=inverse != 0)
    stored = (out["d"].astype(np.float32)[:, None] * ls).reshape(-1)
    backend.round_codes(subs, stored, np.zeros_like(stored), -half, half - 1, codes)
    return ls


def _affine(data: np.ndarray, ls: Codes, lm: Codes, codes: Codes) -> Floats:
    scale: Floats = data["d"].astype(np.float32)[:, None] * ls
    minimum: Floats = data["dmin"].astype(np.float32)[:, None] * lm
    return (scale[:, :, None] * codes - minimum[:, :, None]).reshape(-1, BLOCK)


def _symmetric(data: np.ndarray, ls: np.ndarray, codes: Floats) -> Floats:
    scale: Floats = data["d"].astype(np.float32)[:, None] * ls
    return (scale[:, :, None] * codes).reshape(-1, BLOCK)


def _pack_pairs(codes: Codes) -> Codes:
    """Four two-bit codes a byte: byte l of half h holds elements l, 32 + l, 64 + l, 96 + l of that half."""
    parts = codes.reshape(len(codes), 2, 4, 32)
    packed: Codes = parts[:, :, 0] | parts[:, :, 1] << np.uint8(2) | parts[:, :, 2] << np.uint8(4)
    packed = packed | parts[:, :, 3] << np.uint8(6)
    return packed.reshape(len(codes), 64)


def _unpack_pairs(packed: Codes) -> Codes:
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8).reshape(1, 1, 4, 1)
    codes: Codes = packed.reshape(len(packed), 2, 1, 32) >> shifts & np.uint8(3)
    return codes.reshape(len(packed), BLOCK)


def _pack_q3_scales(scales: Floats) -> Codes:
    """Sixteen six-bit scales in twelve bytes: eight of low nibbles, four of high pairs."""
    values = scales.astype(np.uint8)
    low, high = values & np.uint8(15), (values >> np.uint8(4)).reshape(-1, 4, 4)
    pairs = high[:, 0] | high[:, 1] << np.uint8(2) | high[:, 2] << np.uint8(4) | high[:, 3] << np.uint8(6)
    return np.concatenate([low[:, :8] | low[:, 8:] << np.uint8(4), pairs], axis=1)


def _unpack_q3_scales(packed: Codes) -> Floats:
    low = np.concatenate([packed[:, :8] & np.uint8(15), packed[:, :8] >> np.uint8(4)], axis=1)
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8).reshape(1, 4, 1)
    high = (packed[:, None, 8:] >> shifts & np.uint8(3)).reshape(-1, 16)
    values: Codes = low | high << np.uint8(4)
    return values.astype(np.float32) - np.float32(32)


def _pack_q4_scales(ls: Codes, lm: Codes) -> Codes:
    """Eight six-bit scales and minimums in twelve bytes; the last four's high bits sit on the first four's bytes."""
    tops = [values[:, :4] | values[:, 4:] >> np.uint8(4) << np.uint8(6) for values in (ls, lm)]
    return np.concatenate([*tops, ls[:, 4:] & np.uint8(15) | lm[:, 4:] << np.uint8(4)], axis=1)


def _unpack_q4_scales(packed: Codes) -> tuple[Codes, Codes]:
    first, second, nibbles = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    ls = np.concatenate([first & np.uint8(63), nibbles & np.uint8(15) | first >> np.uint8(6) << np.uint8(4)], axis=1)
    lm = np.concatenate([second & np.uint8(63), nibbles >> np.uint8(4) | second >> np.uint8(6) << np.uint8(4)], axis=1)
    return ls, lm
