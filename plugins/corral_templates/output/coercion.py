"""Argument values that a model writes as bare text, read as the tool's schema says they are meant."""

from collections.abc import Callable, Mapping, Sequence

from corral import JSON, BadRequest, JSONObject, Tool
from corral_grammar.schema import target_of
from corral_templates.output.objects import loads

_MAX_DEPTH = 30  # references and unions within each other
_KINDS: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


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
    """The schema of one parameter, with the definitions it refers to; empty when the tool declares none."""
    tool = tools.get(name)
    properties = tool.parameters.get("properties") if tool else None
    schema = properties.get(key) if isinstance(properties, dict) else None
    return with_definitions(schema, tool.parameters) if tool and isinstance(schema, dict) else {}


def with_definitions(schema: JSONObject, root: JSONObject) -> JSONObject:
    """A schema inside `root` as a document of its own."""
    if "$ref" not in str(schema):
        return schema
    return {**schema, **{name: root[name] for name in ("$defs", "definitions") if name in root}}


def kinds_of(schema: JSONObject, root: JSONObject | None = None) -> Sequence[str]:
    """The types that a schema names, by its values and by those it is put together from too; none when it names none.

    `root`: the document that it stands in.
    """
    return [*dict.fromkeys(_kinds(schema, schema if root is None else root, 0))]


def referred(reference: JSON, root: JSONObject) -> JSONObject:
    """The schema that a reference leads to; empty when it leads nowhere."""
    try:
        target = target_of(reference, "$", root) if isinstance(reference, str) else {}
    except BadRequest:
        return {}
    return target if isinstance(target, dict) else {}


def _kinds(schema: JSON, root: JSONObject, depth: int) -> list[str]:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return []
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return [kinds]
    if isinstance(kinds, list):
        return [kind for kind in kinds if isinstance(kind, str)]
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        return [_KINDS[type(value)] for value in values]
    if "$ref" in schema:
        return _kinds(referred(schema["$ref"], root), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        members = schema.get(key)
        if isinstance(members, list):
            return [kind for member in members for kind in _kinds(member, root, depth + 1)]
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
