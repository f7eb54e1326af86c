"""Keywords that say what others can say as well: names of properties, `nullable`, integers of any size."""

from collections.abc import Callable
from typing import NamedTuple

from corral import JSON, JSONObject
from corral_grammar.keywords import ANNOTATIONS, CHECKS, LEAST_INTEGER

Resolve = Callable[[str], JSON]  # a reference → what it leads to


class Document(NamedTuple):
    """What a schema stands in."""

    resolve: Resolve
    refers: Callable[[JSON, str], bool]  # whether a reference passes that member of that object


def rewritten(schema: JSONObject, document: Document) -> JSONObject:
    """`schema` without what can be said otherwise; a keyword that cannot is left where it is."""
    for keyword, rewrite in _REWRITES.items():
        if keyword in schema:
            schema = rewrite(schema, document)
    return schema


def _names(schema: JSONObject, document: Document) -> JSONObject:
    """`propertyNames`: nothing where any name will do, properties for a list of names, or one pattern for all names."""
    names = _described(schema["propertyNames"], document.resolve)
    rest = {key: value for key, value in schema.items() if key != "propertyNames"}
    if names is True or names == {}:
        return rest
    if not isinstance(names, dict) or "patternProperties" in schema or not _may_be_text(names):
        return schema
    if names.keys() == {"type"}:
        return rest
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", "properties" not in schema)
    if not isinstance(properties, dict) or not isinstance(schema.get("allOf", []), list):
        return schema
    if (listed := _listed(names)) is not None:
        named = {name: sub for name, sub in properties.items() if name in listed}
        if others is not False:
            named.update({name: others for name in listed if name not in named})
        said: JSONObject = {"properties": named}
        plain: JSONObject = {"properties": dict.fromkeys(listed, True)}
    elif {"pattern"} <= names.keys() <= {"pattern", "type"} and isinstance(names["pattern"], str) and not properties:
        said, plain = ({"patternProperties": {names["pattern"]: each}} for each in (others, True))
    else:
        return schema
    dropped = [name for name in properties if name not in said.get("properties", {})]
    if document.refers(schema, "additionalProperties") or any(document.refers(properties, name) for name in dropped):
        laid_over = [*schema.get("allOf", ()), {**plain, "additionalProperties": False}]  # what is referred to stays
        return {**rest, "additionalProperties": others, "allOf": laid_over}
    return {**rest, **said, "additionalProperties": False}


def _described(names: JSON, resolve: Resolve) -> JSON:
    """A schema without annotations; of one that only refers, what it refers to."""
    for _ in range(10):
        if not isinstance(names, dict):
            return names
        names = {key: value for key, value in names.items() if key not in ANNOTATIONS}
        if [*names] != ["$ref"] or not isinstance(names["$ref"], str):
            return names
        names = resolve(names["$ref"])
    return names


def _may_be_text(names: JSONObject) -> bool:
    kinds = names.get("type", "string")
    return CHECKS["type"][1](kinds) and "string" in (kinds if isinstance(kinds, list) else [kinds])


def _listed(names: JSONObject) -> list[str] | None:
    """The names, where a list of them is all that is said."""
    if not names.keys() <= {"enum", "const", "type"} or not isinstance(names.get("enum", []), list):
        return None
    listed = names["enum"] if "enum" in names else [names["const"]]
    return [name for name in listed if isinstance(name, str) and name == names.get("const", name)]


def _or_null(schema: JSONObject, _: Document) -> JSONObject:
    """`nullable` of OpenAPI 3.0, which adds null to the types beside it: an `enum` that means null lists it."""
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if schema["nullable"] is not True or not isinstance(kinds, list) or "const" in schema:
        return schema
    rest = {key: value for key, value in schema.items() if key != "nullable"}
    return {**rest, "type": [*kinds, *([] if "null" in kinds else ["null"])]}


def _not_below(schema: JSONObject, _: Document) -> JSONObject:
    """A minimum that no answer will come near is drawn up to where integers can be counted."""
    least, most = schema["minimum"], schema.get("maximum", 0)
    if schema.get("type") != "integer" or not all(type(bound) in (int, float) for bound in (least, most)):
        return schema
    return {**schema, "minimum": LEAST_INTEGER} if least < LEAST_INTEGER < most else schema


_REWRITES = {"propertyNames": _names, "nullable": _or_null, "minimum": _not_below}
