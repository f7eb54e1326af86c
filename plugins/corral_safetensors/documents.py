"""The small files beside the weights: JSON read once, its values typed, its faults named by file and key."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corral import FormatError

_MAX_BYTES = 256 << 20  # the largest vocabularies take 40 MB
_MAX_FLOAT = (2.0 - 2.0**-23) * 2.0**127


class Fields:
    """One JSON object.  Look-ups take several spellings of a key; the first that is there and not null counts.

    All raise FormatError naming the file and the key when the value has the wrong type or is missing.
    """

    def __init__(self, file: str, values: Mapping[str, Any]) -> None:
        self.file, self.values = file, values

    def has(self, *keys: str) -> bool:
        return self._find(keys)[1] is not None

    def _find(self, keys: tuple[str, ...]) -> tuple[str, Any]:
        for key in keys:
            if self.values.get(key) is not None:
                return key, self.values[key]
        return keys[0], None

    def wrong(self, key: str, wanted: str) -> FormatError:
        return FormatError(f"{self.file}: {key!r} = {self.values.get(key)!r:.80}: {wanted}")

    def integer(self, *keys: str, default: int | None = None, low: int = 0) -> int:
        key, value = self._find(keys)
        if value is None:
            if default is None:
                raise FormatError(f"{self.file}: {key!r} is missing")
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 1 << 31:
            raise self.wrong(key, f"expected a whole number from {low}")
        return value

    def number(self, *keys: str, default: float | None = None) -> float:
        key, value = self._find(keys)
        if value is None:
            if default is None:
                raise FormatError(f"{self.file}: {key!r} is missing")
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_float(value):
            raise self.wrong(key, "expected a finite number of 32 bits")
        return float(value)

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "expected true or false")
        return default if value is None else value

    def text(self, *keys: str, default: str = "") -> str:
        key, value = self._find(keys)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, "expected text")
        return default if value is None else value

    def array(self, key: str) -> list[Any]:
        value = self.values.get(key)
        if value is not None and not isinstance(value, list):
            raise self.wrong(key, "expected a list")
        return value or []

    def numbers(self, key: str) -> list[float]:
        values = self.array(key)
        if not all(isinstance(value, int | float) and _is_float(value) for value in values):
            raise self.wrong(key, "expected a list of finite numbers of 32 bits")
        return [float(value) for value in values]

    def child(self, *keys: str) -> "Fields":
        """The object under a key; an empty one when the key is absent."""
        key, value = self._find(keys)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, "expected an object")
        return Fields(f"{self.file}: {key}", value or {})

    def children(self, key: str) -> "list[Fields]":
        """The objects in a list."""
        values = self.array(key)
        if not all(isinstance(value, dict) for value in values):
            raise self.wrong(key, "expected a list of objects")
        return [Fields(f"{self.file}: {key}", value) for value in values]

    def over(self, defaults: Mapping[str, Any]) -> "Fields":
        """The same object with values for the keys it lacks."""
        return Fields(self.file, {**defaults, **self.values})


def _is_float(value: int | float) -> bool:
    """Whether a weight file can hold it."""
    return -_MAX_FLOAT <= value <= _MAX_FLOAT


class Documents:
    """The files of a checkpoint by name, relative to the folder of its config."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files

    def has(self, name: str) -> bool:
        return name in self.files

    def bytes(self, name: str) -> bytes:
        """A whole file.  Raises FormatError when it is missing or larger than such a file can be."""
        path = self.files.get(name)
        if path is None:
            raise FormatError(f"{name} is missing")
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise FormatError(f"{name}: larger than {_MAX_BYTES} bytes")
            return path.read_bytes()
        except OSError as err:
            raise FormatError(f"{name}: cannot be read: {err.strerror}") from err

    def text(self, name: str) -> str:
        try:
            return self.bytes(name).decode("utf-8-sig")
        except UnicodeDecodeError as err:
            raise FormatError(f"{name}: not UTF-8: {err}") from err

    def json(self, name: str) -> Any:
        """The value in a JSON file.  Bare NaN and Infinity, which some programs write, are read as 0."""
        text = self.text(name)
        try:
            value = json.loads(text, parse_constant=lambda _: 0)
            if "\\ud" in text or "\\uD" in text:  # half a pair of surrogates is no character, and no file could hold it
                json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as err:
            raise FormatError(f"{name}: not valid JSON: {err}") from err
        return value

    def object(self, name: str) -> Fields:
        """The object in a JSON file, an empty one when there is no such file."""
        if not self.has(name):
            return Fields(name, {})
        value = self.json(name)
        if not isinstance(value, dict):
            raise FormatError(f"{name}: expected a JSON object")
        return Fields(name, value)
