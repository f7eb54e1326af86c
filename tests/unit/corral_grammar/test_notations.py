"""Whatever a grammar of calls allows, the same family's parser reads as calls that fit their schemas."""

import json
import re
from collections.abc import Callable

import jsonschema
import pytest
from byte_texts import Bytes, accepts, write_at_random

from corral import BadRequest, Conversation, Piece, Tool, Unsupported
from corral_grammar.state import GrammarState
from corral_templates.output.choice import Style, parser_for
from corral_templates.output.families import BUILT_IN
from corral_templates.output.forcing import constrain

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 6},
        "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "sure": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        "place": {"$ref": "#/$defs/place"},
        "note": {"type": ["string", "null"], "maxLength": 4},
    },
    "required": ["city", "days", "place"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
}
BARE = {**SCHEMA, "properties": {key: value for key, value in SCHEMA["properties"].items() if key != "place"}}  # type: ignore[attr-defined]
BARE["required"] = ["city", "days"]
UNIONS: dict[str, dict[str, object]] = {
    "pay": {"oneOf": [{"$ref": "#/$defs/cash"}, {"$ref": "#/$defs/card"}], "discriminator": {"propertyName": "kind"}},
    "who": {"anyOf": [{"$ref": "#/$defs/person"}, {"type": "string", "maxLength": 4}, {"type": "null"}]},
    "many": {
        "anyOf": [{"type": "string", "maxLength": 5}, {"type": "array", "items": {"type": "string", "maxLength": 2}}]
    },
    "age": {
        "oneOf": [{"type": "integer", "minimum": 10, "maximum": 99}, {"type": "string", "minLength": 2, "maxLength": 5}]
    },
    "unit": {"enum": ["a", "5", 5, None, True]},
    "size": {"type": ["integer", "string"], "minLength": 1, "maxLength": 4},
    "name": {"$ref": "#/$defs/name"},
}
DEFS = {
    **{
        kind: {
            "type": "object",
            "properties": {"kind": {"const": kind}, "sum": {"type": "integer", "minimum": 0, "maximum": 9}},
            "required": ["kind"],
        }
        for kind in ("cash", "card")
    },
    "person": {"type": "object", "properties": {"child": {"$ref": "#/$defs/person"}}},
    "name": {"anyOf": [{"const": "Ada"}, {"const": "Bob"}]},
}
TOOLS = (Tool(name="get_weather", parameters=SCHEMA), Tool(name="get_time", parameters={"type": "object"}))
FAMILIES = {
    "cohere": (
        '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "get_weather", '
        '"parameters": {"city": "Graz", "days": 2}}]<|END_ACTION|>'
    ),
    "deepseek3": (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": '
        '"Graz", "days": 2}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
    ),
    "glm-4.7": (
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Graz</arg_value>"
        "\n<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>"
    ),
    "seed-oss": (
        "<seed:tool_call>\n<function=get_weather>\n<parameter=city>Graz</parameter>\n"
        "<parameter=days>2</parameter>\n</function>\n</seed:tool_call>"
    ),
    "qwen3-coder": (
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nGraz\n</parameter>\n"
        "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>"
    ),
    "minimax": (
        '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">'
        'Graz</parameter>\n<parameter name="days">2</parameter>\n</invoke>\n'
        "</minimax:tool_call>"
    ),
    "deepseek3.2": (
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter '
        'name="city" string="true">Graz</｜DSML｜parameter>\n<｜DSML｜parameter '
        'name="days" string="false">2</｜DSML｜parameter>\n</｜DSML｜invoke>\n'
        "</｜DSML｜function_calls>"
    ),
    "olmo3": '<function_calls>\nget_weather(city="Graz", days=2)\n</function_calls>',
    "lfm2": '<|tool_call_start|>[get_weather(city="Graz", days=2)]<|tool_call_end|>',
    "harmony": (
        '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Graz", "days": 2}<|call|>'
    ),
    "gemma4": '<|tool_call>call:get_weather{city:<|"|>Graz<|"|>,days:2}<tool_call|>',
    "functiongemma": "<start_function_call>call:get_weather{city:<escape>Graz<escape>,days:2}<end_function_call>",
    "glimmer": (
        ' to=get_weather<|message|><atem:function_calls>\n<atem:invoke name="get_weather">\n'
        '<atem:parameter name="city">Graz</atem:parameter>\n<atem:parameter name="days">2</atem:parameter>\n'
        "</atem:invoke>\n</atem:function_calls><|eot|>"
    ),
}
HEADED = {"harmony", "glimmer"}
GENERIC = {
    "<tool_call>": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Graz", "days": 2}}\n</tool_call>',
    "[TOOL_CALLS]": '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Graz", "days": 2}}]',
    "[TOOL_CALLS] [": '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Graz", "days": 2}}]',
    "[ARGS]": '[TOOL_CALLS]get_weather[ARGS]{"city": "Graz", "days": 2}',
    "{": '{"name": "get_weather", "arguments": {"city": "Graz", "days": 2}}',
    "[": '[{"name": "get_weather", "arguments": {"city": "Graz", "days": 2}}]',
    "functools": 'functools[{"name": "get_weather", "arguments": {"city": "Graz", "days": 2}}]',
    "Calls: [": 'Calls: [{"name": "get_weather", "arguments": {"city": "Graz", "days": 2}}]',
    "Action:": 'Action:{"name": "get_weather", "arguments": {"city": "Graz", "days": 2}}',
    "<|tool_call|>": '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Graz", "days": 2}}]',
    "<TOOLCALL>": '<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Graz", "days": 2}}]</TOOLCALL>',
    "<function=": '<function=get_weather>{"city": "Graz", "days": 2}</function>',
    "<|tool_calls_section_begin|>": (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
        '<|tool_call_argument_begin|>{"city": "Graz", "days": 2}<|tool_call_end|>'
        "<|tool_calls_section_end|>"
    ),
}
CALLS = FAMILIES | GENERIC
BARE_TEXT = {
    "seed-oss",
    "qwen3-coder",
    "minimax",
    "deepseek3.2",
    "glimmer",
}  # a reference says nothing of how a value is written
Build = Callable[..., GrammarState]


def style_of(name: str) -> Style:
    if name in FAMILIES:
        style = Style("", None, "{", ())
        style.family = next(family for family in BUILT_IN if name in family.names)
        return style
    return Style("[ARGS]" if name == "[ARGS]" else "", None, "[TOOL_CALLS]" if name == "[ARGS]" else name, ())


def read(style: Style, tools: tuple[Tool, ...], text: str) -> tuple[str, list[tuple[str, object]]]:
    """The content, and the calls by name and arguments."""
    parser = parser_for(style, Conversation(tools=tools), "")
    pieces: list[Piece] = [*parser.push(text), *parser.finish()]
    return "".join(piece.text for piece in pieces), [
        (call.name, call.arguments) for piece in pieces for call in piece.tool_calls
    ]


def tools_for(name: str) -> tuple[Tool, ...]:
    return (Tool(name="get_weather", parameters=BARE), TOOLS[1]) if name in BARE_TEXT else TOOLS


@pytest.mark.parametrize("name", CALLS)
def test_the_familys_own_call_is_allowed(build: Build, texts: Bytes, name: str) -> None:
    style, tool = style_of(name), Tool(name="get_weather", parameters=BARE)
    for choice in ("required", "get_weather", "auto"):
        made = constrain(style, Conversation(tools=(tool,)), None, choice)
        assert made is not None
        assert accepts(build("lark", made.source), texts, CALLS[name]), made.source
        wrong = (
            CALLS[name].replace("Graz", "Bratislava")
            if "name" not in CALLS[name]
            else CALLS[name].replace("days", "nights")
        )
        assert not accepts(build("lark", made.source), texts, wrong), choice
    content, calls = read(style, (tool,), CALLS[name])
    assert (content.strip(), calls) == ("", [("get_weather", {"city": "Graz", "days": 2})])


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("choice", ["required", "get_weather"])
def test_what_is_allowed_is_read_and_fits(build: Build, texts: Bytes, name: str, choice: str) -> None:
    style, tools = style_of(name), tools_for(name)
    schemas = {tool.name: tool.parameters for tool in tools}
    made = constrain(style, Conversation(tools=tools, think=False), None, choice)
    assert made is not None
    finished = 0
    for seed in range(12):
        text = write_at_random(build("lark", made.source), texts, seed, most=1500)
        if text is None:
            continue
        finished += 1
        content, calls = read(style, tools, text)
        assert not content.strip(), text
        assert calls, text
        assert len(calls) == 1 or choice == "required"
        for called, arguments in calls:
            jsonschema.validate(arguments, schemas[called])
            json.loads(json.dumps(arguments, allow_nan=False))
    assert finished > 2


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("{", "[")])
def test_text_is_free_until_a_call_begins(build: Build, texts: Bytes, name: str) -> None:
    tool = Tool(name="get_weather", parameters=BARE)
    made = constrain(style_of(name), Conversation(tools=(tool,)), None, "auto")
    assert made is not None
    for text in (
        "",
        "Hello é {",
        f"Let me see. {CALLS[name]}",
        f"{CALLS[name]} Done.",
        f"{CALLS[name]}\n{CALLS[name]}",
    ):
        assert accepts(build("lark", made.source), texts, text), text
    assert not accepts(build("lark", made.source), texts, f"Well. {CALLS[name]}".replace("days", "nights"))


@pytest.mark.parametrize("name", ["{", "["])
def test_without_a_tag_a_call_is_held_where_the_answer_begins(build: Build, texts: Bytes, name: str) -> None:
    made = constrain(style_of(name), Conversation(tools=(Tool(name="get_weather", parameters=BARE),)), None, "auto")
    assert made is not None
    call = CALLS[name]
    for text in (
        "",
        "Hello",
        '{"a": 1}',
        "[1, 2]",
        "[",
        '{"name": "other", "arguments": 7}',
        call,
        f"\n{call} and",
        f"So {call}",
    ):
        assert accepts(build("lark", made.source), texts, text), text
    assert accepts(build("lark", made.source), texts, f"So {call}".replace("days", "nights")), (
        "no call: text came first"
    )
    assert not accepts(build("lark", made.source), texts, call.replace("days", "nights"))


@pytest.mark.parametrize("name", ["functools", "Calls: [", "Action:"])
def test_words_that_open_calls_are_words_too(build: Build, texts: Bytes, name: str) -> None:
    tools = (Tool(name="get_weather", parameters=BARE), Tool(name="get_time", parameters={"type": "object"}))
    made = constrain(style_of(name), Conversation(tools=tools), None, "auto")
    assert made is not None
    call = CALLS[name]
    for text in (f"Use {name} for it.", f"{name} {{", f'{name}{{"name": "other"}}', f"{name} [1, 2]] and {call}"):
        assert accepts(build("lark", made.source), texts, text), text
    other = call.replace("get_weather", "get_time").replace("days", "nights")
    assert accepts(build("lark", made.source), texts, other)
    if name != "Action:":
        two = call[:-1] + "," + call[call.index("{") :]
        assert accepts(build("lark", made.source), texts, two)
        assert len(read(style_of(name), tools, two)[1]) == 2
        assert not accepts(build("lark", made.source), texts, two.replace("days", "nights"))


UNENFORCED = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}, "required": ["a"]}


@pytest.mark.parametrize("name", CALLS)
def test_what_cannot_be_enforced_is_left_to_the_parser_unless_it_is_asked_for(
    build: Build, texts: Bytes, name: str
) -> None:
    style, tool = style_of(name), Tool(name="get_weather", parameters={**UNENFORCED, "not": {}})
    other = Tool(name="get_time", parameters=BARE)
    made = constrain(style, Conversation(tools=(tool, other)), None, "auto")
    if made is not None:
        timely = CALLS[name].replace("get_weather", "get_time")
        assert accepts(build("lark", made.source), texts, timely)
        assert not accepts(build("lark", made.source), texts, timely.replace("days", "nights"))
    strict = Tool(name="get_weather", parameters=tool.parameters, wire={"function": {"strict": True}})
    for asked, choice in ((tool, "required"), (strict, "auto")):
        with pytest.raises(Exception, match=r"^tools\[0\] \(get_weather\): \$\.(not|properties\.a\.uniqueItems)"):
            build(*unpacked(constrain(style, Conversation(tools=(asked,)), None, choice)))


def unpacked(made: object) -> tuple[str, str]:
    return "lark", made.source  # type: ignore[attr-defined]


def test_names_that_are_none_in_python() -> None:
    odd = Conversation(tools=(Tool(name="get-weather"),))
    assert constrain(style_of("olmo3"), odd, None, "auto") is None
    with pytest.raises(Unsupported, match="'get-weather' cannot be enforced"):
        constrain(style_of("olmo3"), odd, None, "required")


TAGGED = {"seed-oss", "qwen3-coder", "minimax", "deepseek3.2", "glimmer", "glm-4.7"}
VALUES = {  # of each union: what fits, in the bare text of a call, and what does not
    "pay": (['{"kind": "cash", "sum": 1}', '{"kind": "card"}'], ['{"kind": "shell"}', "cash", "7"]),
    "who": (['{"child": {}}', "Ada", "null"], ["Ada Lovelace", '{"child": 7}']),
    "many": (["x [1]", '["a", "b"]', "7"], ["[7]", '["abc"]']),
    "age": (["25", "old"], ["7", "100", "x"]),
    "unit": (["a", "5", "null", "true"], ["b", "6", "false"]),
    "size": (["15", "XL"], []),
    "name": (["Ada", "Bob"], ["Eve"]),
}


def with_union(key: str) -> Tool:
    schema = {"type": "object", "properties": {key: UNIONS[key]}, "required": [key], "$defs": DEFS}
    return Tool(name="f", parameters=schema, wire={"function": {"strict": True}})


@pytest.mark.parametrize("name", sorted(TAGGED - {"glm-4.7"}))
@pytest.mark.parametrize("key", UNIONS)
def test_an_argument_of_several_types_fits_one_of_them(build: Build, texts: Bytes, name: str, key: str) -> None:
    style, tool = style_of(name), with_union(key)
    for choice in ("required", "auto"):
        made = constrain(style, Conversation(tools=(tool,), think=False), None, choice)
        assert made is not None
        assert made.kind == "lark"
        for fits in (True, False):
            for value in VALUES[key][not fits]:
                text = CALLS[name].replace("get_weather", "f").replace("city", key).replace("Graz", value)
                text = text.replace('string="true"', 'string="false"') if fits and key == "pay" else text
                start, end = re.search(r"\n<[^\n]*days.*?2\s*</[^\n]*", text, re.S).span()  # type: ignore[union-attr]
                text = text[:start] + text[end:]
                assert accepts(build("lark", made.source), texts, text) is fits, (text, made.source)
                if fits:
                    ((_, arguments),) = read(style, (tool,), text)[1]
                    jsonschema.validate(arguments, tool.parameters)


@pytest.mark.parametrize("name", sorted(TAGGED))
@pytest.mark.parametrize("key", UNIONS)
def test_what_is_allowed_of_several_types_is_read_as_one_of_them(
    build: Build, texts: Bytes, name: str, key: str
) -> None:
    style, tool = style_of(name), with_union(key)
    made = constrain(style, Conversation(tools=(tool,), think=False), None, "f")
    assert made is not None
    finished = 0
    for seed in range(8):
        text = write_at_random(build("lark", made.source), texts, seed, most=1500)
        if text is not None:
            finished += 1
            ((_, arguments),) = read(style, (tool,), text)[1]
            jsonschema.validate(arguments, tool.parameters)
    assert finished


@pytest.mark.parametrize(
    ("described", "path"),
    [
        ({"anyOf": [{"type": "string", "pattern": "a"}, {"type": "null"}]}, "$.properties.v.anyOf[0].pattern"),
        ({"oneOf": [{"type": "string", "minLength": 1}, {"type": "string"}]}, "$.properties.v.oneOf"),
        ({"anyOf": [{"type": "string"}, {}]}, "$.properties.v.anyOf[1]"),
        ({"anyOf": [{"type": "string"}, {"type": "array", "contains": {}}]}, "$.properties.v.anyOf[1].contains"),
        ({"anyOf": [{"type": "string"}, {"const": True}]}, "$.properties.v.anyOf[1]"),
        ({"pattern": "a"}, "$.properties.v.pattern"),
        ({"type": "string", "maxLength": 100_000}, "$.properties.v.maxLength"),
        ({"anyOf": [{"type": "null"}, {"type": "string", "minLength": 501}]}, "$.properties.v.anyOf[1].minLength"),
    ],
)
def test_unions_that_cannot_be_enforced_are_refused_by_their_path(build: Build, described: object, path: str) -> None:
    parameters = {"type": "object", "properties": {"v": described}, "required": ["v"]}
    strict = Tool(name="f", parameters=parameters, wire={"function": {"strict": True}})
    with pytest.raises(BadRequest, match=re.escape(f"tools[0] (f): {path} cannot be enforced")):
        build(*unpacked(constrain(style_of("qwen3-coder"), Conversation(tools=(strict,)), None, "auto")))


@pytest.mark.parametrize("name", ["qwen3-coder", "olmo3"])
@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"type": [1]}, "invalid JSON schema: $.type must be"),
        ({"type": "object", "properties": []}, "invalid JSON schema: $.properties must be"),
        ({"type": "object", "properties": {"v": 7}}, "invalid JSON schema: $.properties must be"),
        (
            {"type": "object", "properties": {"v": {"$ref": "http://x/y"}}},
            "$.properties.v.$ref 'http://x/y' is outside",
        ),
    ],
)
def test_what_is_no_schema_is_refused(name: str, parameters: dict[str, object], said: str) -> None:
    with pytest.raises(Unsupported, match=re.escape(f"tools[0] (f): {said}")):
        constrain(style_of(name), Conversation(tools=(Tool(name="f", parameters=parameters),)), None, "required")
