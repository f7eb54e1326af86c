"""Which template renders."""

import pytest

from corral import ModelConfig, ModelInfo, ModelRef, StoredModel
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
    ref = ModelRef(host="h", namespace="n", model="m", tag="t")
    model = StoredModel(ref=ref, digest="", size_bytes=0, modified_at=0, config=ModelConfig(), template=go)
    info = ModelInfo(architecture="llama", metadata={}, tensors=(), chat_template=jinja)
    assert choose_for(model, info, preference) == chosen


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
