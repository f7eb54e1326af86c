"""Constants as Go writes them: numbers, runes, interpreted and raw strings."""

import re

from corral_templates.go.lexer import Kind, Token, template_error

_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_MAX_DIGITS = 400  # longer numbers are no numbers a template means


def number(token: Token) -> int | float:
    """`42`, `-3`, `0x1F`, `1_000`, `.5`, `1e3`.  Raises BadRequest."""
    text = token.text
    if len(text) <= _MAX_DIGITS:
        for read in (_integer, float, float.fromhex):
            try:
                return read(text)
            except (ValueError, OverflowError):
                continue
    raise template_error(token.line, f"bad number syntax: {text[:40]!r}")


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits.replace("_", "").isdigit():
        return int(text, 8)  # Go's old octal
    return int(text, 0)


def unquote(token: Token) -> str:
    """The string a quoted or backquoted constant stands for.  Raises BadRequest for an unknown escape."""
    inner = token.text[1:-1]
    if token.kind is Kind.RAW_STRING:
        return inner.replace("\r", "")
    return _unescape(token, inner)


def character(token: Token) -> int:
    """The code point of `'c'`."""
    text = _unescape(token, token.text[1:-1])
    if len(text) != 1:
        raise template_error(token.line, f"malformed character constant: {token.text}")
    return ord(text)


def _unescape(token: Token, text: str) -> str:
    def read(match: re.Match[str]) -> str:
        simple, two, four, eight, octal, unknown = match.groups()
        if unknown is not None:
            raise template_error(token.line, f"invalid syntax in {token.text}: unknown escape \\{unknown}")
        if simple is not None:
            return _SIMPLE.get(simple, simple)
        code = int(octal, 8) if octal else int(two or four or eight, 16)
        if code > (0xFF if octal else 0x10FFFF):
            raise template_error(token.line, f"invalid syntax in {token.text}: no such character")
        return chr(code)

    return _ESCAPE.sub(read, text)
