"""Values as text: what an action prints, and Go's `fmt` verbs.  Source: https://pkg.go.dev/fmt."""

import re
from collections.abc import Callable, Mapping, Sequence

from corral_templates.go.values import MISSING, PRINTS_JSON, GoValue, Struct, TypeNames, float_text, to_json, type_name

_VERB = re.compile(r"%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d*))?(.?)", re.S)
_MAX_WIDTH = 1_000_000  # fmt's own bound


def action_text(value: GoValue) -> str:
    """What `{{ value }}` prints."""
    return "<no value>" if value is None or value is MISSING else text(value)


def text(value: GoValue) -> str:
    """The `%v` form."""
    if value is None or value is MISSING:
        return "<nil>"
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, PRINTS_JSON):
        return to_json(value)
    if isinstance(value, Struct):
        return to_json(value) if value.prints_json else "{" + " ".join(map(text, value.fields.values())) + "}"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{text(key)}:{text(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, TypeNames) and len(value) == 1:
        return value[0]
    return "[" + " ".join(map(text, value)) + "]"


def sprint(values: Sequence[GoValue]) -> str:
    """`print`: blanks only between operands that are both no strings."""
    parts: list[str] = []
    for i, value in enumerate(values):
        if i and not isinstance(value, str) and not isinstance(values[i - 1], str):
            parts.append(" ")
        parts.append(text(value))
    return "".join(parts)


def sprintln(values: Sequence[GoValue]) -> str:
    """`println`: blanks between all, a newline at the end."""
    return " ".join(map(text, values)) + "\n"


def sprintf(template: str, values: Sequence[GoValue]) -> str:
    """`printf`.  Misuse shows in the text as Go shows it (`%!d(string=x)`), it raises nothing."""
    rest = list(values)

    def star(field: str | None) -> int | None:
        if field == "*":
            number = rest.pop(0) if rest else None
            return number if isinstance(number, int) and abs(number) <= _MAX_WIDTH else None
        return min(int(field), _MAX_WIDTH) if field else None

    def one(match: re.Match[str]) -> str:
        flags, width_field, precision_field, verb = match.groups()
        width = star(width_field)
        precision = 0 if precision_field == "" else star(precision_field)
        if not verb:
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        return _pad(_verb(rest.pop(0), verb, flags, precision), width, flags, verb)

    result = _VERB.sub(one, template)
    if rest:
        result += "%!(EXTRA " + ", ".join(f"{type_name(value)}={text(value)}" for value in rest) + ")"
    return result


def _verb(value: GoValue, verb: str, flags: str, precision: int | None) -> str:
    """One value under one verb, not yet padded."""
    if verb == "T":
        return type_name(value)
    if verb == "v":
        return quote(value) if "#" in flags and isinstance(value, str) else text(value)
    if isinstance(value, bool):
        return text(value) if verb == "t" else _bad(value, verb)
    if isinstance(value, int) and verb in _INTEGER:
        return _signed(value, flags, _INTEGER[verb](abs(value)))
    if isinstance(value, float) and verb in "eEfFgG":
        digits = 6 if precision is None else precision
        shown = float_text(abs(value)) if verb in "gG" and precision is None else format(abs(value), f".{digits}{verb}")
        return _signed(value, flags, shown)
    if isinstance(value, bytes) and verb in "sqxX":
        value = value.decode("utf-8", "replace")
    if isinstance(value, (*PRINTS_JSON, Struct, TypeNames)) and verb in "sq":
        value = text(value)
    if isinstance(value, str):
        cut = value if precision is None else value[:precision]
        if verb in _STRING:
            return _STRING[verb](cut)
    elif isinstance(value, Sequence):
        return "[" + " ".join(_verb(item, verb, flags, precision) for item in value) + "]"
    return _bad(value, verb)


_INTEGER: Mapping[str, Callable[[int], str]] = {
    "d": str,
    "b": lambda value: format(value, "b"),
    "o": lambda value: format(value, "o"),
    "x": lambda value: format(value, "x"),
    "X": lambda value: format(value, "X"),
    "c": lambda value: chr(value) if value < 0x110000 else "�",
    "q": lambda value: f"'{chr(value)}'" if value < 0x110000 else "'�'",
    "U": lambda value: f"U+{value:04X}",
}


def quote(value: str) -> str:
    """A Go string constant for `value`."""
    names = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}

    def shown(char: str) -> str:
        if char in '"\\':
            return "\\" + char
        if char in names:
            return names[char]
        if char.isprintable():
            return char
        code = ord(char)
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return '"' + "".join(map(shown, value)) + '"'


_STRING: Mapping[str, Callable[[str], str]] = {
    "s": str,
    "q": quote,
    "x": lambda value: value.encode("utf-8", "surrogatepass").hex(),
    "X": lambda value: value.encode("utf-8", "surrogatepass").hex().upper(),
}


def _bad(value: GoValue, verb: str) -> str:
    if value is None or value is MISSING:
        return f"%!{verb}(<nil>)"
    return f"%!{verb}({type_name(value)}={text(value)})"


def _signed(value: float, flags: str, digits: str) -> str:
    sign = "-" if value < 0 else "+" if "+" in flags else " " if " " in flags else ""
    return sign + digits


def _pad(shown: str, width: int | None, flags: str, verb: str) -> str:
    """Blanks (or, before digits, zeros) up to `width` characters."""
    if width is None:
        return shown
    if "-" in flags or width < 0:
        return shown.ljust(abs(width))
    if "0" in flags and verb in "dboxXeEfFgG":
        return shown.zfill(width)
    return shown.rjust(width)
