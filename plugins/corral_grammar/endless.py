"""Finds JSON schemas that only something infinite would match: an object that requires itself."""

from collections.abc import Callable, Iterable, Iterator

from corral import JSON, JSONObject
from corral_grammar.fixpoint import settle

Target = Callable[[str], JSON]  # what a `$ref` leads to


def never_ends(root: JSON, schemas: Iterable[JSONObject], target: Target) -> bool:
    """`schemas` are all the objects in `root`, itself among them, that are schemas."""
    if not isinstance(root, dict):
        return False
    by_id = {id(schema): schema for schema in schemas}

    def holds(key: int, settled: set[int]) -> bool:
        return all(any(_ends(each, settled) for each in some) for some in _needs(by_id[key], target))

    depends = {
        key: [id(each) for some in _needs(schema, target) for each in some if isinstance(each, dict)]
        for key, schema in by_id.items()
    }
    return id(root) not in settle(depends, holds)


def _ends(schema: JSON, settled: set[int]) -> bool:
    return schema if isinstance(schema, bool) else id(schema) in settled


def _needs(schema: JSONObject, target: Target) -> Iterator[list[JSON]]:
    """Lists of schemas: of each of them one must have an end, for this one to have it."""
    if "$ref" in schema:
        yield [target(schema["$ref"])]
    yield from ([member] for member in schema.get("allOf", ()))
    yield from (schema[key] for key in ("anyOf", "oneOf") if key in schema)
    match schema.get("type"):
        case "object" | ["object"]:
            properties = schema.get("properties", {})
            yield from ([properties[name]] for name in schema.get("required", ()) if name in properties)
        case "array" | ["array"]:
            items = schema.get("items", True)
            first = items if isinstance(items, list) else schema.get("prefixItems", [])
            least = int(schema.get("minItems", 0))
            yield from ([member] for member in first[:least])
            if least > len(first):
                yield [items if not isinstance(items, list) else schema.get("additionalItems", True)]
