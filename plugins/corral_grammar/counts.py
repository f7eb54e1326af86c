"""How many properties an object must have, said by names: one of several sets of them is required.

The library counts properties only where all are required.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from math import comb

from corral import JSON, BadRequest, JSONObject
from corral_grammar.keywords import ONE_SCHEMA, SCHEMA_LISTS, SCHEMA_MAPS
from corral_grammar.tags import UNSUPPORTED

_MAX_NAMES = 450  # properties in all sets together: the library's lexer takes half a second for a thousand
_COMBINES = ("anyOf", "oneOf", "allOf", "$ref")

Target = Callable[[str], JSON]  # what a `$ref` leads to
Counted = dict[int, tuple[int, list[JSON]]]  # schema, by identity → how many of which properties it must have


def settle_counts(root: JSON, nodes: Sequence[tuple[str, JSONObject]], target: Target) -> Counted:
    """Replace `minProperties` beyond what is required.  Raises BadRequest by its path where that cannot be.

    Returns where `anyOf` says it now, and of which properties how many.  `nodes`: all schemas in `root`; those that it
    never comes to restrict nothing, and neither do those of other types.
    """
    counting = [(path, schema) for path, schema in nodes if "minProperties" in schema]
    used = _used(root, target) if counting else set()
    named = _named(nodes, target) if counting else {}
    counted: Counted = {}
    for path, schema in counting:
        kinds = schema.get("type", "object")
        if id(schema) not in used or "object" not in (kinds if isinstance(kinds, list) else [kinds]):
            schema.pop("minProperties")
            continue
        least, required = int(schema["minProperties"]), {*schema.get("required", ())}
        if least <= max(1, len(required)) and not (least == 1 and _is_closed(schema) and not required):
            continue
        schema.pop("minProperties")
        properties = schema.get("properties", {})
        if "additionalProperties" not in schema:
            properties = named.get(id(schema), properties)
        optional = {name: sub for name, sub in properties.items() if name not in required and sub is not False}
        missing = least - len(required)
        _check(schema, optional, len(properties), missing, f"{path}.minProperties")
        schema["anyOf"] = [{"required": [*names]} for names in combinations(optional, missing)]
        counted[id(schema)] = missing, [*optional.values()]
    return counted


def _named(nodes: Sequence[tuple[str, JSONObject]], target: Target) -> dict[int, JSONObject]:
    """The properties that each member of an `allOf`, by identity, has together with what it is laid over."""
    named: dict[int, JSONObject] = {}
    for _, schema in nodes:
        if members := [member for member in schema.get("allOf", ()) if isinstance(member, dict)]:
            referred = [target(member["$ref"]) for member in members if "$ref" in member]
            together: JSONObject = {}
            for part in (schema, *members, *(each for each in referred if isinstance(each, dict))):
                for name, inside in part.get("properties", {}).items():
                    together[name] = inside if together.get(name, True) is not False else False
            named.update((id(member), together) for member in members)
    return named


def _used(root: JSON, target: Target) -> set[int]:
    """The schemas, by identity, that a value may be held to."""
    used: set[int] = set()
    todo = [root]
    while todo:
        schema = todo.pop()
        if isinstance(schema, dict) and id(schema) not in used:
            used.add(id(schema))
            todo += _inside(schema)
            if "$ref" in schema:
                todo.append(target(schema["$ref"]))
    return used


def _inside(schema: JSONObject) -> Iterator[JSON]:
    for key, value in schema.items():
        if key in SCHEMA_LISTS or (key == "items" and isinstance(value, list)):
            yield from value
        elif key in ONE_SCHEMA:
            yield value
        elif key in SCHEMA_MAPS and key not in ("$defs", "definitions"):
            yield from value.values()


def _check(schema: JSONObject, optional: JSONObject, n_names: int, missing: int, path: str) -> None:
    is_laid_over = "additionalProperties" not in schema  # and others may have further names
    if not _is_closed(schema) or (is_laid_over and missing > len(optional)):
        raise BadRequest(
            f"{UNSUPPORTED}{path} cannot be enforced beyond the {max(1, len(schema.get('required', ())))} required, "
            "for further names may repeat"
        )
    if any(key in schema for key in _COMBINES):
        raise BadRequest(f"{UNSUPPORTED}{path} cannot be enforced beside {', '.join(_COMBINES)}")
    if missing > len(optional):
        raise BadRequest(f"invalid JSON schema: {path} asks for more properties than there are")
    if comb(len(optional), missing) * n_names > _MAX_NAMES:
        raise BadRequest(
            f"{UNSUPPORTED}{path} cannot be enforced: there are too many ways to choose {missing} of {len(optional)} "
            "optional properties"
        )


def _is_closed(schema: JSONObject) -> bool:
    closed: JSON = schema.get("additionalProperties", "properties" not in schema)
    return closed is False and "patternProperties" not in schema
