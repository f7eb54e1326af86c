"""One safetensors file: a length, a JSON table of tensors, their bytes without a gap.  The table is never trusted."""

import json
import math
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import msgspec
from safetensors import SafetensorError, safe_open

from corral import FormatError
from corral_safetensors.dtypes import STORED

MAX_HEADER_BYTES = 100_000_000  # the reference's own bound
MAX_DIMS = 8
_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


_TABLE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRY = msgspec.json.Decoder(_Entry)
_NOTES = msgspec.json.Decoder(dict[str, str])


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor and where its bytes are: `file` is the user's name for it, `start` counts from its beginning."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    path: Path
    start: int
    size_bytes: int

    def wrong(self, reason: str) -> FormatError:
        return FormatError(f"{self.file}: tensor {self.name!r:.200}: {reason}")


def read_header(file: str, path: Path) -> dict[str, StoredTensor]:
    """The tensors of a file by name.  Raises FormatError naming the file and the tensor at fault."""
    with path.open("rb") as source:
        total = os.fstat(source.fileno()).st_size
        head = source.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise FormatError(f"{file}: not a valid safetensors file: it has {len(head)} bytes")
        (length,) = _LENGTH.unpack(head)
        if not 2 <= length <= min(MAX_HEADER_BYTES, total - _LENGTH.size):
            raise FormatError(
                f"{file}: not a valid safetensors file: its header says it has {length} bytes, the file has {total}"
            )
        text = source.read(length)
    data_start = _LENGTH.size + length
    tensors = [_tensor(file, path, name, entry, data_start, total - data_start) for name, entry in _entries(file, text)]
    _check_layout(file, tensors, data_start, total)
    _ask_reference(file, path)
    return {tensor.name: tensor for tensor in tensors}


def _entries(file: str, text: bytes) -> list[tuple[str, _Entry]]:
    """The table, every entry of the right form and no name twice."""
    name = ""
    try:
        entries = []
        for name, raw in _TABLE.decode(text).items():
            if name == _METADATA:
                _NOTES.decode(raw)
            else:
                entries.append((name, _ENTRY.decode(raw)))
        name = ""
        _refuse_duplicates(file, text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as err:
        where = f"tensor {name!r:.100}" if name else "its header"
        raise FormatError(f"{file}: not a valid safetensors file: {where}: {err}") from err
    return entries


def _refuse_duplicates(file: str, text: bytes) -> None:
    """A JSON reader keeps one of two equal names; which one depends on the reader."""

    def pairs(found: Sequence[tuple[str, object]]) -> None:
        names = [name for name, _ in found]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise FormatError(f"{file}: not a valid safetensors file: {twice!r:.100} is there twice")

    json.loads(text, object_pairs_hook=pairs)


def _tensor(file: str, path: Path, name: str, entry: _Entry, data_start: int, data_bytes: int) -> StoredTensor:
    def wrong(reason: str) -> NoReturn:
        raise FormatError(f"{file}: tensor {name!r:.100}: {reason}")

    begin, end = entry.data_offsets
    if entry.dtype not in STORED:
        wrong(f"unknown data type: {entry.dtype!r:.40}")
    if len(entry.shape) > MAX_DIMS or any(dim < 0 for dim in entry.shape):
        wrong(f"impossible shape {list(entry.shape[: MAX_DIMS + 1])}")
    if not 0 <= begin <= end <= data_bytes:
        wrong(f"its bytes {begin} to {end} are not among the file's {data_bytes}")
    n_bytes = math.prod(entry.shape) * int(STORED[entry.dtype][-1])
    if n_bytes != end - begin:
        wrong(f"{list(entry.shape)} of {entry.dtype} takes {n_bytes} bytes, it has {end - begin}")
    return StoredTensor(name, entry.dtype, entry.shape, file, path, data_start + begin, n_bytes)


def _ask_reference(file: str, path: Path) -> None:
    """The format's own reader must accept the file too: it maps it and reads no tensor."""
    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as err:
        raise FormatError(f"{file}: not a valid safetensors file: {err}") from err


def _check_layout(file: str, tensors: list[StoredTensor], data_start: int, total: int) -> None:
    """Every byte belongs to exactly one tensor."""
    expected = data_start
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.size_bytes)):
        if tensor.start != expected:
            fault = "overlaps the one before it" if tensor.start < expected else "leaves a hole before it"
            raise tensor.wrong(f"at byte {tensor.start - data_start} it {fault}")
        expected += tensor.size_bytes
    if expected != total:
        raise FormatError(f"{file}: {total - expected} bytes after the last tensor belong to none")
