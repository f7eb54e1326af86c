"""The built-in families: what a template must contain, and in which notation calls then come."""

from collections.abc import Callable, Mapping, Sequence

from corral import OutputParser
from corral_templates.output.channels import glimmer, harmony
from corral_templates.output.family import Answer, OutputFamily
from corral_templates.output.notations import (
    BareObjects,
    argument_pairs,
    deepseek,
    function_tags,
    invoke_tags,
    json_actions,
    python_calls,
)
from corral_templates.output.sections import Reader, SectionCalls

_COHERE_MARKERS = ("<|START_TEXT|>", "<|END_TEXT|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>")
_TOOL_CALL = {"<tool_call>": "</tool_call>"}
_DEEPSEEK_TAGS = ("<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>")
_ARGUMENT_TAGS = ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")


def _has(*marks: str) -> Callable[[str], bool]:
    """Whether a text contains all of `marks`."""
    return lambda text: all(mark in text for mark in marks)


def _has_any(*marks: str) -> Callable[[str], bool]:
    """Whether a text contains one of `marks`."""
    return lambda text: any(mark in text for mark in marks)


def _sections(
    ends: Mapping[str, str], read: Reader, markers: Sequence[str] = (), inner: Sequence[str] = ()
) -> Callable[[Answer], OutputParser]:
    """Makes parsers of one notation between start and end tags."""
    return lambda answer: SectionCalls(ends, read, answer.tools, markers, inner)


BUILT_IN = (
    OutputFamily(
        names=("harmony", "gpt-oss", "gptoss"),
        implied_by=_has("<|start|>", "<|channel|>", "<|message|>"),
        parser=lambda answer: harmony(answer.tools, answer.prompt),
        reads_thinking=True,
        always=True,
    ),
    OutputFamily(
        names=("glimmer",),
        implied_by=_has("<|start|>", "<|message|>", "to=self"),
        parser=lambda answer: glimmer(answer.tools, answer.prompt),
        reads_thinking=True,
        always=True,
    ),
    OutputFamily(
        names=("cohere",),
        implied_by=_has("<|START_ACTION|>"),
        parser=_sections({"<|START_ACTION|>": "<|END_ACTION|>"}, json_actions, _COHERE_MARKERS),
        think_tags=("<|START_THINKING|>", "<|END_THINKING|>"),
        always=True,
    ),
    OutputFamily(
        names=("gemma4", "gemma4-no-thinking"),
        implied_by=_has("<|tool_call>", "<tool_call|>"),
        parser=_sections({"<|tool_call>": "<tool_call|>"}, BareObjects('<|"|>'), inner=('<|"|>',)),
        think_tags=("<|channel>thought\n", "<channel|>"),
    ),
    OutputFamily(
        names=("functiongemma",),
        implied_by=_has("<start_function_call>"),
        parser=_sections(
            {"<start_function_call>": "<end_function_call>"}, BareObjects("<escape>"), inner=("<escape>",)
        ),
    ),
    OutputFamily(
        names=("deepseek3", "cogito"),
        implied_by=_has("<｜tool▁calls▁begin｜>"),
        parser=_sections({"<｜tool▁calls▁begin｜>": "<｜tool▁calls▁end｜>"}, deepseek, inner=_DEEPSEEK_TAGS),
    ),
    OutputFamily(
        names=("glm-4.7", "glm-ocr", "laguna", "poolside-v1"),
        implied_by=_has("<arg_key>"),
        parser=_sections(_TOOL_CALL, argument_pairs, inner=_ARGUMENT_TAGS),
    ),
    OutputFamily(
        names=("seed-oss",),
        implied_by=_has("<seed:tool_call>"),
        parser=_sections({"<seed:tool_call>": "</seed:tool_call>"}, function_tags),
        think_tags=("<seed:think>", "</seed:think>"),
    ),
    OutputFamily(
        names=("qwen3-coder", "qwen3.5", "ornith", "nemotron-3-nano", "nemotron-3.5-nano"),
        implied_by=_has("<function=", "<parameter="),
        parser=_sections({**_TOOL_CALL, "<function=": "</function>"}, function_tags),
    ),
    OutputFamily(
        names=("minimax",),
        implied_by=_has("<minimax:tool_call>"),
        parser=_sections({"<minimax:tool_call>": "</minimax:tool_call>"}, invoke_tags),
    ),
    OutputFamily(
        names=("deepseek3.2",),
        implied_by=_has("｜DSML｜"),
        parser=_sections(
            {f"<｜DSML｜{block}>": f"</｜DSML｜{block}>" for block in ("function_calls", "tool_calls")}, invoke_tags
        ),
    ),
    OutputFamily(
        names=("olmo3", "olmo3-think"),
        implied_by=_has("<function_calls>"),
        parser=_sections({"<function_calls>": "</function_calls>"}, python_calls),
    ),
    OutputFamily(
        names=("lfm2", "lfm2-thinking"),
        implied_by=_has_any("<|tool_call_start|>", "<|tool_list_start|>", "List of tools: ["),
        parser=_sections({"<|tool_call_start|>": "<|tool_call_end|>"}, python_calls),
    ),
)
