"""Template text → tokens: text between actions, and inside `{{ … }}` what Go's grammar distinguishes."""

import re
from collections.abc import Generator, Iterator
from enum import StrEnum
from typing import NamedTuple

from corral import BadRequest


class Kind(StrEnum):
    """What a token is.  SPACE matters: it separates operands, `.A.B` is one and `.A .B` are two."""

    TEXT = "text"
    OPEN = "{{"
    CLOSE = "}}"
    SPACE = "space"
    IDENTIFIER = "identifier"
    FIELD = "field"
    VARIABLE = "variable"
    DOT = "."
    NUMBER = "number"
    CHAR = "character constant"
    STRING = "string"
    RAW_STRING = "raw string"
    PIPE = "|"
    LEFT_PAREN = "("
    RIGHT_PAREN = ")"
    DECLARE = ":="
    ASSIGN = "="
    COMMA = ","
    EOF = "EOF"


class Token(NamedTuple):
    """A token, its text as written, and the line (from 1) it begins on."""

    kind: Kind
    text: str
    line: int


_SPACE = " \t\r\n"
_BLANKS = re.compile(r"[ \t\r\n]*")
_OPEN_TRIM = re.compile(r"\{\{-[ \t\r\n]")
_CLOSE = re.compile(r"[ \t\r\n]-\}\}|\}\}")
_COMMENT_END = re.compile(r"\*/(?:[ \t\r\n]-)?\}\}")
_TOKENS = (
    (Kind.SPACE, re.compile(r"[ \t\r\n]+")),
    (Kind.STRING, re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')),
    (Kind.RAW_STRING, re.compile(r"`[^`]*`")),
    (Kind.CHAR, re.compile(r"'(?:[^'\\\n]|\\[^\n])*'")),
    (Kind.NUMBER, re.compile(r"[+-]?(?:\d|\.\d)(?:[\w.]|(?<=[eEpP])[+-])*")),
    (Kind.VARIABLE, re.compile(r"\$\w*")),
    (Kind.FIELD, re.compile(r"\.[^\W\d]\w*")),
    (Kind.IDENTIFIER, re.compile(r"[^\W\d]\w*")),
    (Kind.DECLARE, re.compile(r":=")),
    (Kind.ASSIGN, re.compile(r"=")),
    (Kind.PIPE, re.compile(r"\|")),
    (Kind.LEFT_PAREN, re.compile(r"\(")),
    (Kind.RIGHT_PAREN, re.compile(r"\)")),
    (Kind.COMMA, re.compile(r",")),
    (Kind.DOT, re.compile(r"\.")),
)
_WORDS = {Kind.FIELD, Kind.VARIABLE, Kind.IDENTIFIER, Kind.NUMBER}
_ENDS_OPERAND = re.compile(r"[\s.,|:)(]|\}\}|$")
_UNTERMINATED = {
    '"': "unterminated quoted string",
    "`": "unterminated raw quoted string",
    "'": "unterminated character constant",
}


def template_error(line: int, message: str) -> BadRequest:
    """The error that every broken template ends in."""
    return BadRequest(f"template error: template: :{line}: {message}")


def tokenize(source: str) -> Iterator[Token]:
    """Tokens of `source`, EOF last; trim markers and comments are already applied.  Raises BadRequest."""
    position, line, trim = 0, 1, False
    while True:
        start = source.find("{{", position)
        text = source[position:] if start < 0 else source[position:start]
        begin_line = line
        line += text.count("\n")
        if trim:
            text = text.lstrip(_SPACE)
        if start < 0:
            if text:
                yield Token(Kind.TEXT, text, begin_line)
            yield Token(Kind.EOF, "", line)
            return
        trims_before = _OPEN_TRIM.match(source, start) is not None
        if trims_before:
            text = text.rstrip(_SPACE)
        if text:
            yield Token(Kind.TEXT, text, begin_line)
        position = start + (3 if trims_before else 2)
        blanks = _BLANKS.match(source, position) if trims_before else None
        comment_at = blanks.end() if blanks else position
        if source.startswith("/*", comment_at):
            end = _COMMENT_END.search(source, comment_at + 2)
            if end is None:
                closed = source.find("*/", comment_at + 2) >= 0
                raise template_error(line, "comment ends before closing delimiter" if closed else "unclosed comment")
            line += source.count("\n", start, end.end())
            position, trim = end.end(), len(end[0]) > 4
            continue
        yield Token(Kind.OPEN, "{{", line)
        position, line, trim = yield from _action(source, position, line)


def _action(source: str, position: int, line: int) -> Generator[Token, None, tuple[int, int, bool]]:
    """The tokens of one action up to its `}}`; returns (position, line, whether text after it is trimmed)."""
    depth = 0
    while True:
        close = _CLOSE.match(source, position)
        if close is not None:
            if depth:
                raise template_error(line, "unclosed left paren")
            line += close[0].count("\n")
            yield Token(Kind.CLOSE, "}}", line)
            return close.end(), line, len(close[0]) > 2
        if position >= len(source):
            raise template_error(line, "unclosed action")
        kind, match = _longest(source, position, line)
        depth += {Kind.LEFT_PAREN: 1, Kind.RIGHT_PAREN: -1}.get(kind, 0)
        if depth < 0:
            raise template_error(line, "unexpected right paren")
        text = match[0]
        if kind is Kind.SPACE and source.startswith("-}}", match.end()):
            text = text[:-1]  # the last blank belongs to the trim marker
        if text:
            yield Token(kind, text, line)
        line += text.count("\n")
        position += len(text)
        if kind in _WORDS and not _ENDS_OPERAND.match(source, position):
            raise template_error(line, f"bad character {source[position]!r} after {text!r}")


def _longest(source: str, position: int, line: int) -> tuple[Kind, re.Match[str]]:
    """The first kind of token that matches at `position`."""
    for kind, pattern in _TOKENS:
        match = pattern.match(source, position)
        if match is not None:
            return kind, match
    head = source[position]
    raise template_error(line, _UNTERMINATED.get(head, f"unexpected {head!r} in action"))
