"""PARSER: the model's own word on how its answers are written."""

from collections.abc import Awaitable, Callable

import pytest

from corral import Conversation, ModelConfig, Tool
from corral.kernel import Kernel
from corral.testing.doubles import Plugin as Doubles
from corral.testing.fake_weights import fake_weights
from corral.testing.fixtures import *  # noqa: F403  fixtures are found by name
from corral.testing.models import add_model
from corral.testing.template_contract import read
from corral_templates.go.engine import GoTemplate
from corral_templates.output.choice import Style, parser_for
from corral_templates.output.families import BUILT_IN
from corral_templates.output.named import NAMED
from corral_templates.plugin import Plugin

MakeKernel = Callable[..., Awaitable[Kernel]]
TOOLS = (Tool(name="f", parameters={"type": "object", "properties": {"a": {"type": "integer"}}}),)
# As the specification lists them: name → (tools, thinking).
TABLE = {
    "passthrough": (False, False),
    **dict.fromkeys(
        ("qwen3", "qwen3-coder", "qwen3-vl-instruct", "olmo3", "functiongemma", "glm-ocr", "lfm2"), (True, False)
    ),
    **dict.fromkeys(("qwen3-thinking", "qwen3.5", "ornith", "qwen3-vl-thinking", "harmony", "ministral"), (True, True)),
    **dict.fromkeys(("deepseek3", "cogito", "olmo3-think", "nemotron-3-nano", "nemotron-3.5-nano"), (True, True)),
    **dict.fromkeys(("gemma4", "glm-4.7", "lfm2-thinking", "laguna", "poolside-v1", "cohere", "glimmer"), (True, True)),
    "gemma4-no-thinking": (True, False),
    "nobody-knows": (False, False),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_a_parser_promises(name: str) -> None:
    capabilities = GoTemplate("{{ .Prompt }}", BUILT_IN, name).capabilities
    assert ("tools" in capabilities, "thinking" in capabilities) == TABLE[name]


def test_every_family_has_a_name_in_the_table() -> None:
    assert set(NAMED) - set(TABLE) == {"gpt-oss", "gptoss"}


@pytest.mark.parametrize(
    ("name", "answer", "content", "thinking"),
    [
        ("qwen3", '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>', "", ""),
        (
            "qwen3-thinking",
            'hm</think>\n\nyes <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>',
            "yes ",
            "hm",
        ),
        ("ministral", '[THINK]hm[/THINK]yes[TOOL_CALLS]f[ARGS]{"a": 1}', "yes", "hm"),
        (
            "glm-4.7",
            "<think>hm</think>yes<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>",
            "yes",
            "hm",
        ),
        ("olmo3-think", "<think>hm</think>yes<function_calls>f(a=1)</function_calls>", "yes", "hm"),
        ("gemma4", "<|channel>thought\nhm<channel|>yes<|tool_call>call:f{a:1}<tool_call|>", "yes", "hm"),
        ("cohere", '<|START_ACTION|>[{"tool_name": "f", "parameters": {"a": 1}}]<|END_ACTION|>', "", ""),
    ],
)
def test_a_parser_decides_where_the_template_says_nothing(name: str, answer: str, content: str, thinking: str) -> None:
    style = Style("{{ .Prompt }}", None, "{", BUILT_IN, name)
    for parts in ([answer], [*answer]):
        said, thought, calls = read(parser_for(style, Conversation(tools=TOOLS, think=True), ""), parts)
        assert (said, thought, [(call.name, call.arguments) for call in calls]) == (
            content,
            thinking,
            [("f", {"a": 1})],
        )


def test_passthrough_reads_nothing_and_unknown_names_leave_it_to_the_template() -> None:
    answer = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    conversation = Conversation(tools=TOOLS, think=True)
    style = Style("<tool_call>", None, "<tool_call>", BUILT_IN, "passthrough")
    assert read(parser_for(style, conversation, ""), [answer]) == (answer, "", [])
    style = Style("<tool_call>", None, "<tool_call>", BUILT_IN, "nobody-knows")
    assert len(read(parser_for(style, conversation, ""), [answer])[2]) == 1


async def test_the_kernel_hands_the_name_over(make_kernel: MakeKernel) -> None:
    doubles = {"doubles": {"offer": ["loader", "tokenizer", "engine", "store"]}}
    kernel = await make_kernel([Doubles, Plugin], doubles, store="memory")
    config = ModelConfig(parser="glm-4.7")
    model = await add_model(kernel, "m", fake_weights(), template="{{ .Prompt }}", config=config)
    assert {"tools", "thinking"} <= (await kernel.pipeline.describe(model)).capabilities
