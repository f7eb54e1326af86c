"""Grammars of tool calls: what may follow a notation's opening tag, for tools with schemas.

Lark as the grammar plugin reads it: `%json` a value that a schema describes, `%tag` a text that may be a control token,
`%until` text up to and with a tag.
"""

import json
from collections.abc import Callable, Sequence

from corral import JSONObject, Tool, Unsupported, Value
from corral.log import get_logger
from corral_templates.output.coercion import kinds_of

LOOSE = "x-if-possible"  # of a schema: where it cannot be enforced any object, or value, will do
_DESCRIBES = ("title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly")
_TEXT_KEYS = {"type", "enum", "const", "minLength", "maxLength", *_DESCRIBES}
OBJECT_KEYS = {"type", "properties", "required", "additionalProperties", "$defs", "definitions", "$schema", *_DESCRIBES}
_ANY_KEY = "/[A-Za-z_][A-Za-z0-9_.-]*/"

Inside = Callable[["Grammar", Sequence[Tool]], str]


class Notation(Value, frozen=True):
    """How calls are written: the tag that opens them, and the rule for all that follows it, the closing tag included.

    `repeats`: several calls are several such sections.  `marks`: the tag is no word of a language, so that calls can be
    held to their schemas from it on.  An empty tag: a call stands where the answer begins.
    """

    opening: str
    inside: Inside
    repeats: bool = True
    marks: bool = True


def quote(text: str) -> str:
    """A literal."""
    return json.dumps(text)


def tag(text: str) -> str:
    """A text that may be a control token."""
    return f"%tag {quote(text)}"


class Grammar:
    """The rules, as they are made.  `loose`: the model chose to call, and not every schema need be held."""

    def __init__(self, *, loose: bool, once: bool) -> None:
        self.loose, self.once = loose, once
        self.rules: list[str] = []
        self.blank = "BLANK" if loose else '" "'  # between a key and its value
        self.gap = "BLANK" if loose else ""  # where models mostly write nothing
        self.edge = "BLANK" if loose else "NL?"  # beside a tag

    def rule(self, name: str, body: str) -> str:
        """A rule of its own; its name."""
        name, *attributes = name.partition("[")
        name = f"{name}{len(self.rules)}"
        self.rules.append(f"{name}{''.join(attributes)}: {body}")
        return name

    def source(self, start: str) -> str:
        """All of it.  Only terminals that are used may be declared."""
        text = "\n".join([*self.rules, f"start: {start}"])
        terminals = {"BLANK": "BLANK: /[ \\n]{0,8}/", "NL": "NL: /\\n/"}
        used = [rule for name, rule in terminals.items() if name in text]
        return "\n".join([*used, text])

    # --- values ---------------------------------------------------------------------------------------------------

    def json(self, schema: JSONObject, tool: Tool, name: str = "value") -> str:
        """A value in JSON.  Each schema is a document of its own: it may refer to itself."""
        if self.loose and not is_strict(tool):
            schema = {**schema, LOOSE: "object" if name == "arguments" else "value"}
        return self.rule(name, f"%json {json.dumps(schema)}")

    def arguments(self, tool: Tool) -> str:
        """All arguments of a call as a JSON object."""
        return self.json(tool.parameters or {"type": "object"}, tool, "arguments")

    def whole(self, schema: JSONObject, tool: Tool) -> JSONObject:
        """The schema of one argument with the definitions that it may refer to."""
        kept = ("$defs", "definitions") if "$ref" in str(schema) else ()
        return {**schema, **{name: tool.parameters[name] for name in kept if name in tool.parameters}}

    def until(
        self,
        closing: str,
        never: Sequence[str] = (),
        least: int = 0,
        most: int | None = None,
        *,
        free: bool = False,
    ) -> str:
        """Text up to and with a tag; without those of `never`, and with other control tokens only if `free`."""
        wanted = {"tag": closing, "never": list(never), "least": least, "most": most, "free": free}
        return self.rule("text", f"%until {json.dumps(wanted)}")

    def parameters(self, tool: Tool, write: Callable[[str, JSONObject | None], str]) -> str:
        """The arguments of a call one by one, in the order of the schema.

        `write(key, schema)` is the rule's body for one: the key as it stands in the grammar, None for a value of which
        nothing is known.  Raises Unsupported for a schema that such a notation has no way to enforce.
        """
        try:
            return self._parameters(tool, write)
        except Unsupported as err:
            if not self.loose or is_strict(tool):
                raise
            get_logger("templates").debug("tool.unenforced", tool=tool.name, reason=err.message)
            return f"({write(_ANY_KEY, None)})*"

    def _parameters(self, tool: Tool, write: Callable[[str, JSONObject | None], str]) -> str:
        schema, parts = tool.parameters, []
        require(schema, OBJECT_KEYS, "$")
        properties, required = schema.get("properties"), schema.get("required", [])
        if not isinstance(properties, dict):
            return f"({write(_ANY_KEY, None)})*"
        for key, described in properties.items():
            one = described if isinstance(described, dict) else {}
            try:
                part = self.rule("argument", write(quote(key), self.whole(one, tool)))
            except Unsupported as err:
                raise Unsupported(err.message.replace("$", f"$.properties.{key}", 1)) from err
            parts.append(part if key in required else f"{part}?")
        return " ".join(parts)

    def bare(self, schema: JSONObject | None, closing: str, tool: Tool, never: Sequence[str], *, typed: bool) -> str:
        """A value that is bare text where it is a string, up to and with `closing`; JSON else.

        `typed`: a value is a string only where the schema says so; else it is one unless the schema says something.
        """
        if schema is None:
            return self.until(closing, never)
        kinds = kinds_of(schema)
        if (kinds != ["string"]) if typed else bool(kinds and "string" not in kinds):
            return f"NL? {self.json(schema, tool)} NL? {tag(closing)}"
        if not kinds and "$ref" in schema:
            raise Unsupported("unsupported JSON schema keyword: $.$ref cannot be enforced in this model's notation")
        texts = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if texts is not None:
            words = [each if isinstance(each, str) else json.dumps(each) for each in texts]
            edge = "" if typed else "NL?"  # there a reader takes a line break for a part of the text
            return f"{edge} ({' | '.join(map(quote, words))}) {edge} {tag(closing)}"
        if kinds == ["string"]:
            require(schema, _TEXT_KEYS, "$")
        return self.until(closing, never, schema.get("minLength", 0), schema.get("maxLength"))


def require(schema: JSONObject, keys: set[str], path: str) -> None:
    """Raises Unsupported for a keyword beyond `keys`, by its path."""
    for key in schema:
        if key not in keys and not key.startswith("x-"):
            raise Unsupported(
                f"unsupported JSON schema keyword: {path}.{key} cannot be enforced in this model's notation of calls"
            )


def is_strict(tool: Tool) -> bool:
    """Whether the client asked for calls of this tool to be held to its schema."""
    function = tool.wire.get("function", tool.wire)
    return isinstance(function, dict) and function.get("strict") is True


def pattern(text: str) -> str:
    """As a regular expression, within slashes, that matches the text."""
    return "".join(f"\\u{{{ord(character):X}}}" for character in text)


def either(bodies: Sequence[str]) -> str:
    """One of several."""
    return bodies[0] if len(bodies) == 1 else f"({' | '.join(bodies)})"


def several(grammar: Grammar, one: str, between: str) -> str:
    """One or more, or one only."""
    return one if grammar.once else f"{one} ({between} {one})*"
