"""Grammars of tool calls, as templates write them, compiled: what a model may say then."""

from collections.abc import Callable

import pytest
from byte_texts import Bytes, accepts

from corral import Constraint, Conversation, Tool
from corral_grammar.state import GrammarState
from corral_templates.output.choice import Style
from corral_templates.output.forcing import constrain

TREE = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "near": {"$ref": "#/$defs/place"}},
    "required": ["city"],
    "$defs": {"place": {"type": "object", "properties": {"near": {"$ref": "#/$defs/place"}}}},
}
TOOLS = (
    Tool(name="get_weather", parameters=TREE, wire={"function": {"name": "get_weather", "strict": True}}),
    Tool(name="get_time", parameters={"uniqueItems": "no schema at all"}),
)
GOOD = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Graz", "near": {"near": {}}}}\n</tool_call>'
WRONG = '<tool_call>\n{"name": "get_weather", "arguments": {"city": 7}}\n</tool_call>'
TAG = Style("<tool_call>", None, "<tool_call>", ())
Build = Callable[..., GrammarState]


@pytest.mark.parametrize(
    ("tag", "call"),
    [
        ("<tool_call>", GOOD),
        ("[TOOL_CALLS]", '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": ""}}]'),
        ("{", '{"name": "get_weather", "arguments": {"city": ""}}'),
    ],
)
def test_a_required_call_matches_its_tools_schema(build: Build, texts: Bytes, tag: str, call: str) -> None:
    asked = Conversation(tools=TOOLS[:1])
    made = constrain(Style(tag, None, tag, ()), asked, None, "required")
    assert made is not None
    assert accepts(build("lark", made.source), texts, call)
    assert not accepts(build("lark", made.source), texts, call.replace("get_weather", "get_time"))
    assert not accepts(build("lark", made.source), texts, call.replace("city", "town"))
    assert not accepts(build("lark", made.source), texts, "Hello")


def test_calls_or_content_in_a_format(build: Build, texts: Bytes) -> None:
    content = Constraint(kind="json_schema", source='{"enum": ["yes"]}')
    made = constrain(TAG, Conversation(tools=TOOLS[:1]), content, "auto")
    assert made is not None
    for text, fits in ((GOOD, True), (f"{GOOD}\n{GOOD}", True), ('"yes"', True), ("yes", False), (WRONG, False)):
        assert accepts(build("lark", made.source), texts, text) is fits, text


def test_strict_tools_leave_text_free_and_hold_calls_to_their_schemas(build: Build, texts: Bytes) -> None:
    made = constrain(TAG, Conversation(tools=TOOLS), None, "auto")
    assert made is not None
    other = GOOD.replace("get_weather", "get_time").replace("city", "anything")
    for text in ("", "Hello <tool> é\n{", GOOD, f"Let me see.\n{GOOD}", f"{GOOD}\n{other}", f"{GOOD} and"):
        assert accepts(build("lark", made.source), texts, text), text
    for text in (WRONG, f"Hello {WRONG}", GOOD.replace("get_weather", "get_all"), GOOD[:-3], f"{GOOD}{WRONG}"):
        assert not accepts(build("lark", made.source), texts, text), text
