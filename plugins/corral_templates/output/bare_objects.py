"""Calls as `call:NAME{key:value}` in grammars: a JSON schema in that notation, beside `BareObjects`, its reader.

Numbers, truth values and null are JSON; a string stands between two quotes and holds neither escapes nor a quote.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from corral import JSON, BadRequest, JSONObject, Tool, Unsupported, Value
from corral.log import get_logger
from corral_grammar.schema import SchemaReader, step, target_of
from corral_grammar.tags import PLACE, UNSUPPORTED, pattern
from corral_templates.output.writing import Grammar, commas, either, lengths, of_object, quote, tag

_SIMPLE_KEY = re.compile(r"[A-Za-z0-9_$.-]+")
_ANY_KEY = "[A-Za-z_$][A-Za-z0-9_$.-]*"
_NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_KEYS: Mapping[str, set[str]] = {  # what restricts values of each type
    "string": {"minLength", "maxLength", "pattern", "format"},
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "boolean": set(),
    "null": set(),
    "array": {"items", "prefixItems", "additionalItems", "minItems", "maxItems"},
    "object": {
        "properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties",
    },
}  # fmt: skip
_UNWRITTEN = {"pattern", "format", "prefixItems", "additionalItems", "patternProperties", "maxProperties"}
_OF_A_TYPE = set[str]().union(*_KEYS.values())
_MAX_DEPTH = 120  # rules within each other, references included
_ASIDE = ("$defs", "definitions")
_MAX_COUNT = 10_000


class Bare(Value, frozen=True):
    """The calls of a section, the closing tag included."""

    quote: str
    closing: str

    def __call__(self, grammar: Grammar, tools: Sequence[Tool]) -> str:
        """The rule for what follows the opening tag.  Raises Unsupported by the path of what cannot be enforced."""
        calls = [
            grammar.rule("call", f"{quote(f'call:{tool.name}')} {self._arguments(grammar, tool)}") for tool in tools
        ]
        return f"{grammar.gap} {either(calls)} {grammar.gap} {tag(self.closing)}"

    def _arguments(self, grammar: Grammar, tool: Tool) -> str:
        n_rules = len(grammar.rules)
        try:
            schema = SchemaReader(of_object(tool.parameters), lambda _: "").read()
            return BareSchema(self, grammar, tool, schema).rule(schema, "$")
        except (BadRequest, Unsupported) as err:
            if grammar.holds(tool):
                raise grammar.unsupported(tool, err) from err
            get_logger("templates").debug("tool.unenforced", tool=tool.name, reason=err.message)
            del grammar.rules[n_rules:]
            return BareSchema(self, grammar, tool, True).rule({"type": "object"}, "$")


class BareSchema:
    """The rules of one schema, as `SchemaReader` leaves it; each part of it becomes one rule, also where it recurs."""

    def __init__(self, notation: Bare, grammar: Grammar, tool: Tool, root: JSON) -> None:
        self.mark, self.grammar, self.tool, self.root = notation.quote, grammar, tool, root
        self._never_said = [notation.quote, notation.closing]  # the reader takes them for ends, also in a string
        self._anything: JSONObject = {}
        self._depth = 0
        self._names: dict[int, str] = {}
        self._kept: list[JSON] = []  # schemas made here live as long as their rules, for they are known by identity
        self._writers: Mapping[str, Callable[[JSONObject, str], str]] = {
            "string": self._string,
            "integer": self._scalar,
            "number": self._scalar,
            "boolean": self._scalar,
            "null": self._scalar,
            "array": self._array,
            "object": self._object,
        }

    def rule(self, schema: JSON, path: str) -> str:
        """The rule for a value that fits."""
        schema = self._anything if schema is True else schema
        if schema is False:
            self._never(path)
        if id(schema) not in self._names:
            self._names[id(schema)] = name = self.grammar.rule("bare", "")
            self._kept.append(schema)
            at = len(self.grammar.rules) - 1
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise Unsupported(f"{UNSUPPORTED}{path} is nested more than {_MAX_DEPTH} levels deep")
            self.grammar.rules[at] = f"{name}: {self._body(schema, path)}"
            self._depth -= 1
        return self._names[id(schema)]

    def _body(self, schema: JSONObject, path: str) -> str:
        asserted = {key: value for key, value in schema.items() if key not in _ASIDE}
        if "$ref" in asserted:
            self._alone(asserted, "$ref", path)
            return self.rule(self._target(asserted["$ref"]), path)
        ways = asserted.get("anyOf", [])
        if (
            "properties" in asserted
            and ways
            and all(isinstance(each, dict) and each.keys() == {"required"} for each in ways)
        ):
            whole = {key: asserted[key] for key in asserted if key != "anyOf"}
            needed = whole.get("required", [])
            return either([self._body({**whole, "required": [*needed, *each["required"]]}, path) for each in ways])
        for key in ("anyOf", "allOf"):
            if key in asserted:
                self._alone(asserted, key, path, *(("type",) if key == "anyOf" else ()))
                return self._combined(key, asserted, path)
        texts = asserted.get("enum", [asserted["const"]] if "const" in asserted else None)
        if texts is not None:
            self._alone(asserted, "enum" if "enum" in asserted else "const", path, "type")
            fitting = [self._literal(value, path) for value in texts if {*_kinds_of(value)} & {*_kinds(asserted)}]
            return either(fitting) if fitting else self._never(path)
        if extra := asserted.keys() - _OF_A_TYPE - {"type"}:
            self._refuse(step(path, min(extra)))
        return either([self._typed(kind, asserted, path) for kind in _kinds(asserted)])

    def _typed(self, kind: str, schema: JSONObject, path: str) -> str:
        for key in schema:
            if key in _UNWRITTEN and key in _KEYS[kind]:
                self._refuse(step(path, key))
        return self._writers[kind]({"type": kind, **{key: schema[key] for key in schema if key in _KEYS[kind]}}, path)

    def _combined(self, key: str, schema: JSONObject, path: str) -> str:
        parts: list[JSON] = schema[key]
        if key == "allOf" and len(parts) > 1:
            self._refuse(step(path, key))
        rules = []
        for index, part in enumerate(parts):
            if (
                "type" in schema
                and isinstance(part, dict)
                and "type" not in part
                and not part.keys() & {"$ref", "anyOf"}
            ):
                part = {**part, "type": schema["type"]}
            elif "type" in schema:
                self._refuse(step(path, "type"))
            rules.append(self.rule(part, step(step(path, key), index)))
        return either(rules)

    # --- the types ------------------------------------------------------------------------------------------------

    def _scalar(self, schema: JSONObject, path: str) -> str:
        place = {"of": self.grammar.called(self.tool), "path": path}
        return self.grammar.json({PLACE: place, **schema}, self.tool)

    def _string(self, schema: JSONObject, path: str) -> str:
        least, most = lengths(schema, path)
        return f"{tag(self.mark)} {self.grammar.until(self.mark, self._never_said, least, most)}"

    def _array(self, schema: JSONObject, path: str) -> str:
        items = schema.get("items", True)
        least, most = int(schema.get("minItems", 0)), schema.get("maxItems")
        if isinstance(items, list):
            self._refuse(step(path, "items"))
        if max(least, int(most or 0)) > _MAX_COUNT:
            raise Unsupported(
                f"{UNSUPPORTED}{step(path, 'minItems' if least > _MAX_COUNT else 'maxItems')} is too large"
            )
        if most is not None and most < least:
            self._never(step(path, "maxItems"))
        if most == 0 or items is False:
            return '"[" "]"' if least == 0 else self._never(step(path, "minItems"))
        item = self.rule(items, step(path, "items"))
        others = f'("," {item}){{{max(0, least - 1)},{"" if most is None else int(most) - 1}}}'
        return f'"[" {item} {others} "]"' if least else f'"[" ({item} {others})? "]"'

    def _object(self, schema: JSONObject, path: str) -> str:
        properties: JSONObject = schema.get("properties", {})
        required = schema.get("required", ())
        more = schema.get("additionalProperties", not properties)
        for name in required:
            if name not in properties:
                self._refuse(step(path, "required"))
        if schema.get("minProperties", 0) > len(required):
            self._refuse(step(path, "minProperties"))
        pairs = [
            (f"{self._key(name)} {self.rule(inside, step(step(path, 'properties'), name))}", name in required)
            for name, inside in properties.items()
            if inside is not False or name in required
        ]
        others = ""
        if more is not False:
            others = f"{self._other_key(properties)} {self.rule(more, step(path, 'additionalProperties'))}"
        return f'"{{" {commas(self.grammar, pairs, quote(","), others)} "}}"'

    def _key(self, name: str) -> str:
        if _SIMPLE_KEY.fullmatch(name):
            return quote(f"{name}:")
        return f"{self._quoted(name, 'the name of a property')} {quote(':')}"

    def _other_key(self, properties: JSONObject) -> str:
        besides = "|".join(pattern(name) for name in properties if _SIMPLE_KEY.fullmatch(name))
        name = self.grammar.rule("OTHER_KEY", f"/{_ANY_KEY}/" + (f" & ~/({besides})/" if besides else ""))
        return f'{name} ":"'

    # --- values ---------------------------------------------------------------------------------------------------

    def _literal(self, value: JSON, path: str) -> str:
        if isinstance(value, str):
            return self._quoted(value, path)
        if isinstance(value, list):
            items = ' "," '.join(self._literal(item, path) for item in value)
            return f'"[" {items} "]"'
        if isinstance(value, dict):
            pairs = ' "," '.join(f"{self._key(key)} {self._literal(item, path)}" for key, item in value.items())
            return f'"{{" {pairs} "}}"'
        return quote(json.dumps(value))

    def _quoted(self, text: str, what: str) -> str:
        if any(end in text for end in self._never_said):
            raise Unsupported(f"{UNSUPPORTED}{what} holds a tag that this model's notation of calls cannot write")
        return f"{tag(self.mark)} {quote(text)} {tag(self.mark)}"

    def _target(self, reference: str) -> JSON:
        return target_of(reference, "$", self.root)

    def _alone(self, schema: JSONObject, key: str, path: str, *beside: str) -> None:
        for other in schema:
            if other != key and other not in beside:
                self._refuse(step(path, other))

    def _refuse(self, path: str) -> NoReturn:
        raise Unsupported(f"{UNSUPPORTED}{path} cannot be enforced in this model's notation of calls")

    def _never(self, path: str) -> NoReturn:
        raise Unsupported(f"{UNSUPPORTED}{path}: nothing matches it")


def _kinds(schema: JSONObject) -> list[str]:
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return [kinds]
    return kinds if kinds else [kind for kind in _KEYS if kind != "integer"]


def _kinds_of(value: JSON) -> list[str]:
    """The types that a value has."""
    if isinstance(value, bool) or value is None:
        return ["null" if value is None else "boolean"]
    if isinstance(value, str | list | dict):
        return [{str: "string", list: "array", dict: "object"}[type(value)]]
    return ["number", "integer"] if value == int(value) else ["number"]
