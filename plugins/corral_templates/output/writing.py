"""Grammars of tool calls: what may follow a notation's opening tag, for tools with schemas.

Lark as the grammar plugin reads it: `%json` a value that a schema describes, `%tag` a text that may be a control token,
`%until` text up to and with a tag.
"""

import json
from collections.abc import Callable, Sequence

from corral import BadRequest, CorralError, JSONObject, Tool, Unsupported, Value
from corral.log import get_logger
from corral_grammar.schema import SchemaReader
from corral_grammar.tags import LOOSE, PLACE, UNSUPPORTED
from corral_templates.output.coercion import kinds_of, with_definitions

DESCRIBES = ("title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly")
OBJECT_KEYS = {"type", "properties", "required", "additionalProperties", "$defs", "definitions", "$schema", *DESCRIBES}
_MAX_LEAST, _MAX_MOST = 500, 1000  # characters of one text: the library's work grows with the square of them
_ANY_KEY = "/[A-Za-z_][A-Za-z0-9_.-]*/"

Inside = Callable[["Grammar", Sequence[Tool]], str]


class Headed(Value, frozen=True):
    """How a whole answer is made of messages.  All of it is held then, the thinking before the answer too.

    `thinks` and `ends` stand around thinking, `starts` begins the next message, and `says` is the header of content,
    which `closes` ends.  `calls` are the messages with all calls, the header of the first included.
    """

    thinks: str
    ends: str
    starts: str
    says: str
    closes: str
    calls: Inside


class Notation(Value, frozen=True):
    """How calls are written: the tag that opens them, and the rule for all that follows it, the closing tag included.

    `repeats`: several calls are several such sections.  `marks`: the tag is no word of a language, so that calls can be
    held to their schemas from it on.  An empty tag: a call stands where the answer begins.  `headed`: what else is in
    an answer whose parts have headers.
    """

    opening: str
    inside: Inside
    repeats: bool = True
    marks: bool = True
    headed: "Headed | None" = None


def quote(text: str) -> str:
    """A literal."""
    return json.dumps(text)


def tag(text: str) -> str:
    """A text that may be a control token."""
    return f"%tag {quote(text)}"


class Grammar:
    """The rules, as they are made.  `loose`: the model chose to call, and not every schema need be held.

    `tools`: as the client numbers them.
    """

    def __init__(self, tools: Sequence[Tool] = (), *, loose: bool, once: bool) -> None:
        self.loose, self.once = loose, once
        self._tools = tools
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
        schema = {PLACE: {"of": self.called(tool), "path": "$"}, **schema}
        if not self.holds(tool):
            schema = {**schema, LOOSE: "object" if name == "arguments" else "value"}
        return self.rule(name, f"%json {json.dumps(schema)}")

    def arguments(self, tool: Tool) -> str:
        """All arguments of a call as a JSON object.  Raises Unsupported for a schema of something else."""
        try:
            schema = of_object(tool.parameters)
        except Unsupported as err:
            if self.holds(tool):
                raise self.unsupported(tool, err) from err
            schema = {"type": "object"}
        return self.json(schema, tool, "arguments")

    def holds(self, tool: Tool) -> bool:
        """Whether calls of this tool must fit its schema."""
        return not self.loose or is_strict(tool)

    def called(self, tool: Tool) -> str:
        """The tool in messages: `tools[0] (get_weather)`."""
        index = next((str(index) for index, each in enumerate(self._tools) if each is tool), "")
        return f"tools[{index}] ({tool.name})"

    def unsupported(self, tool: Tool, err: CorralError) -> Unsupported:
        """The same of this tool."""
        return Unsupported(f"{self.called(tool)}: {err.message.removeprefix(UNSUPPORTED)}")

    def whole(self, schema: JSONObject, tool: Tool, key: str) -> JSONObject:
        """The schema of one argument with the definitions that it may refer to."""
        place = {"of": self.called(tool), "path": f"$.properties.{key}"}
        return {PLACE: place, **with_definitions(schema, tool.parameters)}

    def sound(self, schema: JSONObject) -> JSONObject:
        """The schema of all arguments.  Raises Unsupported by the path of what is no JSON schema, or not enforced."""
        try:
            SchemaReader(schema, lambda _: "").read()
        except BadRequest as err:
            raise Unsupported(err.message) from err
        return schema

    def until(
        self,
        closing: str,
        never: Sequence[str] = (),
        least: int = 0,
        most: int | None = None,
        *,
        free: bool = False,
        starts: str = "",
        trims: bool = False,
    ) -> str:
        """Text up to and with a tag; without those of `never`, and with other control tokens only if `free`.

        `starts`: characters, as in a regular expression, of which none stands first in it but for blanks;
        `trims`: a line break at either end is no part of it.
        """
        wanted = {"tag": closing, "never": list(never), "least": least, "most": most, "free": free}
        wanted |= {"starts": starts} if starts else {}
        wanted |= {"trims": True} if trims else {}
        return self.rule("text", f"%until {json.dumps(wanted)}")

    def parameters(self, tool: Tool, write: Callable[[str, JSONObject | None], str]) -> str:
        """The arguments of a call one by one, in the order of the schema.

        `write(key, schema)` is the rule's body for one: the key as it stands in the grammar, None for a value of which
        nothing is known.  Raises Unsupported for a schema that such a notation has no way to enforce.
        """
        try:
            return self._parameters(tool, write)
        except Unsupported as err:
            if self.holds(tool):
                raise self.unsupported(tool, err) from err
            get_logger("templates").debug("tool.unenforced", tool=tool.name, reason=err.message)
            return f"({write(_ANY_KEY, None)})*"

    def _parameters(self, tool: Tool, write: Callable[[str, JSONObject | None], str]) -> str:
        schema, parts = self.sound(of_object(tool.parameters)), []
        require(schema, OBJECT_KEYS, "$")
        properties, required = schema.get("properties"), schema.get("required", [])
        if not isinstance(properties, dict):
            return f"({write(_ANY_KEY, None)})*"
        for key, described in properties.items():
            one = described if isinstance(described, dict) else {}
            try:
                part = self.rule("argument", write(quote(key), self.whole(one, tool, key)))
            except Unsupported as err:
                raise Unsupported(err.message.replace("$", f"$.properties.{key}", 1)) from err
            parts.append(part if key in required else f"{part}?")
        return " ".join(parts)


def of_object(schema: JSONObject) -> JSONObject:
    """A schema of arguments, which are an object whatever else it allows.  Raises Unsupported where it forbids that."""
    if not schema:  # a tool that declares no parameters has none
        return {"type": "object", "properties": {}}
    kinds = schema.get("type")
    is_open = not schema.keys() & {"type", "anyOf", "oneOf", "allOf", "$ref"}
    if is_open or (isinstance(kinds, list) and "object" in kinds):
        return {**schema, "type": "object"}
    if any(kind != "object" for kind in kinds_of(schema)):
        raise Unsupported("$.type must be object, for the arguments of a call are one")
    return schema


def lengths(schema: JSONObject, path: str) -> tuple[int, int | None]:
    """How long a text must and may be.  Raises Unsupported by its path for more than can be counted."""
    for key, limit in (("minLength", _MAX_LEAST), ("maxLength", _MAX_MOST)):
        if schema.get(key, 0) > limit:
            text = f"{path}.{key} cannot be enforced above {limit} in this model's notation of calls"
            raise Unsupported(f"{UNSUPPORTED}{text}")
    most = schema.get("maxLength")
    return int(schema.get("minLength", 0)), None if most is None else int(most)


def require(schema: JSONObject, keys: set[str], path: str) -> None:
    """Raises Unsupported for a keyword beyond `keys`, by its path."""
    for key in schema:
        if key not in keys and not key.startswith("x-"):
            raise Unsupported(f"{UNSUPPORTED}{path}.{key} cannot be enforced in this model's notation of calls")


def is_strict(tool: Tool) -> bool:
    """Whether the client asked for calls of this tool to be held to its schema."""
    function = tool.wire.get("function", tool.wire)
    return isinstance(function, dict) and function.get("strict") is True


def last(text: str) -> str:
    """A tag behind which nothing comes; it is not written where that token ends the answer."""
    return f"%last {quote(text)}"


def either(bodies: Sequence[str]) -> str:
    """One of several."""
    return bodies[0] if len(bodies) == 1 else f"({' | '.join(bodies)})"


def commas(grammar: Grammar, parts: Sequence[tuple[str, bool]], comma: str, others: str = "") -> str:
    """Parts in their order, commas between: each with whether it is needed, and after them any number of `others`."""
    first, later = quote(""), quote("")  # what may be written before anything is, and after something
    if others:
        later = grammar.rule("others", f"({comma} {others})*")
        first = grammar.rule("others", f"({others} {later})?")
    for part, needed in reversed(parts):
        following = grammar.rule("given", f"{part} {later}" + ("" if needed else f" | {first}"))
        later = grammar.rule("more", f"{comma} {part} {later}" + ("" if needed else f" | {later}"))
        first = following
    return first


def several(grammar: Grammar, one: str, between: str) -> str:
    """One or more, or one only."""
    return one if grammar.once else f"{one} ({between} {one})*"
