"""Which notation of calls a model's answers have: its family's, or what the tag in its template tells."""

from collections.abc import Mapping

from corral_templates.output.bare_objects import Bare
from corral_templates.output.choice import Style
from corral_templates.output.headed import HARMONY, glimmer
from corral_templates.output.writing import Inside, Notation
from corral_templates.output.written import (
    Python,
    Tagged,
    cohere,
    deepseek,
    json_alone,
    json_begun,
    json_list,
    json_named,
    json_object,
    kimi,
)

_LISTS = {"<|tool_call|>": "", "<TOOLCALL>": "</TOOLCALL>"}  # tags before a list, and what closes it


def _function(section_ends: str) -> Inside:
    return Tagged(
        call="<function={name}>",
        parameter="<parameter={key}>",
        value_ends="</parameter>",
        call_ends="</function>",
        section_ends=section_ends,
    )


def _invoke(prefix: str, section_ends: str, *, tells_type: bool = False) -> Inside:
    return Tagged(
        call=f'<{prefix}invoke name="{{name}}">',
        parameter=f'<{prefix}parameter name="{{key}}">',
        value_ends=f"</{prefix}parameter>",
        call_ends=f"</{prefix}invoke>",
        section_ends=section_ends,
        tells_type=tells_type,
    )


_PAIRS = Tagged(
    call="{name}",
    parameter="<arg_key>{key}</arg_key>",
    value_opens="<arg_value>",
    value_ends="</arg_value>",
    call_ends="</tool_call>",
    typed=True,
)
FAMILIES: Mapping[str, Notation] = {
    "harmony": HARMONY,
    "glimmer": glimmer(_invoke("atem:", "</atem:function_calls>"), "<atem:function_calls>"),
    "cohere": Notation(opening="<|START_ACTION|>", inside=cohere, repeats=False),
    "gemma4": Notation(opening="<|tool_call>", inside=Bare(quote='<|"|>', closing="<tool_call|>")),
    "functiongemma": Notation(
        opening="<start_function_call>", inside=Bare(quote="<escape>", closing="<end_function_call>")
    ),
    "deepseek3": Notation(opening="<｜tool▁calls▁begin｜>", inside=deepseek, repeats=False),
    "glm-4.7": Notation(opening="<tool_call>", inside=_PAIRS),
    "seed-oss": Notation(opening="<seed:tool_call>", inside=_function("</seed:tool_call>")),
    "qwen3-coder": Notation(opening="<tool_call>", inside=_function("</tool_call>")),
    "minimax": Notation(opening="<minimax:tool_call>", inside=_invoke("", "</minimax:tool_call>"), repeats=False),
    "deepseek3.2": Notation(
        opening="<｜DSML｜function_calls>",
        inside=_invoke("｜DSML｜", "</｜DSML｜function_calls>", tells_type=True),
        repeats=False,
    ),
    "olmo3": Notation(
        opening="<function_calls>", inside=Python(section_ends="</function_calls>", listed=False), repeats=False
    ),
    "lfm2": Notation(
        opening="<|tool_call_start|>", inside=Python(section_ends="<|tool_call_end|>", listed=True), repeats=False
    ),
}


def notation_of(style: Style) -> Notation | None:
    """None when no grammar describes it."""
    if style.family is not None:
        return FAMILIES.get(style.family.names[0])
    tag, key = style.tool_tag, style.arguments_key
    if tag.startswith("[TOOL_CALLS]"):
        if style.names_first:
            return Notation(opening="[TOOL_CALLS]", inside=json_named("[ARGS]", ""))
        opened = tag.removeprefix("[TOOL_CALLS]") or "["
        return Notation(opening="[TOOL_CALLS]", inside=json_list("", key, opened), repeats=False)
    if tag in _LISTS:
        return Notation(opening=tag, inside=json_list(_LISTS[tag], key), repeats=False)
    if tag == "<|tool_calls_section_begin|>":
        return Notation(opening=tag, inside=kimi, repeats=False)
    if tag == "<function=":
        return Notation(opening=tag, inside=json_named(">", "</function>"))
    if tag.startswith("<") and tag.endswith(">"):
        return Notation(opening=tag, inside=json_object("</" + tag[1:], key))
    if tag == "{":
        return Notation(opening="", inside=json_alone(key), repeats=False)
    if tag == "[":
        return Notation(opening="", inside=json_alone(key, listed=True), repeats=False)
    inside = json_list("", key, "" if tag.endswith("[") else "[") if _is_list(tag) else json_object("", key)
    return Notation(opening=tag, inside=inside, repeats=False, marks=False)


def begun(style: Style) -> Inside:
    """How a call is told from other text where its tag is a word of a language: by what follows."""
    return json_begun(style.tool_tag, style.arguments_key, listed=_is_list(style.tool_tag))


def _is_list(tag: str) -> bool:
    return tag.endswith("[") or tag == "functools"
