"""Reading values one after the other, each checked against the bytes that are left before it is used."""

import struct
from pathlib import Path
from typing import Any

from corral import FormatError
from corral_gguf.arrays import Array, encode_strings, string_starts
from corral_gguf.constants import MAX_ARRAY_COUNT, MAX_STRING_BYTES, STRUCT_CODES, ValueType

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_SCALARS = {kind: struct.Struct("<" + code) for kind, code in STRUCT_CODES.items()}


class Cursor:
    """A position in a file's bytes.  `what` is named in errors: the key or tensor being read."""

    def __init__(self, path: Path, data: memoryview) -> None:
        self.path = path
        self.data = data
        self.position = 0
        self.what = "header"
        self.wide = True  # counts and lengths are 64 bits; 32 in version 1

    def error(self, message: str, offset: int | None = None) -> FormatError:
        """A FormatError that says which file, what and where."""
        where = self.position if offset is None else offset
        return FormatError(f"{self.path.name}: not a valid GGUF: {self.what}: {message} (at byte {where})")

    @property
    def remaining(self) -> int:
        return len(self.data) - self.position

    def _unpack(self, form: struct.Struct) -> Any:
        if form.size > self.remaining:
            raise self.error(f"the file ends here; {form.size} more bytes were expected")
        (value,) = form.unpack_from(self.data, self.position)
        self.position += form.size
        return value

    def u32(self) -> int:
        return int(self._unpack(_U32))

    def u64(self) -> int:
        return int(self._unpack(_U64))

    def count(self, name: str, least_bytes: int, limit: int | None = None) -> int:
        """A number of things that take at least `least_bytes` bytes each."""
        start = self.position
        value = self.u64() if self.wide else self.u32()
        if value * least_bytes > self.remaining or (limit is not None and value > limit):
            raise self.error(f"{name} is {value}, but only {self.remaining} bytes are left in the file", start)
        return value

    def string(self, name: str) -> bytes:
        length = self.count(f"the length of {name}", 1, MAX_STRING_BYTES)
        text = bytes(self.data[self.position : self.position + length])
        self.position += length
        return text if self.wide else text.removesuffix(b"\0")

    def value_type(self, name: str) -> ValueType:
        start = self.position
        number = self.u32()
        try:
            return ValueType(number)
        except ValueError as err:
            raise self.error(f"{name} {number} is unknown", start) from err

    def value(self, kind: ValueType) -> Any:
        """A metadata value: bool, int, float, str or Array."""
        if kind is ValueType.STRING:
            return self.string("the text").decode("utf-8", "replace")
        if kind is ValueType.ARRAY:
            return self.array()
        if kind is ValueType.BOOL:
            return self._unpack(_SCALARS[ValueType.UINT8]) != 0
        return self._unpack(_SCALARS[kind])

    def array(self) -> Array:
        kind = self.value_type("the array's element type")
        if kind is ValueType.ARRAY:
            raise self.error("arrays of arrays are not supported")
        if kind is ValueType.STRING:
            return self._string_array()
        size = _SCALARS[kind].size
        count = self.count("the array's length", size, MAX_ARRAY_COUNT)
        raw = bytes(self.data[self.position : self.position + count * size])
        self.position += len(raw)
        return Array(kind, raw, count)

    def _string_array(self) -> Array:
        count = self.count("the array's length", _U64.size if self.wide else _U32.size, MAX_ARRAY_COUNT)
        if not self.wide:
            strings = [self.string(f"string {index}") for index in range(count)]
            return Array(ValueType.STRING, encode_strings(strings), count)
        start = self.position
        starts = string_starts(self.data, start, count)
        if starts is None:
            raise self.error(f"one of the array's {count} strings ends after the end of the file", start)
        self.position = int(starts[-1])
        return Array(ValueType.STRING, bytes(self.data[start : self.position]), count)
