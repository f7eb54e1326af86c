"""From a Modelfile's text to its instructions: a state machine over characters, as the reference reads it."""

import codecs
from collections.abc import Callable
from enum import Enum, auto

from corral import BadRequest
from corral_modelfile.modelfile import COMMANDS, ROLES, Instruction, Modelfile

_COMMANDS = (
    'command must be one of "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", '
    '"parameter", "message", or "requires"'
)
_ROLES = 'message role must be one of "system", "user", or "assistant"'
_EOF = "unexpected EOF"
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def parse(text: str | bytes) -> Modelfile:
    """Read a Modelfile.  Bytes are UTF-8 unless a byte order mark says otherwise.

    Raises BadRequest in the reference's words, with the line for a wrong command or role.
    """
    machine = _Machine()
    for rune in decode(text) if isinstance(text, bytes) else text.removeprefix("\ufeff"):
        machine.push(rune)
    modelfile = Modelfile(instructions=tuple(machine.finish()))
    if not modelfile.values("from"):
        raise BadRequest("no FROM line")
    return modelfile


def decode(data: bytes) -> str:
    """Text of bytes that may begin with a byte order mark.  What is no text becomes U+FFFD."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace")
    return data.decode("utf-8", errors="replace")


def unquote(text: str) -> str | None:
    """The inside of a quoted text, or the text; None while the quotes are not closed.  There are no escapes."""
    for quotes in ('"""', '"'):
        if text.startswith(quotes):
            closed = len(text) >= 2 * len(quotes) and text.endswith(quotes)
            return text[len(quotes) : -len(quotes)] if closed else None
    return text


class _State(Enum):
    START = auto()
    COMMENT = auto()
    NAME = auto()
    KEY = auto()
    ROLE = auto()
    VALUE = auto()


class _Machine:
    """One file being read.  `_buffer` holds the word or value under way."""

    def __init__(self) -> None:
        self._state = _State.START
        self._buffer: list[str] = []
        self._line = self._began = 1
        self._command = ""
        self._key = ""
        self._instructions: list[Instruction] = []
        self._steps: dict[_State, Callable[[str], None]] = {
            _State.START: self._start,
            _State.COMMENT: self._comment,
            _State.NAME: self._name,
            _State.KEY: self._parameter,
            _State.ROLE: self._role,
            _State.VALUE: self._value,
        }

    def push(self, rune: str) -> None:
        """Read one character."""
        if _is_newline(rune):
            self._line += 1
        self._steps[self._state](rune)

    def finish(self) -> list[Instruction]:
        """The end of the text: an open value must be whole."""
        if self._state is _State.VALUE:
            if not self._end_value():
                raise BadRequest(f"{_EOF} (the quotes of {self._command.upper()} in line {self._began} are not closed)")
        elif self._state not in (_State.START, _State.COMMENT):
            raise BadRequest(f"{_EOF} (line {self._began} has no value)")
        return self._instructions

    def _enter(self, state: _State) -> str:
        """Change the state; what was read in the old one."""
        text = "".join(self._buffer)
        self._buffer.clear()
        self._state = state
        return text

    def _refuse(self, reason: str) -> BadRequest:
        return BadRequest(f"(line {self._line}): {reason}")

    def _start(self, rune: str) -> None:
        if rune == "#":
            self._state = _State.COMMENT
        elif not _is_space(rune) and not _is_newline(rune):
            self._state, self._began = _State.NAME, self._line
            self._buffer.append(rune)

    def _comment(self, rune: str) -> None:
        if _is_newline(rune):
            self._state = _State.START

    def _name(self, rune: str) -> None:
        if rune.isascii() and rune.isalpha():
            self._buffer.append(rune)
            return
        word = "".join(self._buffer).lower()
        if not _is_space(rune) or word not in COMMANDS:
            raise self._refuse(_COMMANDS)
        self._command, self._key = word, ""
        self._enter({"parameter": _State.KEY, "message": _State.ROLE}.get(word, _State.VALUE))

    def _parameter(self, rune: str) -> None:
        if rune.isascii() and (rune.isalnum() or rune == "_"):
            self._buffer.append(rune)
        else:
            self._end_key(rune)

    def _role(self, rune: str) -> None:
        if rune.isascii() and rune.isalpha():
            self._buffer.append(rune)
        elif self._end_key(rune) and self._key not in ROLES:
            raise self._refuse(_ROLES)

    def _end_key(self, rune: str) -> bool:
        """A space ends the word before a value; spaces in front of it are passed over."""
        if not _is_space(rune):
            raise BadRequest(f"{_EOF}: {''.join(self._buffer)} (line {self._began} has no value)")
        if self._buffer:
            self._key = self._enter(_State.VALUE)
        return self._state is _State.VALUE

    def _value(self, rune: str) -> None:
        if _is_newline(rune) and self._end_value():
            return
        if _is_newline(rune) or _is_space(rune) or rune.isprintable():
            self._buffer.append(rune)

    def _end_value(self) -> bool:
        """Finish the instruction unless its quotes are open."""
        if self._is_surely_open():
            return False
        value = unquote("".join(self._buffer).strip())
        if value is None:
            return False
        self._enter(_State.START)
        self._instructions.append(Instruction(command=self._command, key=self._key, value=value, line=self._began))
        return True

    def _is_surely_open(self) -> bool:
        """Begins with a quote and does not end in one: seen without joining a long value once a line."""
        first = next((rune for rune in self._buffer if not rune.isspace()), "")
        last = next((rune for rune in reversed(self._buffer) if not rune.isspace()), "")
        return first == '"' != last


def _is_space(rune: str) -> bool:
    return rune in " \t"


def _is_newline(rune: str) -> bool:
    return rune in "\n\r"
