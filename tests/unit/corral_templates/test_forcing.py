"""Grammars for answers in which a tool must be called, or may be.  What they allow: tests/unit/corral_grammar."""

import json
import re

import pytest
from msgspec.structs import replace

from corral import Constraint, Conversation, Message, Tool, Unsupported
from corral_templates.output.choice import PlainText, Style, parser_for
from corral_templates.output.families import BUILT_IN
from corral_templates.output.family import Answer, OutputFamily
from corral_templates.output.forcing import constrain

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED = Conversation(tools=(Tool(name="get_weather", parameters=SCHEMA), Tool(name="get_time")))
JSON_TAG = Style("<tool_call>", None, "<tool_call>", BUILT_IN)


def own_parser(_: Answer) -> PlainText:
    return PlainText()


def grammar(style: Style, content: Constraint | None, tool_choice: str, asked: Conversation = ASKED) -> str:
    made = constrain(style, asked, content, tool_choice)
    assert made is not None
    assert made.kind.removesuffix("?") == "lark"
    return made.source


def names(source: str) -> list[str]:
    return re.findall(r'\\"(get_\w+)\\"', source)


def schemas(source: str) -> list[object]:
    found = [json.loads(each) for each in re.findall(r"^arguments\d+: %json (.*)$", source, re.MULTILINE)]
    assert all(schema.pop("x-place")["of"].startswith("tools[") for schema in found)
    return found


@pytest.mark.parametrize("tag", ["[", "functools"])
def test_calls_are_held_where_a_word_of_a_language_opens_them(tag: str) -> None:
    assert schemas(grammar(Style(tag, None, tag, ()), None, "auto"))
    assert grammar(Style(tag, None, tag, ()), None, "required")


def test_without_tools_everything_is_allowed() -> None:
    assert constrain(JSON_TAG, Conversation(), None, "auto") is None


def test_a_required_call_is_of_any_tool() -> None:
    source = grammar(JSON_TAG, None, "required")
    assert names(source) == ["get_weather", "get_time"]
    assert schemas(source) == [SCHEMA, {"type": "object", "properties": {}}]  # who declares no parameters has none


def test_a_named_call_is_of_that_tool() -> None:
    source = grammar(JSON_TAG, None, "get_weather")
    assert names(source) == ["get_weather"]
    assert schemas(source) == [SCHEMA]


def test_the_template_decides_how_arguments_are_called() -> None:
    assert r"\"parameters\":" in grammar(Style('{"name": "f", "parameters": {}}', None, "{", ()), None, "get_time")
    assert r"\"arguments\":" in grammar(JSON_TAG, None, "get_time")


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (Constraint(kind="json"), '%json {"type": "object"}'),
        (Constraint(kind="json_schema", source='{"type":"array"}'), '%json {"type":"array"}'),
        (Constraint(kind="regex", source="a/b"), r"/a\/b/"),
    ],
)
def test_content_in_a_format_stands_beside_calls(content: Constraint, rule: str) -> None:
    source = grammar(JSON_TAG, content, "auto")
    name = source.splitlines()[-1].rpartition(" | ")[2]
    assert f"\n{name}: {rule}\n" in source
    assert rule not in grammar(JSON_TAG, content, "required").splitlines()[-1]


def test_what_cannot_be_enforced_is_refused() -> None:
    with pytest.raises(Unsupported, match="a gbnf grammar cannot be combined with tools"):
        constrain(JSON_TAG, ASKED, Constraint(kind="gbnf", source="root ::= x"), "auto")
    own_notation = Style(
        "<own>", None, "{", (OutputFamily(names=("own",), implied_by=lambda _: True, parser=own_parser),)
    )
    with pytest.raises(Unsupported, match=r"tool_choice 'required' cannot be enforced: .* as own does"):
        constrain(own_notation, ASKED, None, "required")
    assert constrain(own_notation, ASKED, None, "auto") is None


@pytest.mark.parametrize("name", ["harmony", "glimmer"])
def test_messages_are_held_from_the_first_on(name: str) -> None:
    style = Style("", None, "{", BUILT_IN, parser=name)
    assert parser_for(style, ASKED, "").answer_after == ""
    assert "thought" in grammar(style, None, "required")
    assert "thought" not in grammar(style, None, "required", replace(ASKED, think=False))
    begun = replace(ASKED, messages=(Message(role="user"), Message(role="assistant", content="So")))
    with pytest.raises(Unsupported, match="an answer that the request has begun"):
        constrain(style, begun, None, "required")
    assert constrain(style, begun, None, "auto")


@pytest.mark.parametrize(("name", "tool"), [("glimmer", "self"), ("glimmer", "a b"), ("harmony", "a<b")])
def test_names_that_no_header_can_hold(name: str, tool: str) -> None:
    style = Style("", None, "{", BUILT_IN, parser=name)
    with pytest.raises(Unsupported, match=f"calls of the tool '{tool}' cannot be enforced"):
        constrain(style, Conversation(tools=(Tool(name=tool),)), None, "required")


def test_only_strict_tools_must_be_held_to_their_schemas() -> None:
    wire = {"type": "function", "function": {"name": "get_weather", "strict": True}}
    tools = (Tool(name="get_weather", parameters=SCHEMA, wire=wire), Tool(name="get_time", parameters=SCHEMA))
    assert [constrain(JSON_TAG, Conversation(tools=each), None, "auto").kind for each in (tools, tools[1:])] == [  # type: ignore[union-attr]
        "lark",
        "lark?",
    ]
    held = schemas(grammar(JSON_TAG, None, "auto", Conversation(tools=tools)))
    assert held == [SCHEMA, {**SCHEMA, "x-if-possible": "object"}]
