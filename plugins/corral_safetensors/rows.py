"""Matrices of a checkpoint as rows of float32, whichever way they are stored: plain, scaled F8, bitsandbytes.

Sources: Dettmers et al. 2022 (LLM.int8) and 2023 (QLoRA); DeepSeek-AI 2024 (F8 with a scale for each tile).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from corral import Unsupported
from corral_safetensors.checkpoint import read_all, read_elements
from corral_safetensors.documents import Fields
from corral_safetensors.dtypes import FLOATS, Float32, Raw, to_float32
from corral_safetensors.header import StoredTensor


class Rows(Protocol):
    """A tensor that can be read some rows at a time.

    `dtype` is the float type its values are exact in, or meant for.
    """

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def stored(self) -> StoredTensor: ...
    def read(self, start: int, stop: int) -> Float32: ...


@dataclass(frozen=True, slots=True)
class Plain:
    """A float tensor as it lies in the file.  One of no dimensions is read as one of one."""

    stored: StoredTensor

    def __post_init__(self) -> None:
        if self.stored.dtype not in FLOATS:
            raise self.stored.wrong(f"weights of type {self.stored.dtype} have no meaning here")

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape or (1,)

    @property
    def dtype(self) -> str:
        return self.stored.dtype

    def raw(self, start: int, stop: int) -> Raw:
        """Rows as numpy reads them: BF16 and F8 as integers."""
        width = int(np.prod(self.shape[1:], dtype=np.int64))
        return read_elements(self.stored, start * width, stop * width).reshape(stop - start, *self.shape[1:])

    def read(self, start: int, stop: int) -> Float32:
        return to_float32(self.raw(start, stop), self.dtype)


@dataclass(frozen=True, slots=True)
class ScaledF8:
    """F8 (R, C) times a scale: one for all, one a row, or one for each tile of the matrix."""

    weight: Plain
    scales: Float32  # (tiles down, tiles across)
    tile: tuple[int, int]

    @property
    def stored(self) -> StoredTensor:
        return self.weight.stored

    @property
    def name(self) -> str:
        return self.weight.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.weight.shape

    @property
    def dtype(self) -> str:
        return "BF16"

    def read(self, start: int, stop: int) -> Float32:
        across = np.arange(self.shape[1]) // self.tile[1]
        down = np.arange(start, stop) // self.tile[0]
        result: Float32 = self.weight.read(start, stop) * self.scales[down[:, None], across[None, :]]
        return result


@dataclass(frozen=True, slots=True)
class Int8:
    """int8 (R, C), each row scaled so that 127 is its largest magnitude."""

    stored: StoredTensor
    largest: Float32  # (R,)
    dtype: str

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    def read(self, start: int, stop: int) -> Float32:
        width = self.shape[1]
        codes = read_elements(self.stored, start * width, stop * width).reshape(stop - start, width)
        result: Float32 = codes.astype(np.float32) * (self.largest[start:stop, None] / np.float32(127))
        return result


@dataclass(frozen=True, slots=True)
class FourBit:
    """Two codes a byte, the first in the high half; blocks run over the flattened matrix."""

    stored: StoredTensor
    shape: tuple[int, ...]
    dtype: str
    code_book: Float32  # (16,)
    scales: Float32  # one a block
    block_size: int

    @property
    def name(self) -> str:
        return self.stored.name

    def read(self, start: int, stop: int) -> Float32:
        width = self.shape[1]
        first, last = start * width, stop * width
        packed = read_elements(self.stored, first // 2, -(-last // 2))
        codes = np.stack((packed >> 4, packed & 15), axis=-1).reshape(-1)[first % 2 :][: last - first]
        scales = self.scales[np.arange(first, last) // self.block_size]
        result: Float32 = (self.code_book[codes] * scales).reshape(stop - start, width)
        return result


def scaled_f8(weight: StoredTensor, scale: StoredTensor, block: tuple[int, int]) -> ScaledF8:
    """`scale` has no dimension, one entry a row, or one a tile of `block` size.  Raises FormatError."""
    plain, values = Plain(weight), to_float32(read_all(scale), Plain(scale).dtype)
    if len(plain.shape) != 2:
        raise weight.wrong("an F8 weight with a scale must be a matrix")
    rows, columns = plain.shape
    if values.size == 1:
        return ScaledF8(plain, values.reshape(1, 1), (max(rows, 1), max(columns, 1)))
    if values.size == rows and values.shape in ((rows,), (rows, 1)):
        return ScaledF8(plain, values.reshape(rows, 1), (1, max(columns, 1)))
    if values.shape != (-(-rows // block[0]), -(-columns // block[1])):
        raise scale.wrong(f"shape {list(values.shape)} does not fit a weight of {[rows, columns]} in tiles of {block}")
    return ScaledF8(plain, values, block)


def int8(weight: StoredTensor, largest: StoredTensor, layout: StoredTensor | None, dtype: str) -> Int8:
    """`largest` is SCB, `layout` the weight_format.  Raises FormatError, Unsupported for a device's own layout."""
    if weight.dtype != "I8" or len(weight.shape) != 2:
        raise weight.wrong(f"an 8-bit weight must be an I8 matrix, not {weight.dtype} {list(weight.shape)}")
    if largest.shape != weight.shape[:1]:
        raise largest.wrong(f"shape {list(largest.shape)} does not fit a weight of {list(weight.shape)}")
    if layout is not None and read_all(layout).any():
        raise Unsupported(f"{layout.file}: tensor {layout.name!r}: only row-major 8-bit weights can be read")
    return Int8(weight, to_float32(read_all(largest), Plain(largest).dtype), dtype)


def four_bit(weight: StoredTensor, parts: dict[str, StoredTensor], state: Fields) -> FourBit:
    """`parts` are absmax, quant_map and, with double quantization, nested_absmax and nested_quant_map.

    Raises FormatError.
    """
    shape = tuple(int(dim) for dim in state.numbers("shape"))
    block_size = state.integer("blocksize", low=1)
    n_values = int(np.prod(shape, dtype=object)) if len(shape) == 2 and min(shape) > 0 else 0
    if not n_values or weight.dtype != "U8" or weight.size_bytes != -(-n_values // 2):
        raise weight.wrong(f"{weight.size_bytes} bytes of {weight.dtype} are no 4-bit matrix of shape {list(shape)}")
    scales = _scales(parts, state, -(-n_values // block_size))
    book = _floats(parts, "quant_map", weight, 16)
    dtype = {"float16": "F16", "bfloat16": "BF16"}.get(state.text("dtype"), "F32")
    return FourBit(weight, shape, dtype, book, scales, block_size)


def _scales(parts: dict[str, StoredTensor], state: Fields, n_blocks: int) -> Float32:
    """One scale a block, itself quantized or not."""
    absmax = _part(parts, "absmax", next(iter(parts.values())))
    if "nested_absmax" not in parts:
        return _floats(parts, "absmax", absmax, n_blocks)
    nested_block = state.integer("nested_blocksize", low=1)
    codes = read_all(absmax).reshape(-1)
    if absmax.dtype != "U8" or len(codes) != n_blocks:
        raise absmax.wrong(f"expected {n_blocks} codes of type U8")
    nested = _floats(parts, "nested_absmax", absmax, -(-n_blocks // nested_block))
    book = _floats(parts, "nested_quant_map", absmax, 256)
    offset = np.float32(state.number("nested_offset"))
    result: Float32 = book[codes] * nested[np.arange(n_blocks) // nested_block] + offset
    return result


def _part(parts: dict[str, StoredTensor], name: str, near: StoredTensor) -> StoredTensor:
    if name not in parts:
        raise near.wrong(f"its {name} is missing")
    return parts[name]


def _floats(parts: dict[str, StoredTensor], name: str, near: StoredTensor, count: int) -> Float32:
    tensor = _part(parts, name, near)
    values = to_float32(read_all(tensor), Plain(tensor).dtype).reshape(-1)
    if len(values) != count:
        raise tensor.wrong(f"expected {count} numbers, found {len(values)}")
    return values
