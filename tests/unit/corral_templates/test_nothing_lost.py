"""Whatever a model says, in whatever notation and however it arrives, all its words come out somewhere."""

import json
import random
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings, strategies as st

from corral import Conversation, Piece, Tool
from corral_templates.output.choice import Style, parser_for
from corral_templates.output.families import BUILT_IN
from corral_templates.output.family import OutputFamily

TOOLS = (
    Tool(name="say_hello"),
    Tool(name="say_hello_world"),
    Tool(name="get_weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}}),
)
COMMON = (
    "<think>",
    "</think>",
    "{",
    "}",
    "[",
    "]",
    '"',
    "\n",
    " ",
    "get_weather",
    "say_hello",
    "nobody",
    "é👩‍👩‍👧‍👦",
    "`",
)
CALLS = ('{"name": "get_weather", "arguments": {"city": "W"}}', '{"name": "nobody", "arguments": {"city": "W"}}')
ARGUMENTS = '{"city": "W"}'
NOTATIONS: dict[str, tuple[str, ...]] = {
    "": ("<tool_call>", "</tool_call>", *CALLS, "[TOOL_CALLS]", "[ARGS]", "```json", "```"),
    "harmony": (
        "<|start|>assistant",
        "<|channel|>analysis",
        "<|channel|>final",
        "<|channel|>commentary",
        "<|message|>",
        "<|end|>",
        "<|call|>",
        "<|return|>",
        " to=functions.get_weather",
        " <|constrain|>json",
        ARGUMENTS,
    ),
    "glimmer": (
        "<|start|>assistant",
        " to=self",
        " to=user",
        " to=get_weather",
        "<|message|>",
        "<|eom|>",
        "<|eot|>",
        ARGUMENTS,
    ),
    "cohere": (
        "<|START_THINKING|>",
        "<|END_THINKING|>",
        "<|START_ACTION|>",
        "<|END_ACTION|>",
        "<|START_RESPONSE|>",
        '[{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "W"}}]',
    ),
    "gemma4": (
        "<|tool_call>",
        "<tool_call|>",
        'call:get_weather{city:<|"|>W<|"|>}',
        "<|channel>thought\n",
        "<channel|>",
    ),
    "functiongemma": ("<start_function_call>", "<end_function_call>", "call:get_weather{city:<escape>W<escape>}"),
    "deepseek3": (
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
        "<｜tool▁call▁end｜>",
        "get_weather",
        ARGUMENTS,
        "function",
        "\n```json\n",
        "\n```",
    ),
    "glm-4.7": (
        "<tool_call>get_weather",
        "</tool_call>",
        "<arg_key>city</arg_key>",
        "<arg_value>W</arg_value>",
        "<arg_key>",
    ),
    "seed-oss": (
        "<seed:think>",
        "</seed:think>",
        "<seed:tool_call>",
        "</seed:tool_call>",
        "<function=get_weather>",
        "</function>",
        "<parameter=city>W</parameter>",
    ),
    "qwen3-coder": (
        "<tool_call>",
        "</tool_call>",
        "<function=get_weather>",
        "</function>",
        "<parameter=city>W</parameter>",
        "<parameter=city>",
        "</parameter>",
    ),
    "minimax": (
        "<minimax:tool_call>",
        "</minimax:tool_call>",
        '<invoke name="get_weather">',
        "</invoke>",
        '<parameter name="city">W</parameter>',
    ),
    "deepseek3.2": (
        "<｜DSML｜function_calls>",
        "</｜DSML｜function_calls>",
        '<｜DSML｜invoke name="get_weather">',
        "</｜DSML｜invoke>",
        '<｜DSML｜parameter name="city" string="true">W</｜DSML｜parameter>',
    ),
    "olmo3": ("<function_calls>", "</function_calls>", 'get_weather(city="W")', "\n"),
    "lfm2": ("<|tool_call_start|>", "<|tool_call_end|>", '[get_weather(city="W")]', 'get_weather(city="W")'),
}
WORD = re.compile(r"zw\d+q")


def test_every_family_is_among_them() -> None:
    assert set(NOTATIONS) == {"", *(family.names[0] for family in BUILT_IN)}


def style_of(name: str, tag: str) -> Style:
    family: OutputFamily | None = next((family for family in BUILT_IN if name in family.names), None)
    style = Style("", ("<think>", "</think>"), tag, ())
    if family is not None:
        style.family, style.think_tags = family, family.think_tags or style.think_tags
    return style


def answer_of(fragments: Sequence[str | None]) -> str:
    """The fragments; in place of None, and of every W, a word that stands nowhere else."""
    text = "".join("W" if fragment is None else fragment for fragment in fragments)
    parts = text.split("W")
    return "".join(part + (f"zw{number}q" if number < len(parts) - 1 else "") for number, part in enumerate(parts))


def outcome(pieces: Sequence[Piece]) -> tuple[str, str, list[tuple[str, str]]]:
    calls = [(call.name, json.dumps(call.arguments, ensure_ascii=False)) for p in pieces for call in p.tool_calls]
    return "".join(p.text for p in pieces), "".join(p.thinking for p in pieces), calls


@pytest.mark.parametrize(
    ("name", "tag"), [*((name, "{") for name in NOTATIONS), ("", "<tool_call>"), ("", "["), ("", "[TOOL_CALLS]")]
)
def test_no_word_is_lost_at_any_split(name: str, tag: str) -> None:
    fragments = st.lists(st.one_of(st.none(), st.sampled_from(NOTATIONS[name] * 3 + COMMON)), max_size=14)

    @settings(derandomize=True, max_examples=60, deadline=None, database=None)
    @given(fragments, st.booleans(), st.integers(0, 2**32))
    def check(fragments: Sequence[str | None], think: bool, seed: int) -> None:
        answer, style = answer_of(fragments), style_of(name, tag)
        conversation = Conversation(tools=TOOLS, think=think)
        rng = random.Random(seed)
        cuts = sorted(rng.randrange(len(answer) + 1) for _ in range(rng.randrange(8)))
        outcomes = []
        for parts in (
            [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)],
            [answer],
            [*answer],
        ):
            parser = parser_for(style, conversation, "")
            pieces = [piece for part in parts for piece in parser.push(part)]
            outcomes.append(outcome([*pieces, *parser.finish()]))
        assert outcomes[0] == outcomes[1] == outcomes[2]
        content, thinking, calls = outcomes[0]
        out = content + thinking + "".join(name + arguments for name, arguments in calls)
        lost = [word for word in WORD.findall(answer) if word not in out]
        assert not lost, (answer, outcomes[0])

    check()


UNSAYABLE = (
    "NaN",
    "-Infinity",
    "1e999",
    '"\\ud83d"',
    '{"\\udc00": 1}',
    "[1, [NaN]]",
    "1" * 5000,
    "[" * 5000 + "]" * 5000,
)
SAYABLE = ('"\\ud83d\\ude00"', "1e30", "123456789012345678901234567890", "-0.0", "[" * 50 + "]" * 50, '"\\/"', "null")
WRITES: dict[str, str] = {
    "": '{"name": "get_weather", "arguments": {"city": V}}',
    "harmony": '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": V}<|call|>',
    "glimmer": ' to=get_weather<|message|>{"city": V}<|eot|>',
    "cohere": '<|START_ACTION|>[{"tool_name": "get_weather", "parameters": {"city": V}}]<|END_ACTION|>',
    "gemma4": "<|tool_call>call:get_weather{city:V}<tool_call|>",
    "functiongemma": "<start_function_call>call:get_weather{city:V}<end_function_call>",
    "deepseek3": '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": V}<｜tool▁calls▁end｜>',
    "glm-4.7": "<tool_call>get_weather<arg_key>city</arg_key><arg_value>V</arg_value></tool_call>",
    "seed-oss": "<seed:tool_call><function=get_weather><parameter=city>V</parameter></function></seed:tool_call>",
    "qwen3-coder": "<tool_call><function=get_weather><parameter=city>V</parameter></function></tool_call>",
    "minimax": '<minimax:tool_call><invoke name="get_weather"><parameter name="city">V</parameter></invoke>'
    "</minimax:tool_call>",
    "deepseek3.2": '<｜DSML｜function_calls><｜DSML｜invoke name="get_weather"><｜DSML｜parameter name="city">V'
    "</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜function_calls>",
    "olmo3": "<function_calls>get_weather(city=V)</function_calls>",
    "lfm2": "<|tool_call_start|>[get_weather(city=V)]<|tool_call_end|>",
}


@pytest.mark.parametrize("value", [*UNSAYABLE, *SAYABLE, "'\\ud800'", "1e400", "float('nan')", "-1e400"])
@pytest.mark.parametrize("name", NOTATIONS)
@pytest.mark.parametrize("kind", ["number", "object", "array", "string"])
def test_arguments_are_always_valid_json(name: str, value: str, kind: str) -> None:
    tool = Tool(name="get_weather", parameters={"type": "object", "properties": {"city": {"type": kind}}})
    parser = parser_for(style_of(name, "{"), Conversation(tools=(tool,)), "")
    text = WRITES[name].replace("V", value)
    pieces = [*parser.push(text), *parser.finish()]
    content, _, calls = outcome(pieces)
    for _, arguments in calls:
        arguments.encode()
        json.loads(arguments, parse_constant=pytest.fail)
        assert "Infinity" not in arguments or "Infinity" in value
    assert calls or value.strip("[]")[:20] in content


@pytest.mark.parametrize("value", SAYABLE)
@pytest.mark.parametrize("name", ["", "harmony", "cohere", "deepseek3", "glm-4.7", "olmo3", "lfm2"])
def test_json_values_are_read_as_json(name: str, value: str) -> None:
    parser = parser_for(style_of(name, "{"), Conversation(tools=(Tool(name="get_weather"),)), "")
    _, _, calls = outcome([*parser.push(WRITES[name].replace("V", value)), *parser.finish()])
    assert [json.loads(arguments) for _, arguments in calls] == [{"city": json.loads(value)}]
