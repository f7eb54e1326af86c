"""Finding JSON objects in running text, one character at a time."""

import json
import math
from typing import Any, NoReturn

from corral import JSON, JSONObject


def decode_object(text: str) -> JSONObject | None:
    """The JSON object `text` is, or None."""
    value = decode(text)
    return value if isinstance(value, dict) else None


def decode(text: str) -> Any:
    """The JSON value `text` is, or None (also for null)."""
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return None


def loads(text: str) -> JSON:
    """`json.loads` without what could not be said in JSON again.  Raises ValueError, RecursionError."""
    value = json.loads(text, parse_constant=_refuse, parse_float=_number)
    return sayable(value) if "\\u" in text else value


def sayable(value: JSON) -> JSON:
    """The value.  Raises ValueError for half characters, numbers that are none, RecursionError for too deep a value."""
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large a number")
    return number


class Balance:
    """Counts brackets outside strings, remembering where it stopped, so that text is read once however it arrives.

    Quotes count only inside brackets: an inch sign in prose opens no string.
    """

    def __init__(self, opening: str, closing: str) -> None:
        self.opening, self.closing = opening, closing
        self.restart(0)

    def restart(self, position: int) -> None:
        """Begin anew at `position`."""
        self.position, self.depth, self.start = position, 0, -1
        self._in_string = self._escaped = False

    def advance(self, text: str) -> tuple[int, int] | None:
        """(start, end) of the next balanced part of `text`, None when there is none yet."""
        for at in range(self.position, len(text)):
            char = text[at]
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped = char == "\\"
                self._in_string = char != '"'
            elif char == '"':
                self._in_string = self.depth > 0
            elif char == self.opening:
                self.start = at if self.depth == 0 else self.start
                self.depth += 1
            elif char == self.closing and self.depth:
                self.depth -= 1
                if self.depth == 0:
                    self.position = at + 1
                    return self.start, at + 1
        self.position = len(text)
        return None
