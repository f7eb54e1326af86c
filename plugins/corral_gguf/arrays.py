"""Arrays of the metadata, kept as bytes until someone looks inside.

A vocabulary is two arrays of tens of thousands of strings, each `u64 length, bytes`, and the position of the next key
is only known after walking them.  One Python step a string would be most of the time a file takes to open.  Nearly all
strings are shorter than 256 bytes and hold no NUL, so numpy finds the places that look like a length below 256; a
place counts only if the string before it ends exactly there, which proves the guess.  Where the chain breaks, some
strings are walked one by one, so hostile content costs no more than plain walking.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, overload

from corral_gguf.constants import STRUCT_CODES, ValueType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LENGTH = struct.Struct("<Q")
_WINDOW = 1 << 16  # bytes looked at in one go
_FEW = 500  # below this many strings, numpy's overhead is not worth it


def string_starts(data: memoryview, start: int, count: int) -> "list[int] | NDArray[np.int64] | None":
    """Where each of `count` strings at `start` begins (its length), and at last where the final one ends.

    None when they do not fit into `data`.
    """
    if count < _FEW:
        found = _walk(data, start, count)
        return None if found is None else [start, *found]
    import numpy as np

    pieces = [np.array([start], np.int64)]
    position, left = start, count
    while left:
        ends = _chain(np.frombuffer(data[position : position + _WINDOW], np.uint8), left)
        if len(ends):
            pieces.append(ends + position)
            position += int(ends[-1])
            left -= len(ends)
        if len(ends) < _FEW:
            few = _walk(data, position, min(left, _FEW))
            if few is None:
                return None
            pieces.append(np.array(few, np.int64))
            left -= len(few)
            position = few[-1] if few else position
    return np.concatenate(pieces) if position <= len(data) else None


def _walk(data: memoryview, position: int, count: int) -> list[int] | None:
    """The end of each string, one at a time: true for every content."""
    unpack, last, ends = _LENGTH.unpack_from, len(data) - _LENGTH.size, []
    for _ in range(count):
        if position > last:
            return None
        position += unpack(data, position)[0] + _LENGTH.size
        ends.append(position)
    return ends if position <= len(data) else None


def _chain(window: "NDArray[np.uint8]", count: int) -> "NDArray[np.int64]":
    """The ends of at most `count` strings from position 0 on, as far as they can be proven without walking."""
    import numpy as np

    is_short = np.zeros(len(window), np.bool_)
    for shift in range(8):
        words = window[shift : shift + (len(window) - shift) // 8 * 8].view("<u8")
        is_short[shift : shift + 8 * len(words) : 8] = words < 256
    starts = np.flatnonzero(is_short)
    if not len(starts) or starts[0] != 0:
        return np.empty(0, np.int64)
    ends: NDArray[np.int64] = starts + window[starts] + _LENGTH.size
    broken = np.flatnonzero(ends[:-1] != starts[1:])
    n_proven = int(broken[0]) + 1 if len(broken) else len(ends)
    return ends[: min(n_proven, count)]


def encode_strings(strings: Sequence[bytes]) -> bytes:
    """The array's bytes: a length before each string."""
    return b"".join(part for text in strings for part in (_LENGTH.pack(len(text)), text))


class Array(Sequence[Any]):
    """A typed array of a GGUF file.  Decoded on first use; equal to any sequence of the same values.

    Strings that are not UTF-8 keep their bytes as lone surrogates (`errors="surrogateescape"`).
    """

    __slots__ = ("_count", "_values", "raw", "value_type")

    def __init__(self, value_type: ValueType, raw: bytes, count: int) -> None:
        self.value_type = value_type
        self.raw = raw
        self._count = count
        self._values: list[Any] | None = None

    def tolist(self) -> list[Any]:
        """All values as a list.  It is kept: do not change it."""
        if self._values is None:
            is_text = self.value_type is ValueType.STRING
            self._values = self._decode_strings() if is_text else self._decode_numbers()
        return self._values

    def _decode_numbers(self) -> list[Any]:
        return list(struct.unpack(f"<{self._count}{STRUCT_CODES[self.value_type]}", self.raw))

    def _decode_strings(self) -> list[str]:
        starts = string_starts(memoryview(self.raw), 0, self._count)
        if starts is None:
            raise ValueError("the bytes of a string array were not checked before use")
        if isinstance(starts, list):
            return _decode_each(self.raw, starts)
        return _decode_all(self.raw, starts) or _decode_each(self.raw, starts.tolist())

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.tolist()[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(other) == self._count and self.tolist() == list(other)

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have no hash either

    def __repr__(self) -> str:
        return f"Array({self.value_type.name.lower()}, {self._count} elements)"


def _decode_each(raw: bytes, starts: list[int]) -> list[str]:
    return [raw[start + _LENGTH.size : end].decode("utf-8", "surrogateescape") for start, end in pairwise(starts)]


def _decode_all(raw: bytes, starts: "NDArray[np.int64]") -> list[str] | None:
    """One decode and one split for all strings: each length becomes a NUL.  None when a string has a NUL of its own."""
    import numpy as np

    content = np.frombuffer(raw, np.uint8).copy()
    content[starts[:-1]] = 0
    keep = np.ones(len(content), np.bool_)
    for byte in range(1, _LENGTH.size):
        keep[starts[:-1] + byte] = False
    content = content[keep]
    if np.count_nonzero(content) != len(content) - (len(starts) - 1):
        return None
    return content[1:].tobytes().decode("utf-8", "surrogateescape").split("\0")
