"""Argument values that a model writes as bare text, read as the tool's schema says they are meant."""

from collections.abc import Callable, Mapping, Sequence

from corral import JSON, JSONObject, Tool
from corral_templates.output.objects import loads


def coerce(text: str, schema: JSONObject) -> JSON:
    """`text` as null, boolean, integer, number, array or object if the schema names that type and it fits, else text.

    A property without a type is a string.
    """
    kinds = kinds_of(schema)
    if text.strip().lower() == "null" and (not kinds or "null" in kinds or "string" not in kinds):
        return None
    for kind, read in _READERS.items():
        if kind in kinds:
            try:
                return read(text)
            except (ValueError, RecursionError):
                continue
    return text


def json_or_text(text: str, schema: JSONObject) -> JSON:
    """`text` as JSON unless the schema wants a string or it is no JSON."""
    if kinds_of(schema) == ["string"]:
        return text
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return text


def property_of(tools: Mapping[str, Tool], name: str, key: str) -> JSONObject:
    """The schema of one parameter; empty when the tool declares none."""
    tool = tools.get(name)
    properties = tool.parameters.get("properties") if tool else None
    schema = properties.get(key) if isinstance(properties, dict) else None
    return schema if isinstance(schema, dict) else {}


def kinds_of(schema: JSONObject) -> Sequence[str]:
    """The types that a schema names, those of `anyOf` included; none when it names none."""
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return [kinds]
    if isinstance(kinds, list):
        return [kind for kind in kinds if isinstance(kind, str)]
    members = schema.get("anyOf")
    if isinstance(members, list):
        return [
            kind for member in members if isinstance(member, dict) for kind in kinds_of({"type": member.get("type")})
        ]
    return []


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise ValueError(text)
    return word == "true"


def _number(text: str) -> int | float:
    value = float(text)
    if value in (float("inf"), float("-inf")) or value != value:
        raise ValueError(text)
    return int(value) if value.is_integer() and abs(value) <= 2**53 else value


def _instance(kind: type) -> Callable[[str], JSON]:
    def read(text: str) -> JSON:
        value = loads(text)
        if not isinstance(value, kind):
            raise ValueError(text)
        return value

    return read


_READERS: Mapping[str, Callable[[str], JSON]] = {
    "boolean": _boolean,
    "integer": int,
    "number": _number,
    "array": _instance(list),
    "object": _instance(dict),
}
