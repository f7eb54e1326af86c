"""What a model's PARSER says about its answers where no template tells: Ollama's parser names.

A name that is no family's own is one of the generic parser's, with the tags given here.  Unknown names say nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Named(NamedTuple):
    """The tags of one parser; `inside`: answers begin inside thinking.  An empty `tool_tag` leaves it to the family."""

    think_tags: tuple[str, str] | None = None
    tool_tag: str = ""
    tools: bool = True
    inside: bool = False


_THINK = ("<think>", "</think>")
_NO_TOOLS = Named(tools=False)
_THINKS = Named(_THINK)
NAMED: Mapping[str, Named] = {
    "passthrough": _NO_TOOLS,
    "qwen3": Named(tool_tag="<tool_call>"),
    "qwen3-thinking": Named(_THINK, "<tool_call>", inside=True),
    "qwen3-vl-instruct": Named(tool_tag="<tool_call>"),
    "qwen3-vl-thinking": Named(_THINK, "<tool_call>", inside=True),
    "ministral": Named(("[THINK]", "[/THINK]"), "[TOOL_CALLS]"),
    **dict.fromkeys(("qwen3-coder", "functiongemma", "glm-ocr", "lfm2", "olmo3"), Named()),
    **dict.fromkeys(("qwen3.5", "ornith", "nemotron-3-nano", "nemotron-3.5-nano"), _THINKS),
    **dict.fromkeys(("deepseek3", "cogito", "olmo3-think", "lfm2-thinking"), _THINKS),
    **dict.fromkeys(("glm-4.7", "laguna", "poolside-v1"), _THINKS),
    **dict.fromkeys(("harmony", "gpt-oss", "gptoss", "glimmer", "cohere", "gemma4"), Named()),  # their own tags
    "gemma4-no-thinking": Named(),
}
