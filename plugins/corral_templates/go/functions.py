"""The functions a template may call: Go's own, and the four that Modelfile templates add."""

import datetime
import html
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from corral_templates.go.printing import sprint, sprintf, sprintln
from corral_templates.go.values import MISSING, GoValue, Struct, is_true, to_json, type_name


class ExecutionError(Exception):
    """A function or a field was used on a value it does not fit."""


class Builtin(NamedTuple):
    """A function, and how many arguments it takes (`most` None: any number)."""

    function: Callable[..., GoValue]
    least: int
    most: int | None

    def __call__(self, name: str, arguments: Sequence[GoValue]) -> GoValue:
        """Raises ExecutionError for a wrong number of arguments, or wrong ones."""
        count = len(arguments)
        if count < self.least or (self.most is not None and count > self.most):
            want = f"{self.least}" if self.most == self.least else f"at least {self.least}"
            raise ExecutionError(f"wrong number of args for {name}: want {want} got {count}")
        return self.function(*arguments)


SHORT_CIRCUIT = ("and", "or")  # the executor evaluates their arguments one by one


def _basic_kind(value: GoValue) -> str:
    """The kind that comparisons distinguish; "" for values without an order."""
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float"), (str, "string")):
        if isinstance(value, kind):
            return name
    return ""


def _no_value(value: GoValue) -> bool:
    return value is None or value is MISSING


def _eq(first: GoValue, *others: GoValue) -> bool:
    """True when `first` equals any of the others."""
    return any(_equal(first, other) for other in others)


def _equal(a: GoValue, b: GoValue) -> bool:
    if _no_value(a) or _no_value(b):
        return _no_value(a) and _no_value(b)
    if _basic_kind(a) != _basic_kind(b):
        raise ExecutionError("incompatible types for comparison")
    if not _basic_kind(a):
        raise ExecutionError(f"non-comparable type {type_name(a)}")
    return bool(a == b)


def _less(a: GoValue, b: GoValue) -> bool:
    kind = _basic_kind(a)
    if kind != _basic_kind(b):
        raise ExecutionError("incompatible types for comparison")
    if kind in ("", "bool"):
        raise ExecutionError("invalid type for comparison")
    return bool(a < b)


def _len(value: GoValue) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, Mapping | Sequence):
        return len(value)
    raise ExecutionError(f"len of {'nil pointer' if _no_value(value) else 'type ' + type_name(value)}")


def _position(value: GoValue, length: int, limit: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ExecutionError(f"cannot index slice/array with type {type_name(value)}")
    if not 0 <= value < limit:
        raise ExecutionError(f"index out of range: {value}, length {length}")
    return value


def _index(value: GoValue, *keys: GoValue) -> GoValue:
    """`index x 1 "a"` is x[1]["a"]; a missing map key gives the zero value."""
    for key in keys:
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogatepass")
        if isinstance(value, Mapping):
            if not isinstance(key, str):
                raise ExecutionError(f"value has type {type_name(key)}; should be string")
            value = value.get(key, MISSING)
        elif isinstance(value, Sequence):
            value = value[_position(key, len(value), len(value))]
        else:
            raise ExecutionError(f"index of {'untyped nil' if _no_value(value) else 'type ' + type_name(value)}")
    return value


def _slice(value: GoValue, *bounds: GoValue) -> GoValue:
    """`slice x 1 2` is x[1:2]; strings are cut by bytes."""
    if len(bounds) > 3:
        raise ExecutionError(f"too many slice indexes: {len(bounds)}")
    if isinstance(value, str):
        if len(bounds) == 3:
            raise ExecutionError("cannot 3-index slice a string")
        raw = value.encode("utf-8", "surrogatepass")
        return raw[_span(bounds, len(raw))].decode("utf-8", "replace")
    if not isinstance(value, Sequence):
        raise ExecutionError(f"slice of {'untyped nil' if _no_value(value) else 'type ' + type_name(value)}")
    return value[_span(bounds, len(value))]


def _span(bounds: Sequence[GoValue], length: int) -> slice:
    positions = [_position(bound, length, length + 1) for bound in bounds]
    start = positions[0] if positions else 0
    end = positions[1] if len(positions) > 1 else length
    if start > end:
        raise ExecutionError(f"invalid slice index: {start} > {end}")
    return slice(start, end)


def _printf(template: GoValue, *values: GoValue) -> str:
    if not isinstance(template, str):
        raise ExecutionError(f"wrong type for value; expected string; got {type_name(template)}")
    return sprintf(template, values)


_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def _js(*values: GoValue) -> str:
    """Text that is safe inside a JavaScript string."""
    return "".join(_JS.get(char) or (char if char.isprintable() else f"\\u{ord(char):04X}") for char in sprint(values))


def _html(*values: GoValue) -> str:
    return html.escape(sprint(values)).replace("&#x27;", "&#39;").replace("&quot;", "&#34;").replace("\0", "�")


def _urlquery(*values: GoValue) -> str:
    return urllib.parse.quote_plus(sprint(values), errors="replace")


def _call(*_: GoValue) -> GoValue:
    raise ExecutionError("call of non-function: templates here are given no functions as values")


def _today() -> datetime.date:
    return datetime.datetime.now().astimezone().date()


_TYPESCRIPT = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "array": "any[]",
    "object": "Record<string, any>",
    "null": "null",
}


def _typescript(prop: GoValue) -> str:
    """A tool property's type as TypeScript writes it."""
    if not isinstance(prop, Struct) or "AnyOf" not in prop.fields:
        raise ExecutionError(f"toTypeScriptType takes a tool's property, not {type_name(prop)}")
    if prop.fields["AnyOf"]:
        return " | ".join(map(_typescript, prop.fields["AnyOf"]))
    return " | ".join(_TYPESCRIPT.get(name, "any") for name in prop.fields["Type"] or []) or "any"


FUNCTIONS: Mapping[str, Builtin] = {
    "and": Builtin(lambda *_: None, 1, None),
    "or": Builtin(lambda *_: None, 1, None),
    "not": Builtin(lambda value: not is_true(value), 1, 1),
    "eq": Builtin(_eq, 2, None),
    "ne": Builtin(lambda a, b: not _equal(a, b), 2, 2),
    "lt": Builtin(_less, 2, 2),
    "le": Builtin(lambda a, b: _less(a, b) or _equal(a, b), 2, 2),
    "gt": Builtin(lambda a, b: not (_less(a, b) or _equal(a, b)), 2, 2),
    "ge": Builtin(lambda a, b: not _less(a, b), 2, 2),
    "len": Builtin(_len, 1, 1),
    "index": Builtin(_index, 1, None),
    "slice": Builtin(_slice, 1, 4),
    "print": Builtin(lambda *values: sprint(values), 0, None),
    "printf": Builtin(_printf, 1, None),
    "println": Builtin(lambda *values: sprintln(values), 0, None),
    "html": Builtin(_html, 0, None),
    "js": Builtin(_js, 0, None),
    "urlquery": Builtin(_urlquery, 0, None),
    "call": Builtin(_call, 1, None),
    "json": Builtin(to_json, 1, 1),
    "currentDate": Builtin(lambda *_: _today().isoformat(), 0, None),
    "yesterdayDate": Builtin(lambda *_: (_today() - datetime.timedelta(days=1)).isoformat(), 0, None),
    "toTypeScriptType": Builtin(_typescript, 1, 1),
}
