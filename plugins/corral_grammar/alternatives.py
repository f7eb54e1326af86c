"""Tells whether the branches of `oneOf` exclude each other: then "one of them" is "any of them"."""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

from corral import JSON, JSONObject
from corral_grammar.keywords import TYPES

Target = Callable[[str], JSON]  # what a `$ref` leads to
_TYPES_OF: dict[type, tuple[str, ...]] = {
    type(None): ("null",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("integer", "number"),
    str: ("string",),
    list: ("array",),
    dict: ("object",),
}
_MAX_DEPTH = 12  # references and properties one after the other
_MAX_STEPS = 200_000  # pairs of schemas, of a whole document


class Alternatives:
    """The unions of one document, whose references lead somewhere."""

    def __init__(self, target: Target) -> None:
        self._target, self._steps = target, _MAX_STEPS

    def settle(self, schemas: Iterable[JSONObject]) -> None:
        """Say `anyOf` for each `oneOf` of which at most one branch can match."""
        for schema in schemas:
            branches = schema.get("oneOf", ())
            if len(branches) > 1 and "anyOf" not in schema and self._exclude(branches, schema):
                schema["anyOf"] = schema.pop("oneOf")

    def _exclude(self, branches: Iterable[JSON], around: JSONObject) -> bool:
        """`around`: the schema that they stand in, which holds for each of them too."""
        inside = [self._within(branch, around) for branch in branches]
        return all(self._apart(one, other, 1) for one, other in combinations(inside, 2))

    def _within(self, branch: JSON, around: JSONObject) -> JSON:
        for _ in range(_MAX_DEPTH):
            if not isinstance(branch, dict) or branch.keys() != {"$ref"}:
                break
            branch = self._target(branch["$ref"])
        if not isinstance(branch, dict):
            return branch
        required = {"required": [*around.get("required", ()), *branch.get("required", ())]}
        kinds = {"type": around["type"]} if "type" in around else {}
        return {**kinds, **branch, **required}

    def _apart(self, one: JSON, other: JSON, depth: int) -> bool:
        """Whether it is certain that nothing matches both."""
        self._steps -= 1
        if one is False or other is False:
            return True
        if one is True or other is True or depth > _MAX_DEPTH or self._steps < 0:
            return False
        common = _kinds(one) & _kinds(other)
        if not common or _differ(_values(one), _values(other)):
            return True
        if common == {"object"} and any(self._apart(*pair, depth + 1) for pair in _shared(one, other)):
            return True
        return self._parts_apart(one, other, depth + 1) or self._parts_apart(other, one, depth + 1)

    def _parts_apart(self, schema: JSONObject, other: JSON, depth: int) -> bool:
        """Whether what `schema` is put together from keeps it apart from `other`."""
        if any(self._apart(part, other, depth) for part in schema.get("allOf", ())):
            return True
        for key in ("anyOf", "oneOf"):
            if key in schema and all(self._apart(branch, other, depth) for branch in schema[key]):
                return True
        return "$ref" in schema and self._apart(self._target(schema["$ref"]), other, depth)


def _shared(one: JSONObject, other: JSONObject) -> Iterator[tuple[JSON, JSON]]:
    """The schemas that each of two objects has for a property which both require."""
    mine, theirs = one.get("properties", {}), other.get("properties", {})
    for name in {*one.get("required", ())}.intersection(other.get("required", ()), mine, theirs):
        yield mine[name], theirs[name]


def _kinds(schema: JSONObject) -> set[str]:
    """The types that a value may have, and perhaps more."""
    named, values = schema.get("type", TYPES), _values(schema)
    kinds = {named} if isinstance(named, str) else {*named}
    if "number" in kinds:
        kinds.add("integer")
    return kinds if values is None else kinds & {kind for value in values for kind in _TYPES_OF[type(value)]}


def _values(schema: JSONObject) -> list[JSON] | None:
    """All that may match, where they are listed."""
    if "const" in schema:
        return [schema["const"]]
    return schema.get("enum")


def _differ(some: list[JSON] | None, others: list[JSON] | None) -> bool:
    """Whether two lists share nothing; lists and objects are not looked into."""
    if some is None or others is None:
        return False
    return {*map(_key, some)}.isdisjoint(map(_key, others))


def _key(value: JSON) -> JSON:
    return type(value) if isinstance(value, dict | list) else value
