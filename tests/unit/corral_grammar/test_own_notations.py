"""Families with a notation of their own: arguments of any schema are written, held and read without loss."""

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from byte_texts import Bytes, accepts, write_at_random
from hypothesis import HealthCheck, given, settings, strategies as st

from corral import Constraint, Conversation, Piece, Tool, Unsupported
from corral_grammar.compiler import GrammarCompiler
from corral_grammar.plugin import GrammarConfig
from corral_grammar.state import GrammarState
from corral_templates.output.choice import Style, parser_for
from corral_templates.output.families import BUILT_IN
from corral_templates.output.forcing import constrain

Build = Callable[..., GrammarState]
Pair = tuple[dict[str, Any], Any]  # a schema, and a value that fits it
QUOTES = {"gemma4": '<|"|>', "functiongemma": "<escape>"}
SECTIONS = {
    "gemma4": "<|tool_call>call:f{}<tool_call|>",
    "functiongemma": "<start_function_call>call:f{}<end_function_call>",
    "harmony": "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>",
}
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["a,b:{c}", "[1]", '"', "\\n", "\n", "null", " x ", "<|", "<escape", "}"]
)
NAMES = st.sampled_from(["a", "b", "first name", "x:y", "}", "Ü", "a.b", "$id"])


def scalars() -> st.SearchStrategy[Pair]:
    return st.one_of(
        TEXTS.map(lambda text: ({"type": "string", "minLength": len(text) // 2, "maxLength": 9}, text)),
        TEXTS.map(lambda text: ({"type": ["string", "null"]}, text)),
        st.integers(-99, 99).map(lambda n: ({"type": "integer", "minimum": -99, "maximum": 99}, n)),
        st.floats(-1e6, 1e6).map(lambda n: ({"type": "number"}, n)),
        st.booleans().map(lambda value: ({"type": "boolean"}, value)),
        st.tuples(TEXTS, st.integers(), st.none()).flatmap(
            lambda values: st.sampled_from(values).map(lambda value: ({"enum": [*values]}, value))
        ),
        st.just(({"type": "null"}, None)),
        TEXTS.map(lambda text: ({}, [text, {"k": text}, 1.5])),
    )


def inside(pairs: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    return st.one_of(objects(pairs), st.lists(pairs, min_size=1, max_size=2).map(array), pairs.map(union))


def array(pairs: list[Pair]) -> Pair:
    items = {"anyOf": [schema for schema, _ in pairs]}
    return {"type": "array", "items": items, "maxItems": 3}, [value for _, value in pairs]


def union(pair: Pair) -> Pair:
    return {"anyOf": [{"const": "none of it"}, pair[0]]}, pair[1]


def objects(pairs: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def made(found: dict[str, tuple[Pair, str]]) -> Pair:
        schema = {
            "type": "object",
            "properties": {name: pair[0] for name, (pair, _) in found.items()},
            "required": [name for name, (_, use) in found.items() if use == "required"],
        }
        return schema, {name: pair[1] for name, (pair, use) in found.items() if use != "absent"}

    uses = st.sampled_from(["required", "present", "absent"])
    return st.dictionaries(NAMES, st.tuples(pairs, uses), max_size=3).map(made)


ARGUMENTS = objects(st.recursive(scalars(), inside, max_leaves=4))


def bare(value: Any, quote: str) -> str:
    """The notation of both Gemmas, written without looking at a schema."""
    if isinstance(value, str):
        return quote + value + quote
    if isinstance(value, list):
        return f"[{','.join(bare(item, quote) for item in value)}]"
    if isinstance(value, dict):
        simple = {key: key if all(c.isascii() and (c.isalnum() or c in "_$.-") for c in key) else "" for key in value}
        return f"{{{','.join(f'{simple[key] or quote + key + quote}:{bare(value[key], quote)}' for key in value)}}}"
    return json.dumps(value)


def written(name: str, arguments: Any) -> str:
    text = bare(arguments, QUOTES[name]) if name in QUOTES else json.dumps(arguments, ensure_ascii=False)
    before, _, after = SECTIONS[name].partition("{}")
    return before + text + after


def read(name: str, tool: Tool, text: str) -> list[Any]:
    parser = parser_for(Style("", None, "{", BUILT_IN, name), Conversation(tools=(tool,), think=False), "")
    pieces: list[Piece] = [*parser.push(text), *parser.finish()]
    assert "".join(piece.text for piece in pieces) == ""
    return [call.arguments for piece in pieces for call in piece.tool_calls]


def forced(name: str, tool: Tool, choice: str = "f") -> Constraint:
    style = Style("", None, "{", BUILT_IN, name)
    made = constrain(style, Conversation(tools=(tool,), think=False), None, choice)
    assert made is not None
    return Constraint(kind="lark", source=made.source)


@pytest.mark.parametrize("name", SECTIONS)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(pair=ARGUMENTS, seed=st.integers(0, 10**6))
def test_arguments_of_any_schema(name: str, pair: Pair, seed: int) -> None:
    schema, arguments = pair
    tool, texts = Tool(name="f", parameters=schema), Bytes()
    compiler = GrammarCompiler(GrammarConfig())
    text = written(name, arguments)
    made = forced(name, tool)
    assert accepts(compiler.compile(made, texts), texts, text), (text, made.source)
    assert [json.dumps(each) for each in read(name, tool, text)] == [json.dumps(arguments)]
    drawn = write_at_random(compiler.compile(made, texts), texts, seed)
    if drawn is not None:
        (found,) = read(name, tool, drawn)
        jsonschema.validate(found, schema)


TREE = {
    "type": "object",
    "properties": {"v": {"$ref": "#/$defs/node"}},
    "required": ["v"],
    "$defs": {
        "node": {"type": "object", "properties": {"left": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}}},
    },
}


@pytest.mark.parametrize("name", SECTIONS)
def test_a_schema_that_recurs(build: Build, texts: Bytes, name: str) -> None:
    tool = Tool(name="f", parameters=TREE)
    for arguments, fits in (
        ({"v": {"left": {"left": {}, "n": 1}}}, True),
        ({"v": {"left": {"left": 7}}}, False),
        ({"v": {"right": {}}}, False),
        ({}, False),
    ):
        made = forced(name, tool)
        assert accepts(build("lark", made.source), texts, written(name, arguments)) is fits, arguments


@pytest.mark.parametrize("name", SECTIONS)
def test_how_many_properties_there_must_be(build: Build, texts: Bytes, name: str) -> None:
    schema = {"type": "object", "properties": {key: {"type": "integer"} for key in "abc"}, "minProperties": 2}
    made = forced(name, Tool(name="f", parameters=schema))
    for keys, fits in (("ab", True), ("ac", True), ("abc", True), ("a", False), ("c", False), ("", False)):
        text = written(name, dict.fromkeys(keys, 1))
        assert accepts(build("lark", made.source), texts, text) is fits, keys


@pytest.mark.parametrize("name", QUOTES)
@pytest.mark.parametrize(
    ("described", "path"),
    [
        ({"type": "string", "maxLength": 5000}, "$.properties.v.maxLength"),
        ({"type": "string", "minLength": 900}, "$.properties.v.minLength"),
        ({"type": [1]}, "invalid JSON schema: $.properties.v.type must be"),
        ({"type": "string", "pattern": "^a$"}, "$.properties.v.pattern"),
        ({"type": "string", "format": "date"}, "$.properties.v.(format|pattern)"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "$.properties.v.prefixItems"),
        ({"type": "object", "properties": {"w": {"not": {}}}}, "$.properties.v.properties.w.not"),
        ({"oneOf": [{"type": "string"}, {"minLength": 3}]}, "$.properties.v.oneOf"),
        ({"enum": ['<|"|>', "<escape>"]}, "$.properties.v"),
    ],
)
def test_what_cannot_be_written_is_refused_by_its_path(name: str, described: object, path: str) -> None:
    tool = Tool(name="f", parameters={"type": "object", "properties": {"v": described}})
    with pytest.raises(Unsupported, match=r"^tools\[0\] \(f\): " + path.replace("$", r"\$").replace(".", r"\.")):
        forced(name, tool, "required")


@pytest.mark.parametrize("name", SECTIONS)
def test_free_calls_are_held_with_control_tokens_around(build: Build, texts: Bytes, name: str) -> None:
    tool = Tool(name="f", parameters=TREE)
    made = forced(name, tool, "auto")
    good, wrong = written(name, {"v": {"n": 1}}), written(name, {"v": {"n": {}}})
    assert accepts(build("lark", made.source), texts, f"Let me {{see}}. {good}")
    assert not accepts(build("lark", made.source), texts, f"Let me {{see}}. {wrong}")
