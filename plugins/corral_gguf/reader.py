"""From bytes to a `Header`: the metadata and the tensor table, with every number checked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corral import FormatError, TensorInfo
from corral_gguf.constants import DEFAULT_ALIGNMENT, MAGIC, MAX_DIMS, MAX_NAME_BYTES, TENSOR_TYPES, ValueType
from corral_gguf.cursor import Cursor

_MAX_I64 = (1 << 63) - 1


class Metadata(Mapping[str, Any]):
    """The keys of a file in file order.  `types` remembers each value's type, so that a copy is exact."""

    def __init__(self, values: dict[str, Any], types: dict[str, ValueType]) -> None:
        self._values = values
        self.types = types

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Metadata({len(self)} keys)"


@dataclass(frozen=True, slots=True)
class Placed:
    """A tensor and the position of its first byte in the file."""

    info: TensorInfo
    start: int


@dataclass(frozen=True, slots=True)
class Header:
    """All of a file but its tensors' bytes."""

    version: int
    alignment: int
    metadata: Metadata
    tensors: dict[str, Placed]


def read_header(path: Path, data: memoryview) -> Header:
    """Parse and check a whole header.  Raises FormatError naming the file, the key or tensor, and the byte."""
    cursor = Cursor(path, data)
    version = _read_version(cursor)
    cursor.wide = version > 1
    n_tensors = cursor.count("the number of tensors", 25 if cursor.wide else 17)
    n_keys = cursor.count("the number of keys", 13 if cursor.wide else 9)
    metadata = _read_metadata(cursor, n_keys)
    alignment = _alignment(cursor, metadata)
    return Header(version, alignment, metadata, _read_tensors(cursor, n_tensors, alignment))


def _read_version(cursor: Cursor) -> int:
    head = bytes(cursor.data[:4])
    if head == MAGIC[::-1]:
        raise cursor.error("this is a big-endian file, which is not supported; convert it to little-endian first", 0)
    if head != MAGIC:
        raise cursor.error(f"the file begins with {head!r}, not with {MAGIC!r}", 0)
    cursor.position = 4
    version = cursor.u32()
    if version and version & 0xFFFF == 0:
        raise cursor.error("this is a big-endian file, which is not supported; convert it to little-endian first", 4)
    if version not in (1, 2, 3):
        raise cursor.error(f"version {version} is not supported, only 1 to 3 are", 4)
    return version


def _read_metadata(cursor: Cursor, n_keys: int) -> Metadata:
    values: dict[str, Any] = {}
    types: dict[str, ValueType] = {}
    for index in range(n_keys):
        cursor.what = f"key {index}"
        start = cursor.position
        key = _read_name(cursor, "the key")
        cursor.what = f"key {key!r}"
        if key in values:
            raise cursor.error("the key appears twice", start)
        kind = cursor.value_type("the value's type")
        values[key] = cursor.value(kind)
        types[key] = kind
    return Metadata(values, types)


def _read_name(cursor: Cursor, name: str) -> str:
    start = cursor.position
    raw = cursor.string(name)
    if not raw:
        raise cursor.error(f"{name} is empty", start)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise cursor.error(f"{name} is not UTF-8", start) from err


def _alignment(cursor: Cursor, metadata: Metadata) -> int:
    key = "general.alignment"
    alignment = metadata.get(key, DEFAULT_ALIGNMENT)
    cursor.what = f"key {key!r}"
    if key in metadata and metadata.types[key] is not ValueType.UINT32:
        raise cursor.error(f"the type must be uint32, not {metadata.types[key].name.lower()}")
    if alignment <= 0 or alignment & (alignment - 1):
        raise cursor.error(f"{alignment} is not a power of two")
    return int(alignment)


def _read_tensors(cursor: Cursor, n_tensors: int, alignment: int) -> dict[str, Placed]:
    found: list[tuple[TensorInfo, int, int]] = []
    names: set[str] = set()
    for index in range(n_tensors):
        cursor.what = f"tensor {index}"
        start = cursor.position
        name = _read_name(cursor, "the tensor's name")
        cursor.what = f"tensor {name!r}"
        if len(name.encode()) > MAX_NAME_BYTES:
            raise cursor.error(f"the name is longer than {MAX_NAME_BYTES} bytes", start)
        if name in names:
            raise cursor.error("the name appears twice", start)
        names.add(name)
        info = _read_tensor_info(cursor, name)
        found.append((info, cursor.u64(), start))
    data_start = -(-cursor.position // alignment) * alignment
    return _place(cursor, found, data_start, alignment)


def _read_tensor_info(cursor: Cursor, name: str) -> TensorInfo:
    start = cursor.position
    n_dims = cursor.u32()
    if not 1 <= n_dims <= MAX_DIMS:
        raise cursor.error(f"{n_dims} dimensions; 1 to {MAX_DIMS} are possible", start)
    dims = [cursor.u64() if cursor.wide else cursor.u32() for _ in range(n_dims)]
    product = 1
    for dim in dims:
        product *= dim
        if not 0 < dim <= _MAX_I64 or product > _MAX_I64:
            raise cursor.error(f"the dimensions {dims} are zero, negative or too large", start)
    start = cursor.position
    number = cursor.u32()
    kind = TENSOR_TYPES.get(number)
    if kind is None:
        raise cursor.error(f"type {number} is unknown or was removed from the format", start)
    if dims[0] % kind.block_size:
        raise cursor.error(f"rows of {dims[0]} weights are not whole blocks of {kind.block_size} ({kind.name})", start)
    size_bytes = product // kind.block_size * kind.type_size
    return TensorInfo(name=name, type=kind.name, shape=tuple(reversed(dims)), size_bytes=size_bytes)


def _place(
    cursor: Cursor, found: list[tuple[TensorInfo, int, int]], data_start: int, alignment: int
) -> dict[str, Placed]:
    """Tensors lie one after the other in the order of the table, each padded; so none can overlap another."""
    expected = 0
    placed: dict[str, Placed] = {}
    for info, offset, at in found:
        cursor.what = f"tensor {info.name!r}"
        if offset != expected:
            raise cursor.error(f"the offset is {offset}, but the tensors before it end at {expected}", at)
        start = data_start + offset
        if start + info.size_bytes > len(cursor.data):
            raise cursor.error(
                f"its {info.size_bytes} bytes at {start} end after the end of the file ({len(cursor.data)} bytes)", at
            )
        placed[info.name] = Placed(info, start)
        expected += -(-info.size_bytes // alignment) * alignment
    return placed


def wrong_type(path: Path, key: str, wanted: str, value: object) -> FormatError:
    """A known key holds a value of another type."""
    return FormatError(f"{path.name}: not a valid GGUF: key {key!r}: must be {wanted}, not {value!r:.60}")
