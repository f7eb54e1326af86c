"""Which functions encode and decode each storage type."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from corral import FormatError
from corral_quantizers import kquants, legacy, plain, tables
from corral_quantizers.backend import Backend
from corral_quantizers.reference import Codes, Floats


class Codec(NamedTuple):
    """`encode`: (N, block_size) float32 -> (N, type_size) uint8; `decode` the reverse.

    `layout` describes a block's fields; None for types that hold any number, NaN and infinity too.
    """

    encode: Callable[[Floats, Backend], Codes]
    decode: Callable[[Codes, Backend], Floats]
    layout: "np.dtype[np.void] | None" = None


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "F32": Codec(plain.encode_f32, plain.decode_f32),
        "F16": Codec(plain.encode_f16, plain.decode_f16),
        "BF16": Codec(plain.encode_bf16, plain.decode_bf16),
        "Q4_0": Codec(legacy.encode_q4_0, legacy.decode_q4_0, legacy.Q4_0),
        "Q4_1": Codec(legacy.encode_q4_1, legacy.decode_q4_1, legacy.Q4_1),
        "Q5_0": Codec(legacy.encode_q5_0, legacy.decode_q5_0, legacy.Q5_0),
        "Q5_1": Codec(legacy.encode_q5_1, legacy.decode_q5_1, legacy.Q5_1),
        "Q8_0": Codec(legacy.encode_q8_0, legacy.decode_q8_0, legacy.Q8_0),
        "Q2_K": Codec(kquants.encode_q2_k, kquants.decode_q2_k, kquants.Q2_K),
        "Q3_K": Codec(kquants.encode_q3_k, kquants.decode_q3_k, kquants.Q3_K),
        "Q4_K": Codec(kquants.encode_q4_k, kquants.decode_q4_k, kquants.Q4_K),
        "Q5_K": Codec(kquants.encode_q5_k, kquants.decode_q5_k, kquants.Q5_K),
        "Q6_K": Codec(kquants.encode_q6_k, kquants.decode_q6_k, kquants.Q6_K),
        "IQ4_NL": Codec(tables.encode_iq4_nl, tables.decode_iq4_nl, tables.IQ4_NL),
        "IQ4_XS": Codec(tables.encode_iq4_xs, tables.decode_iq4_xs, tables.IQ4_XS),
        "MXFP4": Codec(tables.encode_mxfp4, tables.decode_mxfp4, tables.MXFP4),
    }
)


def encode(name: str, x: Floats, backend: Backend) -> Codes:
    """Encode (N, block_size) weights in the type `name`.

    Raises FormatError for a NaN or an infinity that the type cannot hold, and for weights too large for it.
    """
    codec = CODECS[name]
    if codec.layout is not None and not backend.all_finite(x):
        raise FormatError(f"weight {x[~np.isfinite(x)][0]} cannot be stored as {name}: the source is broken")
    with np.errstate(over="ignore", invalid="ignore"):  # found below
        blocks = codec.encode(x, backend)
    if not _scales_are_finite(codec, blocks) or (name == "F16" and _overflows(x, blocks)):
        largest = np.abs(x[np.isfinite(x)]).max()
        raise FormatError(f"weights up to {largest:.6g} are too large for {name}: use BF16 or F32")
    return blocks


def decode(name: str, blocks: Codes, backend: Backend) -> Floats:
    """Decode (N, type_size) bytes of the type `name`; broken scales give NaN or infinity, as everywhere."""
    with np.errstate(over="ignore", invalid="ignore"):
        return CODECS[name].decode(blocks, backend)


def _scales_are_finite(codec: Codec, blocks: Codes) -> bool:
    if codec.layout is None:
        return True
    records = legacy.as_records(blocks, codec.layout)
    halves = [name for name in codec.layout.names or () if codec.layout[name].kind == "f"]
    return all(bool(np.isfinite(records[name]).all()) for name in halves)


def _overflows(x: Floats, blocks: Codes) -> bool:
    """Whether a finite weight became infinite."""
    infinite = (blocks.view("<u2") & np.uint16(0x7FFF)) == 0x7C00
    return bool(infinite.any()) and bool(np.isfinite(x[infinite]).any())
