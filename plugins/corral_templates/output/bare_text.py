"""Arguments that stand as bare text where they are strings, and as JSON else: what a grammar allows, by their schema.

The reader is `coercion`.  A text and a value in JSON must differ in how they begin: where both are allowed, a string
that begins like the other is not.
"""

from collections.abc import Sequence
from typing import NamedTuple

from corral import JSON, JSONObject, Tool, Unsupported
from corral_grammar.schema import step
from corral_grammar.tags import PLACE, UNSUPPORTED
from corral_templates.output.coercion import coerce, kinds_of, referred
from corral_templates.output.writing import DESCRIBES, Grammar, either, lengths, quote, require, tag

_ASIDE = ("$defs", "definitions")
_BESIDE = {*DESCRIBES, *_ASIDE, PLACE}
_BOUNDS = {"type", "minLength", "maxLength"}
_BEGINS = {"object": "{", "array": "\\[", "integer": "+\\-.\\d", "number": "+\\-.\\d"}
_MAX_DEPTH = 30  # unions and references within each other


class Part(NamedTuple):
    """One member of a union, and where it stands."""

    schema: JSONObject
    kinds: Sequence[str]
    path: str


def bare(
    grammar: Grammar, schema: JSONObject | None, closing: str, tool: Tool, never: Sequence[str], *, typed: bool
) -> str:
    """A value up to and with `closing`, and without `never`; a schema of None: of which nothing is known.

    `typed`: a value is a string only where the schema says so; else it is one unless the schema says something.
    """
    if schema is None:
        return grammar.until(closing, never)
    kinds = kinds_of(schema)
    if (kinds != ["string"]) if typed else bool(kinds and "string" not in kinds):
        return _as_json(grammar, schema, closing, tool)
    if not kinds:
        require(schema, _BESIDE, "$")
        return grammar.until(closing, never)
    parts = _parts(schema, schema, "$", 0)
    texts = [part for part in parts if part.kinds == ["string"]]
    others = [part for part in parts if part.kinds != ["string"]]
    words, free = [], []
    for part in texts:
        listed = _listed(part.schema)
        require(
            part.schema, {*_BESIDE, "type", "enum", "const"} if listed is not None else _BESIDE | _BOUNDS, part.path
        )
        words += [word for word in listed or () if isinstance(word, str) and (typed or coerce(word, schema) == word)]
        free += [] if listed is not None else [(part.schema, part.path)]
    edge = "" if typed else "NL?"  # there a reader takes a line break for a part of the text
    bodies = [f"{edge} ({' | '.join(map(quote, words))}) {edge} {tag(closing)}"] if words else []
    if free:
        starts = _starts(others, is_bounded=any(one.keys() & _BOUNDS - {"type"} for one, _ in free))
        for one, path in free:
            least, most = lengths(one, path)
            bodies.append(grammar.until(closing, never, least, most, starts=starts, trims=not typed))
    bodies += [_as_json(grammar, {**part.schema, **_around(schema, part.path)}, closing, tool) for part in others]
    if not bodies:
        raise Unsupported(f"{UNSUPPORTED}$: nothing matches it in this model's notation")
    return either(bodies)


def _as_json(grammar: Grammar, schema: JSONObject, closing: str, tool: Tool) -> str:
    return f"NL? {grammar.json(schema, tool)} NL? {tag(closing)}"


def _around(schema: JSONObject, path: str) -> JSONObject:
    """What a part of `schema` needs of it: the definitions, and its name in messages."""
    kept = {key: schema[key] for key in _ASIDE if key in schema}
    place = schema.get(PLACE, {})
    return {**kept, PLACE: {**place, "path": place.get("path", "$") + path[1:]}}


def _parts(schema: JSON, root: JSONObject, path: str, depth: int) -> list[Part]:
    """The members of a union, those of unions inside included; each either a string or none.  Raises Unsupported."""
    kinds = kinds_of(schema, root) if isinstance(schema, dict) else []
    if not isinstance(schema, dict) or not kinds or depth > _MAX_DEPTH:
        raise Unsupported(f"{UNSUPPORTED}{path} cannot be enforced in this model's notation: it may be anything")
    if "string" not in kinds:
        return [Part(schema, kinds, path)]
    if "$ref" in schema:
        require(schema, _BESIDE | {"$ref"}, path)
        return _parts(referred(schema["$ref"], root), root, path, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            require(schema, _BESIDE | {key}, path)
            inside = [_parts(each, root, step(step(path, key), n), depth + 1) for n, each in enumerate(schema[key])]
            parts = [part for each in inside for part in each]
            return parts if key == "anyOf" else _one(parts, schema, key, path)
    if kinds == ["string"]:
        return [Part(schema, kinds, path)]
    others = [kind for kind in kinds if kind != "string"]
    if (listed := _listed(schema)) is not None:
        rest = [value for value in listed if not isinstance(value, str)]
        words = [value for value in listed if isinstance(value, str)]
        both = [({"enum": words}, ["string"]), ({"enum": rest}, others)]
        return [Part(each, kind, path) for each, kind in both if each["enum"]]
    text = {key: schema[key] for key in schema if key not in ("properties", "items", "minimum", "maximum")}
    mine = {key: schema[key] for key in schema if key not in ("minLength", "maxLength")}
    return [Part({**text, "type": "string"}, ["string"], path), Part({**mine, "type": others}, others, path)]


def _one(parts: list[Part], schema: JSONObject, key: str, path: str) -> list[Part]:
    """The parts of `oneOf` that exclude each other, or the one of `allOf`."""
    texts = [part for part in parts if part.kinds == ["string"]]
    lists = [_listed(part.schema) for part in texts]
    words = [json_key for each in lists if each is not None for json_key in map(repr, each)]
    if (key == "allOf" and len(schema[key]) > 1) or (len(texts) > 1 and (None in lists or len(words) > len({*words}))):
        raise Unsupported(f"{UNSUPPORTED}{step(path, key)} cannot be enforced in this model's notation of calls")
    others = [part for part in parts if part.kinds != ["string"]]
    if len(others) < 2:
        return parts
    kinds = [*{kind: None for part in others for kind in part.kinds}]
    return [*texts, Part({key: [part.schema for part in others]}, kinds, path)]


def _listed(schema: JSONObject) -> list[JSON] | None:
    """All values of a schema that lists them."""
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _starts(others: Sequence[Part], *, is_bounded: bool) -> str:
    """The characters, for a regular expression, that begin other values.  A text may begin with none of them.

    Truth values, null and numbers that are not restricted are read from a text as well.
    """
    found: dict[str, None] = {}
    for part in others:
        is_restricted = bool(part.schema.keys() - _BESIDE - {"type"})
        if is_restricted and "boolean" in part.kinds and _listed(part.schema) is not None:
            raise Unsupported(f"{UNSUPPORTED}{part.path} cannot be enforced beside any text in this model's notation")
        for kind in part.kinds:
            if kind in ("object", "array") or (kind in _BEGINS and (is_restricted or is_bounded)):
                found[_BEGINS[kind]] = None
    return "".join(found)
