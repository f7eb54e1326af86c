"""Grammars of tool calls, as templates write them, compiled: what a model may say then."""

from collections.abc import Callable

import pytest
from byte_texts import Bytes, accepts

from corral import BadRequest, Constraint, Conversation, Tool
from corral_grammar.state import GrammarState
from corral_templates.output.choice import Style
from corral_templates.output.families import BUILT_IN
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


def strict(parameters: object) -> Tool:
    return Tool(name="pay", parameters=parameters, wire={"function": {"strict": True}})  # type: ignore[arg-type]


def union(first: str, second: str) -> dict[str, object]:
    """Parameters as pydantic writes a union whose members tell by `kind` what they are."""
    members = {
        name: {"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]}
        for name, kind in (("A", first), ("B", second))
    }
    one_of = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in members], "discriminator": {"propertyName": "kind"}}
    return {"type": "object", "properties": {"v": one_of}, "required": ["v"], "$defs": members}


def test_a_union_holds_in_a_strict_tool(build: Build, texts: Bytes) -> None:
    made = constrain(TAG, Conversation(tools=(strict(union("cash", "card")),)), None, "auto")
    assert made is not None
    for kind, fits in (("cash", True), ("card", True), ("shell", False)):
        call = f'<tool_call>\n{{"name": "pay", "arguments": {{"v": {{"kind": "{kind}"}}}}}}\n</tool_call>'
        assert accepts(build("lark", made.source), texts, call) is fits, kind


@pytest.mark.parametrize(
    ("parameters", "place"),
    [
        (union("cash", "cash"), r"\$\.properties\.v\.oneOf cannot be enforced"),
        ({"properties": {"v": {"not": {}}}}, r"\$\.properties\.v\.not cannot be enforced$"),
        (
            {"properties": {"v": {"type": "integer", "minimum": 3, "maximum": 1}}, "required": ["v"]},
            "invalid .* at .*v:",
        ),
    ],
)
@pytest.mark.parametrize("tag", ["<tool_call>", "[TOOL_CALLS][", "<function="])
def test_a_refusal_names_the_tool_and_the_path(build: Build, parameters: object, place: str, tag: str) -> None:
    style = Style(tag, None, tag, ())
    for tool, choice in ((strict(parameters), "auto"), (Tool(name="pay", parameters=parameters), "required")):  # type: ignore[arg-type]
        made = constrain(style, Conversation(tools=(*TOOLS[:1], tool)), None, choice)
        assert made is not None
        with pytest.raises(BadRequest, match=rf"^tools\[1\] \(pay\): {place}"):
            build("lark", made.source)


@pytest.mark.parametrize("parameters", [{"type": "string"}, {"anyOf": [{"type": "object"}, {"type": "null"}]}])
@pytest.mark.parametrize(
    "style", [TAG, Style("", None, "", BUILT_IN, "glm-4.7"), Style("", None, "", BUILT_IN, "olmo3")]
)
def test_arguments_must_be_an_object(parameters: object, style: Style) -> None:
    tool = Tool(name="pay", parameters=parameters)  # type: ignore[arg-type]
    for choice in ("required", "pay"):
        with pytest.raises(BadRequest, match=r"^tools\[0\] \(pay\): \$\.type must be object"):
            constrain(style, Conversation(tools=(tool,)), None, choice)


@pytest.mark.parametrize("parameters", [{"type": ["object", "null"]}, {"description": "anything"}, {"type": "string"}])
def test_arguments_are_an_object_whatever_else_is_allowed(build: Build, texts: Bytes, parameters: object) -> None:
    tool = Tool(name="pay", parameters=parameters)  # type: ignore[arg-type]
    made = constrain(TAG, Conversation(tools=(tool,)), None, "auto")
    assert made is not None
    for value, fits in (('{"a": 1}', True), ("null", False), ('"a"', False)):
        call = f'<tool_call>\n{{"name": "pay", "arguments": {value}}}\n</tool_call>'
        assert accepts(build("lark", made.source), texts, call) is fits, value
