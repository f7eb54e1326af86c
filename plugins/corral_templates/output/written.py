"""How families of models write calls, as grammars: one function a notation, beside its reader in `notations`."""

import json
from collections.abc import Sequence

from corral import JSONObject, Tool, Unsupported, Value
from corral_grammar.tags import pattern
from corral_templates.output.bare_text import bare
from corral_templates.output.coercion import kinds_of
from corral_templates.output.writing import (
    OBJECT_KEYS,
    Grammar,
    Inside,
    commas,
    either,
    of_object,
    quote,
    require,
    several,
    tag,
)

_BLANKS = "[ \\n]*"
_COMMA = '"," " "?'

# --- arguments as a JSON object -------------------------------------------------------------------------------------


def objects(grammar: Grammar, tools: Sequence[Tool], name_key: str, arguments_key: str, first: str = "") -> str:
    """`{"name": N, "arguments": {…}}` of one of the tools; `first` may stand in front of the name."""
    calls = []
    for tool in tools:
        texts = f'"{name_key}":', f"{json.dumps(tool.name)},", f'"{arguments_key}":'
        head = f" {grammar.blank} ".join(map(quote, texts))
        parts = ('"{"', grammar.gap, first, head, grammar.blank, grammar.arguments(tool), grammar.gap, '"}"')
        calls.append(grammar.rule("tool", " ".join(filter(None, parts))))
    return grammar.rule("object", " | ".join(calls))


def json_object(closing: str, arguments_key: str) -> Inside:
    """One call, and the closing tag if there is one."""

    def inside(grammar: Grammar, tools: Sequence[Tool]) -> str:
        call = objects(grammar, tools, "name", arguments_key)
        return f"{grammar.edge} {call} {grammar.edge} {tag(closing)}" if closing else call

    return inside


def json_alone(arguments_key: str, *, listed: bool = False) -> Inside:
    """One call that no tag opens, or a list.  Where the model chose to call, its name alone tells that it is one."""

    def inside(grammar: Grammar, tools: Sequence[Tool]) -> str:
        if not grammar.loose:
            return (
                json_list("", arguments_key)(grammar, tools)
                if listed
                else objects(grammar, tools, "name", arguments_key)
            )
        calls = []
        for tool in tools:
            head = grammar.rule("head[lazy]", f"/{_BLANKS}{_begins(tool, arguments_key, listed=listed)}/")
            calls.append(f'{head} BLANK {grammar.arguments(tool)} BLANK "}}"')
        return _closed(grammar, tools, arguments_key, calls, listed=listed)

    return inside


def json_begun(word: str, arguments_key: str, *, listed: bool) -> Inside:
    """Free text, a word that opens calls, and a call whose name tells that the word was meant so; or a list of them."""

    def inside(grammar: Grammar, tools: Sequence[Tool]) -> str:
        calls = []
        for tool in tools:
            then = _BLANKS + _begins(tool, arguments_key, listed=listed and not word.endswith("["))
            head = grammar.rule("text", f"%until {json.dumps({'tag': word, 'free': True, 'then': then})}")
            calls.append(f'{head} BLANK {grammar.arguments(tool)} BLANK "}}"')
        return _closed(grammar, tools, arguments_key, calls, listed=listed)

    return inside


def _begins(tool: Tool, arguments_key: str, *, listed: bool) -> str:
    """A regular expression for what stands before the arguments of a call that is an object."""
    texts = "{", '"name":', json.dumps(tool.name), ",", f'"{arguments_key}":'
    return _BLANKS.join(map(pattern, ("[", *texts) if listed else texts))


def _closed(grammar: Grammar, tools: Sequence[Tool], arguments_key: str, calls: Sequence[str], *, listed: bool) -> str:
    if not listed:
        return either(calls)
    more = objects(grammar, tools, "name", arguments_key)
    return f'{either(calls)} (BLANK "," BLANK {more})* BLANK "]"'


def json_list(closing: str, arguments_key: str, opened: str = "[") -> Inside:
    """A list of calls, and the closing tag if there is one.  `opened` is what of it the opening tag does not say."""

    def inside(grammar: Grammar, tools: Sequence[Tool]) -> str:
        begin = 'BLANK "["' if grammar.loose else quote(opened) if opened else ""
        between = f'{grammar.gap} "," {grammar.gap or grammar.blank + "?"}'
        calls = several(grammar, objects(grammar, tools, "name", arguments_key), between)
        parts = (begin, grammar.gap, calls, grammar.gap, '"]"', closing and tag(closing))
        return " ".join(filter(None, parts))

    return inside


def json_named(after: str, closing: str) -> Inside:
    """The tool's name, then its arguments between `after` and `closing`."""

    def inside(grammar: Grammar, tools: Sequence[Tool]) -> str:
        calls = []
        for tool in tools:
            parts = (quote(tool.name), tag(after), grammar.gap, grammar.arguments(tool), closing and tag(closing))
            calls.append(grammar.rule("call", " ".join(filter(None, parts))))
        return either(calls)

    return inside


def cohere(grammar: Grammar, tools: Sequence[Tool]) -> str:
    """`[{"tool_call_id": "0", "tool_name": N, "parameters": {…}}]`; the id may be missing."""
    number = grammar.rule("id", f'{quote(chr(34) + "tool_call_id" + chr(34) + ":")} BLANK /"[0-9]{{1,4}}",/ BLANK')
    call = objects(grammar, tools, "tool_name", "parameters", first=f"BLANK {number}?")
    calls = several(grammar, call, 'BLANK "," BLANK')
    return f'BLANK "[" BLANK {calls} BLANK "]" BLANK {tag("<|END_ACTION|>")}'


def deepseek(grammar: Grammar, tools: Sequence[Tool]) -> str:
    """`<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{json}<｜tool▁call▁end｜>`; the older form has a fenced object."""
    begin, separator, end = (tag(f"<｜tool▁{part}｜>") for part in ("call▁begin", "sep", "call▁end"))
    calls = []
    for tool in tools:
        name, arguments = quote(tool.name), grammar.arguments(tool)
        calls.append(f"{name} {separator} {arguments}")
        if grammar.loose:
            calls.append(f'"function" {separator} {name} "\\n```json\\n" {arguments} "\\n```"')
    call = grammar.rule("call", f"{begin} ({' | '.join(calls)}) {end}")
    return f"{grammar.gap} {several(grammar, call, 'NL?')} NL? {tag('<｜tool▁calls▁end｜>')}"


def kimi(grammar: Grammar, tools: Sequence[Tool]) -> str:
    """`<|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{json}<|tool_call_end|>`."""
    begin, middle, end = (tag(f"<|tool_call_{part}|>") for part in ("begin", "argument_begin", "end"))
    names = [(quote(f"functions.{tool.name}:"), grammar.arguments(tool)) for tool in tools]
    calls = [f"{name} /[0-9]{{1,4}}/ {middle} {arguments}" for name, arguments in names]
    call = grammar.rule("call", f"{begin} ({' | '.join(calls)}) {end}")
    return f"{several(grammar, call, 'NL?')} {tag('<|tool_calls_section_end|>')}"


# --- argument by argument -------------------------------------------------------------------------------------------


class Tagged(Value, frozen=True):
    """Parameters between tags: `{key}` and `{name}` stand for what they are called.  `typed`: see `Grammar.bare`."""

    call: str
    parameter: str
    value_ends: str
    call_ends: str
    section_ends: str = ""
    typed: bool = False
    tells_type: bool = False
    value_opens: str = ""

    def __call__(self, grammar: Grammar, tools: Sequence[Tool]) -> str:
        """The rule for what follows the opening tag."""
        calls = [grammar.rule("call", self._call(grammar, tool)) for tool in tools]
        if not self.section_ends:
            return either(calls)
        return f"{several(grammar, either(calls), 'NL?')} {grammar.edge} {tag(self.section_ends)}"

    def _call(self, grammar: Grammar, tool: Tool) -> str:
        starts = self.parameter.partition("{key}")[0]
        begins = self.call.partition("{name}")[0]
        never = [text for text in (starts, self.value_opens, begins, self.call_ends, self.section_ends) if text]

        def write(key: str, schema: JSONObject | None) -> str:
            before, after = map(quote, self.parameter.split("{key}"))
            if self.tells_type:
                kinds = kinds_of(schema or {}) or ["string"]
                told = [word for word, fits in (("true", "string" in kinds), ("false", kinds != ["string"])) if fits]
                after = either([quote(f'" string="{word}">') for word in told])
            opens = f"NL? {quote(self.value_opens)}" if self.value_opens else ""
            value = bare(grammar, schema, self.value_ends, tool, never, typed=self.typed)
            return " ".join(filter(None, (before, key, after, opens, f"({value})", "NL?")))

        head = quote(self.call.replace("{name}", tool.name))
        return f"{grammar.edge} {head} {grammar.edge} {grammar.parameters(tool, write)} NL? {tag(self.call_ends)}"


class Python(Value, frozen=True):
    """`f(a="x", b=1)`, in a list or one a line.  Values are JSON, which the parser reads as well as Python's own."""

    section_ends: str
    listed: bool

    def __call__(self, grammar: Grammar, tools: Sequence[Tool]) -> str:
        """The rule for what follows the opening tag.  Raises Unsupported for names that are none in Python."""
        calls = either([grammar.rule("call", self._call(grammar, tool)) for tool in tools])
        if self.listed:
            return f'"[" {several(grammar, calls, _COMMA)} "]" {tag(self.section_ends)}'
        return f"NL? {several(grammar, calls, 'NL')} NL? {tag(self.section_ends)}"

    def _call(self, grammar: Grammar, tool: Tool) -> str:
        try:
            schema = grammar.sound(of_object(tool.parameters))
            require(schema, OBJECT_KEYS, "$")
        except Unsupported as err:
            raise grammar.unsupported(tool, err) from err
        parts = []
        for key, described in (schema.get("properties") or {}).items():
            one = described if isinstance(described, dict) else {}
            value = f"{quote(_name(key) + '=')} {grammar.json(grammar.whole(one, tool, key), tool)}"
            parts.append((value, key in schema.get("required", ())))
        return f'{quote(_name(tool.name) + "(")} {commas(grammar, parts, _COMMA)} ")"'


def _name(name: str) -> str:
    if not all(part.isidentifier() for part in name.split(".")):
        raise Unsupported(f"calls with the name {name!r} cannot be enforced: this model writes them as Python does")
    return name
