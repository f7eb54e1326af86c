"""Which template renders a model's chats: its own Go template, or the Jinja one in its weight file."""

import re
from functools import lru_cache
from typing import NamedTuple

from corral import BadRequest, ModelInfo, StoredModel

DEFAULT_SOURCE = "{{ .Prompt }}"  # a model without any template: the prompt as it is
RENDERERS = "renderers"  # the engine of models whose prompts only the reference's code could write
_NEVER = {"0", "f", "false"}
_ROLE_IS_TOOL = re.compile(r"""role['"\]]*\s*(?:==|in)\s*[\[(]?\s*['"]tool['"]""")
_SPLITS_AT_END_TAG = re.compile(r"""content\.split\(\s*['"]</think>['"]""")


class Choice(NamedTuple):
    """A template engine's name and the template's text."""

    engine: str
    source: str


def choose(go_source: str | None, jinja_source: str | None, preference: str = "", *, pinned: bool = False) -> Choice:
    """The template to render with.

    `preference` is `OLLAMA_GO_TEMPLATE`: unset (""), the more capable one is taken; false, never Go where there is
    Jinja; anything else, Go.  `pinned` models (a renderer or parser in their config, gpt-oss) keep their Go template.
    """
    if go_source is None and jinja_source is None:
        return Choice("go", DEFAULT_SOURCE)
    if go_source is None or jinja_source is None:
        return Choice("go", go_source) if go_source is not None else Choice("jinja", jinja_source or "")
    if pinned or (preference and preference.strip().lower() not in _NEVER):
        return Choice("go", go_source)
    if preference or prefers_jinja(go_source, jinja_source):
        return Choice("jinja", jinja_source)
    return Choice("go", go_source)


def choose_for(model: StoredModel, info: ModelInfo, preference: str) -> Choice:
    """`choose` for a stored model; of the engine `faulty(…)` when what is chosen is broken."""
    choice = _chosen(model, info, preference)
    return choice._replace(engine=faulty(choice.engine)) if choice.engine != RENDERERS and fault(choice) else choice


class ByChoice:
    """What the template engines here share: the one that `choose_for` names renders."""

    name: str

    def source_of(self, model: StoredModel, info: ModelInfo, preference: str) -> str | None:
        """The chosen template's text; None when another engine's was chosen."""
        choice = choose_for(model, info, preference)
        return choice.source if choice.engine == self.name else None


def _chosen(model: StoredModel, info: ModelInfo, preference: str) -> Choice:
    """A RENDERER stands for code of the reference's, and comes with a TEMPLATE that says nothing, or with none.

    The chat template in the weights takes its place; without one no prompt can be written.
    """
    config, go, jinja = model.config, model.template, info.chat_template or None
    if config.renderer and (go is None or go.strip() == DEFAULT_SOURCE):
        return Choice("jinja", jinja) if jinja else Choice(RENDERERS, config.renderer)
    is_gpt_oss = config.family in ("gptoss", "gpt-oss") or info.architecture in ("gptoss", "gpt-oss")
    pinned = bool(config.renderer or config.parser) or (is_gpt_oss and _is_harmony(go))
    return choose(go, jinja, preference, pinned=pinned)


def faulty(engine: str) -> str:
    """The engine of templates that `engine` cannot read."""
    return f"faulty-{engine}"


@lru_cache(maxsize=64)
def fault(choice: Choice) -> str:
    """What is wrong with a template; "" when nothing is."""
    from corral_templates.go.engine import GoTemplate
    from corral_templates.jinja.engine import check

    try:
        GoTemplate(choice.source) if choice.engine == "go" else check(choice.source)
    except BadRequest as err:
        return err.message
    return ""


def _is_harmony(template: str | None) -> bool:
    return template is not None and "<|start|>" in template and "<|end|>" in template


def prefers_jinja(go_source: str, jinja_source: str) -> bool:
    """Whether the Jinja template can do more: more capabilities, or as many and only it takes tool results back.

    Never when one of the two is broken: a TEMPLATE that fails is not passed over in silence.
    """
    from corral_templates.go.engine import GoTemplate

    if fault(Choice("go", go_source)) or fault(Choice("jinja", jinja_source)):
        return False
    go, jinja = GoTemplate(go_source).capabilities, jinja_capabilities(jinja_source)
    go_trip, jinja_trip = _go_round_trip(go, go_source), _jinja_round_trip(jinja_source)
    if len(jinja) > len(go):
        return jinja_trip or not go_trip
    return jinja == go and "tools" in go and jinja_trip and not go_trip


def jinja_capabilities(source: str) -> frozenset[str]:
    """What the text of a Jinja template promises: "tools", "thinking"."""
    splits = _SPLITS_AT_END_TAG.search(source) and "reasoning_content" not in source and "<SPECIAL_12>" not in source
    thinks = ("<think>" in source and "</think>" in source) or bool(splits)
    tools = "tools" in source or "tool_call" in source
    return frozenset(name for name, has in (("tools", tools), ("thinking", thinks)) if has)


def _go_round_trip(capabilities: frozenset[str], source: str) -> bool:
    """Whether calls and their results can be shown to the model again."""
    takes_results = any(mark in source for mark in ('eq .Role "tool"', "tool_response", "TOOL_RESULTS"))
    return "tools" in capabilities and ".ToolCalls" in source and takes_results


def _jinja_round_trip(source: str) -> bool:
    shows_calls = "tools" in source and ("tool_calls" in source or "assistant_tool_call" in source)
    takes_results = any(mark in source for mark in ("tool_response", "tool_results", "ipython"))
    return shows_calls and (takes_results or _ROLE_IS_TOOL.search(source) is not None)
