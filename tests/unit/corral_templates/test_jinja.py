"""Jinja chat templates: their inputs, the usual extras, and an end for everything hostile."""

import json
import time

import pytest

from corral import BadRequest, Conversation, Message, Think, Tool, ToolCall
from corral_templates.jinja.engine import JinjaEngine, JinjaLimits
from corral_templates.output.families import BUILT_IN

TANGLE = (  # two lists of 2^60 leaves that share their parts; comparing them is one operation without end
    "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(60) %}"
    "{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}"
)
HI = (Message(role="user", content="Hi"),)
WIRE = {"type": "function", "function": {"name": "f", "parameters": {"z": 1, "a": 2}}}


def render(jinja: JinjaEngine, source: str, *messages: Message, **fields: object) -> str:
    template = jinja.compile(source)
    return template.render(Conversation(messages=messages or HI, **fields))  # type: ignore[arg-type]  # a test's kwargs


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("{% for m in messages %}\n  {{ m.role }}:{{ m['content'] }}\n{% endfor %}\n", "  user:Hi\n"),
        (
            "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools is none }}{{ documents }}",
            "<s></s>TrueTrueNone",
        ),
        ("{{ {'b': '<é>', 'a': [1]} | tojson }}", '{"b": "<é>", "a": [1]}'),
        ("{{ {'a': 1} | tojson(indent=2) }}", '{\n  "a": 1\n}'),
        ("{{ messages | map(attribute='role') | tojson }}", '["user"]'),
        ("{% for x in [1,2,3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "13"),
        ("{% for x in [1,2,3] %}{% break %}{% endfor %}", ""),
        ("{% generation %}a{{ 1 }}{% endgeneration %}", "a1"),
        ("{% set ns = namespace(x=1) %}{% set ns.x = ns.x + 1 %}{{ ns.x }}", "2"),
        ("{% set l = [] %}{% if l.append(1) %}{% endif %}{{ l }}", "[1]"),
        ("{{ missing }}{{ messages[0].missing is defined }}", "False"),
        ("{{ '%Y' in strftime_now('%Y') }}", "False"),
    ],
)
def test_rendering(jinja: JinjaEngine, source: str, want: str) -> None:
    assert render(jinja, source, bos="<s>", eos="</s>") == want


def test_calls_and_results(jinja: JinjaEngine) -> None:
    call = ToolCall(name="f", arguments={"b": "é<", "a": 1}, id="c1")
    messages = (
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="r", tool_name="f", tool_call_id="c1"),
    )
    source = "{{ messages | tojson }}"
    shown = json.loads(render(jinja, source, *messages))
    assert shown[0]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"b": "é<", "a": 1}}}
    ]
    assert shown[1] == {"role": "tool", "content": "r", "name": "f", "tool_call_id": "c1"}


@pytest.mark.parametrize("shown", ["{{ a }}", "{{ '' + a }}", "{{ a + '' }}", "{{ '' ~ a }}", "{{ a | string }}"])
def test_arguments_serve_as_object_and_as_text(jinja: JinjaEngine, shown: str) -> None:
    call = ToolCall(name="f", arguments={"b": "é<", "a": [1]})
    messages = HI[0], Message(role="assistant", tool_calls=(call,)), HI[0]
    source = "{% set a = messages[1].tool_calls[0].function.arguments %}"
    assert render(jinja, source + shown, *messages) == '{"b":"é<","a":[1]}'
    loop = "{% for k, v in a.items() %}{{ k }}={{ v }};{% endfor %}{{ a is mapping }}"
    assert render(jinja, source + loop, *messages) == "b=é<;a=[1];True"


def test_tools_are_passed_as_sent(jinja: JinjaEngine) -> None:
    assert render(jinja, "{{ tools | tojson }}", tools=(Tool(name="f", wire=WIRE),)) == json.dumps([WIRE])
    made = json.loads(render(jinja, "{{ tools | tojson }}", tools=(Tool(name="f", description="d"),)))
    assert made == [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}]


@pytest.mark.parametrize(("think", "want"), [(None, "- -"), (True, "True -"), (False, "False -"), ("low", "True low")])
def test_thinking_arguments(jinja: JinjaEngine, think: Think | None, want: str) -> None:
    source = "{{ enable_thinking | default('-') }} {{ reasoning_effort | default('-') }}"
    assert render(jinja, source, think=think) == want


def test_a_last_assistant_message_is_a_prefill(jinja: JinjaEngine) -> None:
    turns = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    source = turns + "{% if add_generation_prompt %}[assistant]{% endif %}"
    assert render(jinja, source, *HI, Message(role="assistant", content="Sure,")) == "[user]Hi[assistant]Sure,"
    assert render(jinja, source, Message(role="assistant", content="A")) == "[assistant]A[assistant]"


def test_a_system_text_moves_where_no_system_role_is(jinja: JinjaEngine) -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}[{{ m.content }}]{% endfor %}"
    )
    assert render(jinja, source, Message(role="system", content="S"), *HI) == "[S\n\nHi]"
    with pytest.raises(BadRequest, match="System role not supported"):
        render(jinja, source, *HI, Message(role="system", content="S"), *HI)


@pytest.mark.parametrize(
    "source",
    [
        "{% if x %}",
        "{{ x | nosuch }}",
        "{{ x is nosuch }}",
        "{{1}}" * 30_000,  # more than is read
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ ''['__class__'] }}",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ " + "9" * 5000 + " }}",
        "x" * (1 << 21),
    ],
)
def test_refused_when_compiled(jinja: JinjaEngine, source: str) -> None:
    with pytest.raises(BadRequest, match="template error"):
        jinja.compile(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ cycler | attr('__init__') }}",
        "{{ ''['__cl' ~ 'ass__'] }}",
        "{{ '{0.__class__}'.format('x') }}",
        "{{ '{a.__class__}'.format_map({'a': 1}) }}",
        "{{ ['x'] | map('attr', '__class__') | list }}",
        "{{ ['x'] | map(attribute='__class__') | list }}",
        "{{ raise_exception('roles must alternate') }}",
        "{{ missing.field.field }}",
        "{{ range(10 ** 9) }}",
        "{{ messages.clear() }}",
        "{{ 1 / 0 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_refused_when_rendered(jinja: JinjaEngine, source: str) -> None:
    with pytest.raises(BadRequest, match="template error"):
        render(jinja, source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ 'x' * 1000000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'x' | center(1000000000) }}",
        "{{ 2 ** (2 ** 40) }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "{% set n = namespace(x='x') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        TANGLE,
    ],
)
def test_bombs_end_and_the_next_chat_is_served(source: str) -> None:
    engine = JinjaEngine(lambda: BUILT_IN, JinjaLimits(cpu_s=0.3, output_chars=1 << 20, memory_mb=128))
    try:
        began = time.process_time()
        with pytest.raises(BadRequest, match="template error"):
            render(engine, source)
        assert time.process_time() - began < 1  # the server's own share
        assert render(engine, "{{ messages[0].content }}") == "Hi"
    finally:
        engine.close()
    engine.close()


def test_a_renderer_that_died_is_replaced() -> None:
    engine = JinjaEngine(lambda: BUILT_IN, JinjaLimits(cpu_s=5.0, output_chars=1 << 20, memory_mb=128))
    try:
        assert render(engine, "{{ messages[0].content }}") == "Hi"
        process = engine._process._process
        assert process is not None
        process.kill()
        process.wait()
        assert render(engine, "{{ messages[0].content }}") == "Hi"
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("{{ messages }}", set()),
        ("{{ tools }}<think></think>", {"tools", "thinking"}),
        ("[TOOL_CALLS]{{ tools }}[THINK][/THINK]", {"tools", "thinking"}),
        ("{{ tools }}<|start|><|channel|><|message|>", {"tools", "thinking"}),
        ("{{ tools }}<|START_ACTION|><|END_THINKING|>", {"tools", "thinking"}),
    ],
)
def test_capabilities(jinja: JinjaEngine, source: str, want: set[str]) -> None:
    assert jinja.compile(source).capabilities == want


def test_a_chat_waits_for_no_process() -> None:
    """The renderer starts when a template is compiled, and again as soon as one has overrun."""
    jinja = JinjaEngine(lambda: BUILT_IN, JinjaLimits(cpu_s=0.5, output_chars=1 << 20, memory_mb=128))
    try:
        template = jinja.compile("{{ messages[0].content }}")
        first = jinja._process._process
        assert first is not None
        assert template.render(Conversation(messages=HI)) == "Hi"
        assert jinja._process._process is first
        with pytest.raises(BadRequest, match="runs too long"):
            render(jinja, "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")
        second = jinja._process._process
        assert second is not None
        assert second is not first
        assert template.render(Conversation(messages=HI)) == "Hi"
        assert jinja._process._process is second
    finally:
        jinja.close()
