"""Numbers as checkpoints store them: to float32, and from float32 to what a GGUF file stores.

F8 formats: Micikevicius et al. 2022 (E4M3 has no infinity, E5M2 has).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Raw = NDArray[Any]

STORED: dict[str, str] = {  # what numpy reads a type as
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "u1", "F8_E5M2": "u1",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "u1",
}  # fmt: skip
FLOATS = frozenset(("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"))
_E4M3 = (4, 3, 7)
_E5M2 = (5, 2, 15)


def _table(exponent_bits: int, mantissa_bits: int, bias: int) -> Float32:
    """The 256 values of an 8-bit float."""
    code = np.arange(256)
    sign = np.where(code >> 7, -1.0, 1.0)
    exponent = code >> mantissa_bits & ((1 << exponent_bits) - 1)
    fraction = (code & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    scale = np.exp2(np.maximum(exponent, 1).astype(np.float64) - bias)
    values = sign * np.where(exponent == 0, fraction, 1 + fraction) * scale
    magnitude = code & 0x7F
    if exponent_bits == 4:
        values[magnitude == 0x7F] = np.nan
    else:
        values[magnitude == 0x7C] *= np.inf
        values[magnitude > 0x7C] = np.nan
    result: Float32 = values.astype(np.float32)
    return result


def to_float32(raw: Raw, dtype: str) -> Float32:
    """Numbers of a float type; exact, except that F64 is rounded."""
    if dtype == "BF16":
        return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if dtype in ("F8_E4M3", "F8_E5M2"):
        table = _table(*(_E4M3 if dtype == "F8_E4M3" else _E5M2))
        looked_up: Float32 = table[raw]
        return looked_up
    with np.errstate(over="ignore"):
        plain: Float32 = raw.astype(np.float32, copy=False)
        return plain


def encode(values: Float32, kind: str) -> Raw:
    """float32 → the numbers of GGUF type F32, F16 or BF16, rounded to nearest, halves to even."""
    if kind == "F32":
        return values.astype("<f4", copy=False)
    if kind == "F16":
        with np.errstate(over="ignore"):
            return values.astype("<f2")
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))) >> np.uint32(16)
    quiet = bits >> np.uint32(16) | np.uint32(64)
    return np.where(np.isnan(values), quiet, rounded).astype("<u2")
