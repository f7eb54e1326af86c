"""Grammars for answers in which a tool must be called."""

import json

import pytest

from corral import Constraint, Conversation, Tool, Unsupported
from corral_templates.output.choice import Style
from corral_templates.output.families import BUILT_IN
from corral_templates.output.forcing import constrain

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED = Conversation(tools=(Tool(name="get_weather", parameters=SCHEMA), Tool(name="get_time")))
JSON_TAG = Style("<tool_call>", None, "<tool_call>", BUILT_IN)


def grammar(style: Style, content: Constraint | None, tool_choice: str) -> list[str]:
    made = constrain(style, ASKED, content, tool_choice)
    assert made is not None
    assert made.kind == "lark"
    return made.source.splitlines()


def names(rules: list[str]) -> list[str]:
    heads = [json.loads(rule.split(": ", 1)[1].split(" arguments")[0]) for rule in rules if rule.startswith("tool")]
    return [head.split('"')[3] for head in heads]


def test_everything_is_allowed_unless_something_is_asked() -> None:
    assert constrain(JSON_TAG, ASKED, None, "auto") is None


def test_a_required_call_is_of_any_tool() -> None:
    rules = grammar(JSON_TAG, None, "required")
    assert names(rules) == ["get_weather", "get_time"]
    assert rules[-2:] == ["calls: call (NEWLINE? call)*", "start: calls"]
    assert 'call: "<tool_call>" NEWLINE? object NEWLINE? "</tool_call>"' in rules


def test_a_named_call_is_of_that_tool_and_only_one() -> None:
    rules = grammar(JSON_TAG, None, "get_weather")
    assert names(rules) == ["get_weather"]
    assert "calls: call" in rules
    assert rules[:3] == [
        "object: tool0",
        r'tool0: "{\"name\": \"get_weather\", \"arguments\": " arguments0 "}"',
        f"arguments0: %json {json.dumps(SCHEMA)}",
    ]


@pytest.mark.parametrize(
    ("tag", "calls"),
    [
        ("[TOOL_CALLS]", 'calls: "[TOOL_CALLS][" object ("," " "? object)* "]"'),
        ("[", 'calls: "[" object ("," " "? object)* "]"'),
        ("{", "calls: object"),
        ("functools", 'calls: "functools" object'),
    ],
)
def test_the_tag_decides_how_a_call_is_dressed(tag: str, calls: str) -> None:
    assert calls in grammar(Style(tag, None, tag, ()), None, "required")


def test_the_template_decides_how_arguments_are_called() -> None:
    rules = grammar(Style('{"name": "f", "parameters": {}}', None, "{", ()), None, "get_time")
    assert r'"{\"name\": \"get_time\", \"parameters\": "' in rules[1]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (Constraint(kind="json"), 'content: %json {"type": "object"}'),
        (Constraint(kind="json_schema", source='{"type":"array"}'), 'content: %json {"type":"array"}'),
        (Constraint(kind="regex", source="a/b"), r"content: /a\/b/"),
    ],
)
def test_content_in_a_format_stands_beside_calls(content: Constraint, rule: str) -> None:
    assert grammar(JSON_TAG, content, "auto")[-2:] == [rule, "start: calls | content"]
    assert grammar(JSON_TAG, content, "required")[-1] == "start: calls"


def test_what_cannot_be_enforced_is_refused() -> None:
    with pytest.raises(Unsupported, match="a gbnf grammar cannot be combined with tools"):
        constrain(JSON_TAG, ASKED, Constraint(kind="gbnf", source="root ::= x"), "auto")
    own_notation = Style("<function_calls>", None, "{", BUILT_IN)
    with pytest.raises(Unsupported, match=r"tool_choice 'required' cannot be enforced: .* olmo3"):
        constrain(own_notation, ASKED, None, "required")
    assert constrain(own_notation, ASKED, None, "auto") is None


def test_only_strict_tools_are_held_to_their_schemas_by_themselves() -> None:
    wire = {"type": "function", "function": {"name": "get_weather", "strict": True}}
    tools = (Tool(name="get_weather", parameters=SCHEMA, wire=wire), Tool(name="get_time", parameters=SCHEMA))
    asked = Conversation(tools=tools)
    made = constrain(JSON_TAG, asked, None, "auto")
    assert made is not None
    rules = made.source.splitlines()
    assert f"arguments0: %json {json.dumps(SCHEMA)}" in rules
    assert 'arguments1: %json {"type": "object"}' in rules
    assert rules[-1] == "start: call* rest"
    assert constrain(Style("{", None, "{", BUILT_IN), asked, None, "auto") is None
    assert constrain(Style("<function_calls>", None, "<x>", BUILT_IN), asked, None, "auto") is None
