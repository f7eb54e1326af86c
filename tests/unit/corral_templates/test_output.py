"""Answers: thinking split off, calls taken out, at every split of the stream."""

import json
import random

import pytest
from hypothesis import given, settings, strategies as st

from corral import Conversation, Tool
from corral.testing.template_contract import Read, read
from corral_templates.output.choice import Style, parser_for
from corral_templates.output.families import BUILT_IN
from corral_templates.output.generic import GenericCalls
from corral_templates.output.objects import Balance
from corral_templates.output.stream import Until, earliest, held_back
from corral_templates.output.thinking import ThinkingSplitter

SAY = Tool(name="say_hello")
SAY_WORLD = Tool(name="say_hello_world")
WEATHER = Tool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "exact": {"type": "boolean"},
            "where": {"type": "object"},
            "tags": {"type": ["array", "null"]},
            "x": {"type": "number"},
        },
    },
)
TOOLS = (SAY, SAY_WORLD, WEATHER)


def split(answer: str, *, inside: bool = False) -> tuple[str, str]:
    results = set()
    for size in (len(answer) + 1, 1, 2, 3, 5):
        splitter = ThinkingSplitter("<think>", "</think>", inside=inside)
        segments = [s for at in range(0, len(answer), size) for s in splitter.push(answer[at : at + size])]
        segments += splitter.finish()
        results.add(
            ("".join(s.text for s in segments if s.is_thinking), "".join(s.text for s in segments if not s.is_thinking))
        )
    assert len(results) == 1
    return results.pop()


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        ("<think> a </think> b", ("a ", "b")),
        ("x <think>y</think>", ("", "x <think>y</think>")),
        ("<think>a</think><think>b</think>c", ("a", "<think>b</think>c")),
        (" \n <think>\n\na</think>\n\nb", ("a", "b")),
        ("  plain", ("", "  plain")),
        ("<think>a </thi b", ("a </thi b", "")),
        ("<think>a</thi", ("a</thi", "")),
        ("<thi", ("", "<thi")),
        (" <thi", ("", " <thi")),
        ("<think></think>", ("", "")),
        ("", ("", "")),
    ],
)
def test_thinking(answer: str, want: tuple[str, str]) -> None:
    assert split(answer) == want


def test_thinking_that_the_prompt_began() -> None:
    assert split("a</think>\n b", inside=True) == ("a", "b")
    style = Style("", ("<think>", "</think>"), "{", ())
    for prompt, want in (("assistant\n<think>\n", ("b", "a")), ("assistant\n", ("a</think>b", ""))):
        parser = parser_for(style, Conversation(think=True), prompt)
        assert read(parser, ["a</think>b"])[:2] == want
        assert parser.answer_after == "</think>"
        assert parser.thinking_opens == ("" if "<think>" in prompt else "<think>")
    assert read(parser_for(style, Conversation(think=False), "<think>"), ["a</think>b"]) == ("a</think>b", "", [])


def calls(answer: str, tag: str = "<tool_call>") -> tuple[str, list[tuple[str, object]]]:
    results = [
        read(GenericCalls(tag, TOOLS), [answer[at : at + size] for at in range(0, len(answer), size)])
        for size in (len(answer) + 1, 1, 2, 7)
    ]
    assert all(result == results[0] for result in results)
    content, _, found = results[0]
    assert [call.index for call in found] == list(range(len(found)))
    return content, [(call.name, call.arguments) for call in found]


ROME = {"city": "Rome"}


@pytest.mark.parametrize(
    ("tag", "answer", "content", "found"),
    [
        # tagged
        ("<tool_call>", 'Hi <tool_call>{"name": "get_weather", "arguments": {"city": "Rome"}}</tool_call>', "Hi ", 1),
        *(
            ("<tool_call>", f'<tool_call>{{"get_weather": {{"city": "Rome"}}}}{"</tool_call>"[:length]}', "", 1)
            for length in range(12)
        ),
        ("<tool_call>", '<tool_call>{"get_weather": {"city": "Rome"}} 3 <', "3 <", 1),
        ("<tool_call>", '<tool_call>{"arguments": {"city": "Rome"}, "name": "get_weather"}', "", 1),
        ("<tool_call>", '<tool_call>{"name": "get_weather", "parameters": "{\\"city\\": \\"Rome\\"}"}', "", 1),
        ("<tool_call>", '<tool_call>{"get_weather": {"city": "Rome"}}', "", 1),
        ("<tool_call>", '<tool_call>get_weather {"city": "Rome"}', "", 1),
        ("<tool_call>", '<tool_call>{"function": {"name": "get_weather", "arguments": {"city": "Rome"}}}', "", 1),
        ("<tool_call>", '<tool_call>[{"x": [{"name": "get_weather", "arguments": {"city": "Rome"}}]}]', "", 1),
        ("[TOOL_CALLS]", '[TOOL_CALLS]get_weather[ARGS]{"city": "Rome"}', "", 1),
        ("<function=", '<function=get_weather>{"city": "Rome"}</function>', "", 1),
        (
            "<tool_call>",
            '<tool_call>{"name": "get_weather", "arguments": {"city": "Rome"}}</tool_call> bye',
            "</tool_call> bye",
            1,
        ),
        ("<tool_call>", "no calls <tool", "no calls <tool", 0),
        (
            "<tool_call>",
            '<tool_call>{"name": "nobody", "arguments": {}}',
            '<tool_call>{"name": "nobody", "arguments": {}}',
            0,
        ),
        ("<tool_call>", '<tool_call>{"name": "get_weather"', '<tool_call>{"name": "get_weather"', 0),
        # a bracket as the tag
        ("{", '{"name": "get_weather", "parameters": {"city": "Rome"}}', "", 1),
        ("{", ' \n{"name": "get_weather", "parameters": {"city": "Rome"}}', " \n", 1),
        ("{", 'So: {"name": "get_weather", "parameters": {}}', 'So: {"name": "get_weather", "parameters": {}}', 0),
        ("{", '{"a": {"b": "}"}} and more', '{"a": {"b": "}"}} and more', 0),
        ("{", '{"name": "get_weather"} rest', '{"name": "get_weather"} rest', 0),
        ("{", '{"unfinished', '{"unfinished', 0),
        ("[", '[{"name": "get_weather", "arguments": {"city": "Rome"}}]', "", 1),
        ("[", "[1, 2] is a list", "[1, 2] is a list", 0),
    ],
)
def test_generic_calls(tag: str, answer: str, content: str, found: int) -> None:
    said, made = calls(answer, tag)
    assert made == [("get_weather", ROME)] * found
    assert said == content


def test_two_calls_and_colliding_names() -> None:
    one = '{"name": "say_hello", "arguments": {"a": 1}}'
    two = '{"name": "say_hello_world", "arguments": {}}'
    want = [("say_hello", {"a": 1}), ("say_hello_world", {})]
    assert calls(f"<tool_call>{one}</tool_call>\n<tool_call>{two}</tool_call>") == ("", want)
    assert calls(f"[{one}, {two}]", "[") == ("", want)
    assert calls(f"[TOOL_CALLS] [{two},{one}]", "[TOOL_CALLS] [") == ("", want[::-1])
    assert calls('<tool_call>{"x": 1} say_hello') == ("", [("say_hello", {"x": 1})])


def test_long_arguments_are_read_in_linear_time() -> None:
    text = "<tool_call>" + json.dumps({"name": "get_weather", "arguments": {"city": "é{\\" * 20_000}})
    content, _, found = read(GenericCalls("<tool_call>", TOOLS), [text[at : at + 4] for at in range(0, len(text), 4)])
    assert content == ""
    assert found[0].arguments == {"city": "é{\\" * 20_000}


# --- families ------------------------------------------------------------------------------------------------------


def family(name: str, answer: str, *, prompt: str = "", tools: tuple[Tool, ...] = TOOLS) -> Read:
    chosen = next(item for item in BUILT_IN if name in item.names)
    style = Style("", chosen.think_tags, "{", ())
    style.family, style.think_tags = chosen, chosen.think_tags
    conversation = Conversation(tools=tools, think=True)
    results = [
        read(parser_for(style, conversation, prompt), [answer[at : at + size] for at in range(0, len(answer), size)])
        for size in (len(answer) + 1, 1, 3)
    ]
    assert results[0] == results[1] == results[2]
    return results[0]


FULL = {"city": "Rome\nItaly", "days": 3, "exact": True, "where": {"a": [1]}, "tags": None, "x": 0.5}
ANSWERS = {
    "qwen3-coder": "<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\nItaly\n</parameter>\n"
    "<parameter=days>\n3\n</parameter>\n<parameter=exact>\nTrue\n</parameter>\n"
    '<parameter=where>\n{"a": [1]}\n</parameter>\n<parameter=tags>\n'
    "null\n</parameter>\n<parameter=x>\n0.5\n</parameter>\n</function>\n</tool_call>",
    "minimax": '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Rome\nItaly</parameter>\n'
    '<parameter name="days">3</parameter><parameter name="exact">true</parameter><parameter name="where">{"a": [1]}'
    '</parameter><parameter name="tags">null</parameter><parameter name="x">0.5</parameter></invoke>\n'
    "</minimax:tool_call>",
    "glm-4.7": "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome\nItaly</arg_value>"
    "<arg_key>days</arg_key>"
    "<arg_value>3</arg_value><arg_key>exact</arg_key><arg_value>true</arg_value><arg_key>where</arg_key><arg_value>"
    '{"a": [1]}</arg_value><arg_key>tags</arg_key><arg_value>null</arg_value><arg_key>x</arg_key><arg_value>0.5'
    "</arg_value></tool_call>",
    "olmo3": "<function_calls>\nget_weather(city=\"Rome\\nItaly\", days=3, exact=true, where={'a': [1]}, "
    "tags=null, x=0.5)\n"
    "</function_calls>",
    "lfm2": '<|tool_call_start|>[get_weather(city="Rome\\nItaly", days=3, exact=True, where={"a": [1]}, '
    "tags=None, x=.5)]<|tool_call_end|>",
    "functiongemma": "<start_function_call>call:get_weather{city:<escape>Rome\nItaly<escape>,days:3,exact:true,"
    "where:{a:[1]},tags:null,x:0.5}<end_function_call>",
    "gemma4": '<|tool_call>call:get_weather{city:<|"|>Rome\nItaly<|"|>,days:3,exact:true,where:{<|"|>a<|"|>:[1]},'
    "tags:null,x:0.5}<tool_call|>",
    "deepseek3": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
    + json.dumps(FULL)
    + "<｜tool▁call▁end｜>"
    "<｜tool▁calls▁end｜>",
    "cohere": '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "get_weather", "parameters": '
    + json.dumps(FULL)
    + "}]<|END_ACTION|>",
    "harmony": "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    + json.dumps(FULL)
    + "<|call|>",
    "glimmer": ' to=get_weather<|message|><atem:function_calls>\n<atem:invoke name="get_weather">\n'
    '<atem:parameter name="city">Rome\nItaly</atem:parameter>\n<atem:parameter name="days">3</atem:parameter>\n'
    '<atem:parameter name="exact">true</atem:parameter>\n<atem:parameter name="where">{"a": [1]}</atem:parameter>\n'
    '<atem:parameter name="tags">null</atem:parameter>\n<atem:parameter name="x">0.5</atem:parameter>\n'
    "</atem:invoke>\n</atem:function_calls><|eot|>",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_call_in_every_notation(name: str) -> None:
    content, thinking, found = family(name, ANSWERS[name])
    assert [(call.name, call.arguments) for call in found] == [("get_weather", FULL)]
    assert content + thinking == ""


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - {"harmony", "glimmer"}))
def test_what_is_no_call_of_a_declared_tool_stays_text(name: str) -> None:
    unknown = ANSWERS[name].replace("get_weather", "nobody")
    assert family(name, "so: " + unknown) == ("so: " + unknown, "", [])
    for answer in ("", "plain", "a < b <", ANSWERS[name][: len(ANSWERS[name]) // 2].replace("get_weather", "nobody")):
        assert family(name, answer) == (answer, "", [])


def test_two_sections_and_text_around() -> None:
    one = "<tool_call><function=say_hello></function></tool_call>"
    content, _, found = family("qwen3-coder", f"first {one}\n{one} last")
    assert content == "first  last"
    assert [(call.name, call.index) for call in found] == [("say_hello", 0), ("say_hello", 1)]
    assert family("qwen3-coder", "<function=say_hello>\n<parameter=a>1</parameter></function>")[2][0].arguments == {
        "a": "1"
    }


def test_deepseek_r1_writes_fenced_json() -> None:
    answer = (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Rome"}\n```'
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    )
    assert [(call.name, call.arguments) for call in family("deepseek3", answer)[2]] == [("get_weather", ROME)]


def test_harmony_channels() -> None:
    answer = (
        "<|channel|>analysis<|message|>hmm<|end|><|start|>assistant<|channel|>commentary<|message|>Wait. <|end|>"
        "<|start|>assistant<|channel|>final<|message|>Done<|return|>"
    )
    assert family("harmony", answer) == ("Wait. Done", "hmm", [])
    assert family("harmony", "open<|end|>", prompt="…<|start|>assistant<|channel|>final<|message|>") == ("open", "", [])
    assert family("harmony", "just text") == ("just text", "", [])
    dotted = Tool(name="a.b-c d")
    call = "<|start|>assistant to=functions.a_b_c_d<|channel|>commentary json<|message|>{}<|call|>"
    assert family("harmony", call, tools=(dotted,))[2][0].name == "a.b-c d"
    broken = "<|channel|>commentary to=functions.get_weather<|message|>{oops<|call|>"
    assert "{oops" in family("harmony", broken)[0]


def test_glimmer_and_cohere_channels() -> None:
    answer = " to=self<|message|>hmm<|eom|><|start|>assistant to=user<|message|>Hi<|eot|>"
    assert family("glimmer", answer) == ("Hi", "hmm", [])
    answer = "<|START_THINKING|>hmm<|END_THINKING|><|START_RESPONSE|>Hi<|END_RESPONSE|>"
    assert family("cohere", answer, tools=()) == ("Hi", "hmm", [])


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("<tool_call> <function=x> <parameter=y>", "qwen3-coder"),
        ("<tool_call> <arg_key>", "glm-4.7"),
        ("<|start|> <|channel|> <|message|>", "harmony"),
        ("<|start|> <|message|> to=self", "glimmer"),
        ("<seed:tool_call> <function= <parameter=", "seed-oss"),
        ("<｜tool▁calls▁begin｜>", "deepseek3"),
        ("<tool_call>", None),
    ],
)
def test_families_are_implied_by_templates(template: str, name: str | None) -> None:
    chosen = Style(template, None, "{", BUILT_IN).family
    assert (chosen.names[0] if chosen else None) == name


def test_names_are_unique() -> None:
    names = [name for item in BUILT_IN for name in item.names]
    assert len(names) == len(set(names))


# --- parts ---------------------------------------------------------------------------------------------------------


def test_held_back_and_earliest() -> None:
    assert held_back("abc <to", ["<tool>", "<x>"]) == 3
    assert held_back("abc <tool>", ["<tool>"]) == 0
    assert held_back("", ["<"]) == 0
    assert earliest("a<<b", ["<b", "<", "<<"]) == (1, "<<")
    assert earliest("abc", ["x"]) is None


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.text("ab<>/", max_size=4), max_size=12))
def test_until_equals_partition(parts: list[str]) -> None:
    until = Until("</a>")
    for i, part in enumerate(parts):
        rest = until.push(part)
        if rest is not None:
            before, _, after = "".join(parts).partition("</a>")
            assert (until.text, rest + "".join(parts[i + 1 :])) == (before, after)
            return
    assert "</a>" not in "".join(parts)
    assert until.text == "".join(parts)


def test_balance_ignores_strings_and_prose_quotes() -> None:
    balance = Balance("{", "}")
    text = 'a 5" disk {"k": "}\\"{"} {}'
    assert balance.advance(text) == (10, 23)
    assert balance.advance(text) == (24, 26)
    assert balance.advance(text) is None


FRAGMENTS = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "{",
    "}",
    '"',
    "get_weather",
    '{"name": "get_weather", ',
    '"arguments": {}}',
    "[",
    "]",
    "<function=",
    "</function>",
    "<|channel|>",
    "<|message|>",
    "<|end|>",
    " ",
    "x",
    "\n",
)


@settings(derandomize=True, max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14), st.integers(0, 2**32))
def test_splits_change_nothing(fragments: list[str], seed: int) -> None:
    answer = "".join(fragments)
    rng = random.Random(seed)
    cuts = sorted(rng.randrange(len(answer) + 1) for _ in range(6))
    parts = [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    sources = ["<tool_call>", "<function= <parameter=", "<arg_key>", "<|start|><|channel|><|message|>", ""]
    for source in sources:
        for tag in ("{", "[", "<tool_call>"):
            style = Style(source, ("<think>", "</think>"), tag, BUILT_IN)
            conversation = Conversation(tools=TOOLS, think=True)
            assert read(parser_for(style, conversation, ""), parts) == read(
                parser_for(style, conversation, ""), [answer]
            )
