"""Finds JSON schemas that only something infinite would match: an object that requires itself."""

from collections.abc import Iterable, Iterator

from corral import JSON, JSONObject
from corral_grammar.counts import Counted, Target
from corral_grammar.fixpoint import settle


def never_ends(root: JSON, schemas: Iterable[JSONObject], target: Target, counted: Counted) -> bool:
    """`schemas` are all the objects in `root`, itself among them, that are schemas; `counted` is told of them."""
    if not isinstance(root, dict):
        return False
    by_id = {id(schema): schema for schema in schemas}

    def holds(key: int, settled: set[int]) -> bool:
        return all(sum(_ends(each, settled) for each in some) >= n for n, some in _needs(by_id[key], target, counted))

    depends = {
        key: [id(each) for _, some in _needs(schema, target, counted) for each in some if isinstance(each, dict)]
        for key, schema in by_id.items()
    }
    return id(root) not in settle(depends, holds)


def _ends(schema: JSON, settled: set[int]) -> bool:
    return schema if isinstance(schema, bool) else id(schema) in settled


def _needs(schema: JSONObject, target: Target, counted: Counted) -> Iterator[tuple[int, list[JSON]]]:
    """How many of which schemas must have an end, for this one to have it."""
    if "$ref" in schema:
        yield 1, [target(schema["$ref"])]
    yield from ((1, [member]) for member in schema.get("allOf", ()))
    yield from ((1, schema[key]) for key in ("anyOf", "oneOf") if key in schema and id(schema) not in counted)
    match schema.get("type"):
        case "object" | ["object"]:
            yield from _of_object(schema)
            if id(schema) in counted:
                yield counted[id(schema)]
        case "array" | ["array"]:
            items = schema.get("items", True)
            first = items if isinstance(items, list) else schema.get("prefixItems", [])
            least = int(schema.get("minItems", 0))
            yield from ((1, [member]) for member in first[:least])
            if least > len(first):
                yield 1, [items if not isinstance(items, list) else schema.get("additionalItems", True)]


def _of_object(schema: JSONObject) -> Iterator[tuple[int, list[JSON]]]:
    """A name that is required and not allowed is left to the library, which tells it."""
    properties = schema.get("properties", {})
    others = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties", True)]
    others = [each for each in others if each is not False]
    for name in schema.get("required", ()):
        if some := [properties[name]] if name in properties else others:
            yield 1, some
    if schema.get("minProperties", 0) and (some := [*properties.values(), *others]):
        yield 1, some  # no more than are required, or one of any name
