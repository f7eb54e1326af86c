"""Which template renders."""

import pytest

from corral import BadRequest, Conversation, Message, ModelConfig, ModelInfo, ModelRef, StoredModel
from corral.testing.template_contract import read
from corral_templates.faulty import Renderers
from corral_templates.select import DEFAULT_SOURCE, Choice, choose, choose_for, jinja_capabilities

PLAIN = "{{ .Prompt }}"
TOOLS = "{{ range .Messages }}{{ end }}{{ .Tools }}"
ROUND_TRIP = TOOLS + '{{ range .Messages }}{{ if .ToolCalls }}{{ end }}{{ if eq .Role "tool" }}{{ end }}{{ end }}'
JINJA_PLAIN = "{{ messages }}"
JINJA_TOOLS = "{{ tools }}"
JINJA_ROUND_TRIP = "{{ tools }}{{ message.tool_calls }}{% if message.role == 'tool' %}{% endif %}"
JINJA_MORE = JINJA_TOOLS + "<think></think>"


@pytest.mark.parametrize(
    ("go", "jinja", "preference", "engine"),
    [
        (None, None, "", "go"),
        (PLAIN, None, "0", "go"),
        (None, JINJA_PLAIN, "1", "jinja"),
        (PLAIN, JINJA_PLAIN, "", "go"),
        (PLAIN, JINJA_PLAIN, "0", "jinja"),
        (PLAIN, JINJA_PLAIN, "false", "jinja"),
        (PLAIN, JINJA_TOOLS, "", "jinja"),
        (PLAIN, JINJA_TOOLS, "1", "go"),
        (PLAIN, JINJA_TOOLS, "true", "go"),
        (TOOLS, JINJA_TOOLS, "", "go"),
        (TOOLS, JINJA_ROUND_TRIP, "", "jinja"),
        (ROUND_TRIP, JINJA_ROUND_TRIP, "", "go"),
        (ROUND_TRIP, JINJA_MORE, "", "go"),
        (ROUND_TRIP, JINJA_ROUND_TRIP + JINJA_MORE, "", "jinja"),
        (TOOLS, JINJA_MORE, "", "jinja"),
        (TOOLS, JINJA_PLAIN, "", "go"),
        (TOOLS + "{{ .Suffix }}", JINJA_TOOLS, "", "go"),
    ],
)
def test_choose(go: str | None, jinja: str | None, preference: str, engine: str) -> None:
    source = (go if engine == "go" else jinja) or DEFAULT_SOURCE
    assert choose(go, jinja, preference) == Choice(engine, source)


def test_a_pinned_model_keeps_its_template() -> None:
    assert choose(PLAIN, JINJA_MORE, "0", pinned=True) == Choice("go", PLAIN)


BROKEN_JINJA = "{% if tools %}"
BROKEN_GO = "{{ if .Tools }}"


@pytest.mark.parametrize(
    ("go", "jinja", "preference", "chosen"),
    [
        (None, BROKEN_JINJA, "", Choice("faulty-jinja", BROKEN_JINJA)),
        (PLAIN, BROKEN_JINJA, "", Choice("go", PLAIN)),  # though the Jinja one promises more
        (PLAIN, BROKEN_JINJA, "0", Choice("faulty-jinja", BROKEN_JINJA)),
        (BROKEN_GO, None, "", Choice("faulty-go", BROKEN_GO)),
        (BROKEN_GO, JINJA_MORE, "", Choice("faulty-go", BROKEN_GO)),  # never passed over in silence
        (BROKEN_GO, JINJA_MORE, "0", Choice("jinja", JINJA_MORE)),
    ],
)
def test_a_broken_template(go: str | None, jinja: str | None, preference: str, chosen: Choice) -> None:
    assert chosen_for(go, jinja, preference) == chosen


def chosen_for(go: str | None, jinja: str | None, preference: str = "", renderer: str = "") -> Choice:
    ref, config = ModelRef(host="h", namespace="n", model="m", tag="t"), ModelConfig(renderer=renderer)
    model = StoredModel(ref=ref, digest="", size_bytes=0, modified_at=0, config=config, template=go)
    info = ModelInfo(architecture="llama", metadata={}, tensors=(), chat_template=jinja)
    return choose_for(model, info, preference)


@pytest.mark.parametrize(
    ("go", "jinja", "chosen"),
    [
        (TOOLS, JINJA_MORE, Choice("go", TOOLS)),
        (PLAIN, JINJA_PLAIN, Choice("jinja", JINJA_PLAIN)),
        (None, JINJA_PLAIN, Choice("jinja", JINJA_PLAIN)),
        (None, BROKEN_JINJA, Choice("faulty-jinja", BROKEN_JINJA)),
        (PLAIN, None, Choice("renderers", "qwen3-coder")),
        (None, None, Choice("renderers", "qwen3-coder")),
    ],
)
def test_a_renderer_is_never_replaced_by_the_bare_prompt(go: str | None, jinja: str | None, chosen: Choice) -> None:
    assert chosen_for(go, jinja, renderer="qwen3-coder") == chosen


def test_a_model_of_an_unknown_renderer_can_be_shown_and_names_it() -> None:
    template = Renderers().compile("qwen3-coder")
    assert (template.source, template.capabilities) == (DEFAULT_SOURCE, frozenset())
    with pytest.raises(BadRequest, match=r'unknown renderer "qwen3-coder": .* create it anew with a TEMPLATE'):
        template.render(Conversation(messages=(Message(role="user", content="x"),)))
    conversation = Conversation(prompt="x")
    assert read(template.parser(conversation, "x"), ["<think>as it is"]) == ("<think>as it is", "", [])
    assert template.constrain(conversation, None, "auto") is None


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("{{ message.tool_calls }}", {"tools"}),
        ("<think></think>", {"thinking"}),
        ("<think>", set()),
        ("{{ content.split('</think>')[-1] }}", {"thinking"}),
        ('{{ content.split("</think>") }}{{ reasoning_content }}', set()),
        ("{{ content.split('</think>') }}<SPECIAL_12>", set()),
    ],
)
def test_jinja_capabilities(source: str, want: set[str]) -> None:
    assert jinja_capabilities(source) == want
