"""Keywords that say what others can say as well: names of properties, `nullable`, integers of any size."""

from collections.abc import Callable

from corral import JSON, JSONObject
from corral_grammar.keywords import ANNOTATIONS

_LEAST_INTEGER = -(10**18)  # the library counts with 64 bits

Resolve = Callable[[str], JSON]  # a reference → what it leads to


def rewritten(schema: JSONObject, resolve: Resolve) -> JSONObject:
    """`schema` without what can be said otherwise; a keyword that cannot is left where it is."""
    for keyword, rewrite in _REWRITES.items():
        if keyword in schema:
            schema = rewrite(schema, resolve)
    return schema


def _names(schema: JSONObject, resolve: Resolve) -> JSONObject:
    """`propertyNames`: nothing where any name will do, properties for a list of names, or one pattern for all names."""
    names = _described(schema["propertyNames"], resolve)
    rest = {key: value for key, value in schema.items() if key != "propertyNames"}
    if names in (True, {}, {"type": "string"}):
        return rest
    if not isinstance(names, dict) or "patternProperties" in schema:
        return schema
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", "properties" not in schema)
    if (listed := _listed(names)) is not None and isinstance(properties, dict):
        named = {name: sub for name, sub in properties.items() if name in listed}
        if others is not False:
            named.update({name: others for name in listed if name not in named})
        return {**rest, "properties": named, "additionalProperties": False}
    if {"pattern"} <= names.keys() <= {"pattern", "type"} and not properties:
        return {**rest, "patternProperties": {names["pattern"]: others}, "additionalProperties": False}
    return schema


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


def _listed(names: JSONObject) -> list[str] | None:
    """The names, where a list of them is all that is said."""
    if not names.keys() <= {"enum", "const", "type"} or names.get("type", "string") != "string":
        return None
    listed = [names["const"]] if "const" in names else names.get("enum")
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else None


def _or_null(schema: JSONObject, _: Resolve) -> JSONObject:
    """`nullable` of OpenAPI 3.0, which adds null to the types beside it."""
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if schema["nullable"] is not True or not isinstance(kinds, list) or "const" in schema:
        return schema
    rest = {key: value for key, value in schema.items() if key != "nullable"}
    if isinstance(rest.get("enum"), list) and None not in rest["enum"]:
        rest["enum"] = [*rest["enum"], None]
    return {**rest, "type": [*kinds, *([] if "null" in kinds else ["null"])]}


def _not_below(schema: JSONObject, _: Resolve) -> JSONObject:
    """A minimum that no answer will come near is drawn up to where integers can be counted."""
    least, most = schema["minimum"], schema.get("maximum", 0)
    if schema.get("type") != "integer" or not all(type(bound) in (int, float) for bound in (least, most)):
        return schema
    return {**schema, "minimum": _LEAST_INTEGER} if least < _LEAST_INTEGER < most else schema


_REWRITES = {"propertyNames": _names, "nullable": _or_null, "minimum": _not_below}
