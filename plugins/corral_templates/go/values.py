"""What a template can see: Go-like values over plain Python ones, their truth and their JSON.

Strings, bools, ints and floats are themselves, slices are lists, maps are dicts (always walked sorted by key), `nil` is
None.  Numbers decoded from JSON are floats, as in Go.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

GoValue = Any  # a value of the kinds the module's docstring lists, MISSING or a Struct


class Missing:
    """A key the data has not: prints `<no value>`, is false, and any field of it is missing too."""


MISSING: Final = Missing()


class Struct:
    """A Go struct: fixed fields, always true.  `json_keys` maps a field to its JSON key, `omitted` drops it if empty.

    `prints_json`: `{{ . }}` gives JSON instead of Go's `{a b c}`.
    """

    def __init__(
        self,
        type_name: str,
        fields: Mapping[str, GoValue],
        json_keys: Mapping[str, str],
        omitted: frozenset[str] = frozenset(),
        *,
        prints_json: bool = False,
    ) -> None:
        self.type_name, self.fields, self.prints_json = type_name, fields, prints_json
        self._json_keys, self._omitted = json_keys, omitted

    def as_json(self) -> dict[str, GoValue]:
        """The struct as Go's encoder sees it, keys in declared order."""
        pairs = ((name, key, self.fields[name]) for name, key in self._json_keys.items())
        return {key: value for name, key, value in pairs if name not in self._omitted or not _is_empty(value)}


class JSONList(list[GoValue]):
    """A slice that prints as JSON (the list of tools)."""


class JSONMap(dict[str, GoValue]):
    """A map that prints as JSON (arguments, properties)."""


class TypeNames(list[str]):
    """A property's types: one prints bare and is a JSON string, several print as a list."""


PRINTS_JSON = (JSONList, JSONMap)


def _is_empty(value: GoValue) -> bool:
    return not isinstance(value, Struct) and not value


def is_true(value: GoValue) -> bool:
    """Go's truth: false, 0, "", nil, missing and empty collections are false, structs are true."""
    if value is MISSING:
        return False
    return isinstance(value, Struct) or bool(value)


def type_name(value: GoValue) -> str:
    """The Go type's name, for error messages."""
    if isinstance(value, Struct):
        return value.type_name
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float64"), (str, "string"), (bytes, "[]uint8")):
        if isinstance(value, kind):
            return name
    if isinstance(value, Mapping):
        return "map[string]interface {}"
    return "[]interface {}" if isinstance(value, Sequence) else "<nil>"


def from_json(value: Any) -> GoValue:
    """A decoded JSON value as Go would hold it: numbers are floats (integers too large for one stay exact)."""
    if isinstance(value, bool) or not isinstance(value, int | dict | list):
        return value
    if isinstance(value, int):
        return float(value) if abs(value) <= 2**53 else value
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return {key: from_json(item) for key, item in value.items()}


# --- JSON as Go writes it -----------------------------------------------------------------------------------------

_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def to_json(value: GoValue) -> str:
    """Compact JSON, map keys sorted, `<`, `>`, `&` and line separators escaped."""
    if value is None or value is MISSING:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).translate(_HTML)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, bytes):
        return f'"{base64.b64encode(value).decode("ascii")}"'
    if isinstance(value, TypeNames) and len(value) == 1:
        return to_json(value[0])
    if isinstance(value, Struct):
        pairs = list(value.as_json().items())
    elif isinstance(value, Mapping):
        pairs = sorted(value.items())
    else:
        return "[" + ",".join(to_json(item) for item in value) + "]"
    return "{" + ",".join(f"{to_json(key)}:{to_json(item)}" for key, item in pairs) + "}"


def float_text(value: float) -> str:
    """The shortest digits that read back as `value`; with an exponent only below 1e-6 and from 1e21."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, exponent = f"{Decimal(repr(value)).normalize():e}".split("e")
    return f"{mantissa}e{exponent}"
