"""Writing GGUF as a stream: the header from what the tensors will be, then one tensor's bytes after the other.

Version 3, little-endian.  Nothing lies under the final name before every byte is on the disk.
"""

import os
import secrets
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any

from corral import FormatError, TensorInfo, Weights
from corral_gguf.arrays import Array, encode_strings
from corral_gguf.constants import (
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_DIMS,
    MAX_NAME_BYTES,
    STRUCT_CODES,
    TENSOR_TYPE_IDS,
    TENSOR_TYPES,
    ValueType,
)

VERSION = 3
Buffer = bytes | bytearray | memoryview
_I32 = range(-(1 << 31), 1 << 31)
_U32 = range(1 << 32)
_I64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, slots=True)
class TensorSource:
    """A tensor to write: what it is, and a call that yields its bytes when its turn has come.

    Only `info.name`, `info.type` and `info.shape` (outermost first) count; the size follows from them.
    """

    info: TensorInfo
    chunks: Callable[[], Iterable[Buffer]]


def tensor_size(info: TensorInfo) -> int:
    """The bytes a tensor takes in a file.  Raises FormatError when its type or shape is impossible."""
    number = TENSOR_TYPE_IDS.get(info.type)
    if number is None:
        raise FormatError(f"tensor {info.name!r}: type {info.type!r} is unknown")
    kind = TENSOR_TYPES[number]
    if not 1 <= len(info.shape) <= MAX_DIMS or min(info.shape) <= 0 or info.shape[-1] % kind.block_size:
        raise FormatError(f"tensor {info.name!r}: shape {info.shape} cannot be stored as {kind.name}")
    size = kind.type_size
    for dim in info.shape:
        size *= dim
    return size // kind.block_size


def sources_of(weights: Weights) -> list[TensorSource]:
    """All tensors of an open file, copied as they are when their turn comes."""

    def source(info: TensorInfo) -> TensorSource:
        return TensorSource(info, lambda: (weights.tensor(info.name).data,))

    return [source(info) for info in weights.info.tensors]


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Iterable[TensorSource]) -> int:
    """Write a file under a temporary name, flush it to the disk, then rename it to `path`; return its size in bytes.

    Values are bool, int, float, str, bytes (an array of uint8), `Array` or a list of one of them.  A `Metadata` keeps
    its values' types; else integers become uint32 (int32 when negative, 64 bits when too large), floats float32.
    `general.alignment` in `metadata` sets the alignment.  Raises FormatError for what the format cannot hold and when
    a source yields more or fewer bytes than its tensor has; then no file is left behind.
    """
    sources = list(tensors)
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment not in _U32 or alignment.bit_count() != 1:
        raise FormatError(f"key 'general.alignment': {alignment!r} is not a power of two")
    header = _header(metadata, [source.info for source in sources], alignment)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(header)
            _pad(file, len(header), alignment)
            for source in sources:
                _write_tensor(file, source, alignment)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)
    return size


def _write_tensor(file: BufferedWriter, source: TensorSource, alignment: int) -> None:
    expected, written = tensor_size(source.info), 0
    for chunk in source.chunks():
        written += memoryview(chunk).nbytes
        if written > expected:
            break
        file.write(chunk)
    if written != expected:
        comparison = "more than" if written > expected else f"{written} of"
        raise FormatError(f"tensor {source.info.name!r}: the source yielded {comparison} {expected} bytes")
    _pad(file, written, alignment)


def _pad(file: BufferedWriter, size: int, alignment: int) -> None:
    file.write(bytes(-size % alignment))


def _sync_directory(folder: Path) -> None:
    """Make the rename itself durable, where directories can be opened (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _header(metadata: Mapping[str, Any], tensors: Sequence[TensorInfo], alignment: int) -> bytes:
    types: Mapping[str, ValueType] = getattr(metadata, "types", {})
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(metadata))]
    for key, value in metadata.items():
        if not key:
            raise FormatError("a metadata key is empty")
        kind = types.get(key) or _type_of(key, value)
        parts += [encode_strings([key.encode()]), struct.pack("<I", kind), _encode(key, kind, value)]
    offset, names = 0, set()
    for info in tensors:
        name = info.name.encode()
        if not name or len(name) > MAX_NAME_BYTES or name in names:
            raise FormatError(f"tensor {info.name!r}: the name is empty, used twice or over {MAX_NAME_BYTES} bytes")
        names.add(name)
        size = tensor_size(info)
        n_dims = len(info.shape)
        dims = struct.pack(f"<I{n_dims}Q", n_dims, *reversed(info.shape))
        parts += [encode_strings([name]), dims, struct.pack("<IQ", TENSOR_TYPE_IDS[info.type], offset)]
        offset += -(-size // alignment) * alignment
    return b"".join(parts)


def _type_of(key: str, value: object) -> ValueType:
    """The value type of a plain Python value."""
    if isinstance(value, bool):
        return ValueType.BOOL
    if isinstance(value, int):
        if value in _U32:
            return ValueType.UINT32
        return ValueType.INT32 if value in _I32 else ValueType.INT64 if value in _I64 else ValueType.UINT64
    if isinstance(value, float):
        return ValueType.FLOAT32
    if isinstance(value, str):
        return ValueType.STRING
    if isinstance(value, bytes | Array | list | tuple):
        return ValueType.ARRAY
    raise FormatError(f"key {key!r}: a value of type {type(value).__name__} cannot be written")


def _encode(key: str, kind: ValueType, value: Any) -> bytes:
    if kind is ValueType.ARRAY:
        return _encode_array(key, value)
    if kind is ValueType.STRING:
        return encode_strings([value.encode("utf-8", "surrogateescape")])
    return _pack(key, kind, [value])


def _encode_array(key: str, value: Any) -> bytes:
    if isinstance(value, Array):
        return struct.pack("<IQ", value.value_type, len(value)) + value.raw
    if isinstance(value, bytes):
        return struct.pack("<IQ", ValueType.UINT8, len(value)) + value
    kind = _element_type(key, value)
    if kind is ValueType.STRING:
        content = encode_strings([text.encode("utf-8", "surrogateescape") for text in value])
    else:
        content = _pack(key, kind, value)
    return struct.pack("<IQ", kind, len(value)) + content


def _element_type(key: str, values: Sequence[Any]) -> ValueType:
    """One type for all elements; integers are int32 where they fit, as readers of token types and layers expect."""
    if all(isinstance(value, str) for value in values):
        return ValueType.STRING
    if all(isinstance(value, bool) for value in values):
        return ValueType.BOOL
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        if all(value in _I32 for value in values):
            return ValueType.INT32
        return ValueType.INT64 if all(value in _I64 for value in values) else ValueType.UINT64
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return ValueType.FLOAT32
    raise FormatError(f"key {key!r}: the elements of an array must be all strings, all bools or all numbers")


def _pack(key: str, kind: ValueType, values: Sequence[Any]) -> bytes:
    try:
        return struct.pack(f"<{len(values)}{STRUCT_CODES[kind]}", *values)
    except (struct.error, OverflowError) as err:
        raise FormatError(f"key {key!r}: {err}") from err
