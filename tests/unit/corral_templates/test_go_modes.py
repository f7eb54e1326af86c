"""How conversations reach Go templates: the variables, the three modes, the cut."""

import pytest

from corral import BadRequest, Conversation, Message, Think, Tool, ToolCall
from corral_templates.go.engine import GoTemplate

SYSTEM = Message(role="system", content="S")
CHAT = (
    Message(role="user", content="U1"),
    Message(role="assistant", content="A1"),
    Message(role="user", content="U2"),
)
INST = "[INST] {{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}[/INST] "
CHATML = (
    "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
    "{{ if .Prompt }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n{{ .Response }}<|im_end|>\n"
)
LIST = "{{ range .Messages }}[{{ .Role }}|{{ .Content }}]{{ end }}"


def render(source: str, *messages: Message, tools: tuple[Tool, ...] = (), think: Think | None = None) -> str:
    return GoTemplate(source).render(Conversation(messages=messages, tools=tools, think=think))


@pytest.mark.parametrize("tail", ["", "{{ .Response }}"])
def test_turn_by_turn(tail: str) -> None:
    assert render(INST + tail, *CHAT) == "[INST] U1[/INST] A1[INST] U2[/INST] "
    assert render(INST + tail, SYSTEM, *CHAT) == "[INST] S\n\nU1[/INST] A1[INST] U2[/INST] "


def test_a_last_assistant_message_is_a_prefill() -> None:
    assert render(INST, *CHAT, Message(role="assistant", content="My name")).endswith("U2[/INST] My name")
    prompt = render(CHATML, *CHAT, Message(role="assistant", content="My name"))
    assert prompt.endswith("<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\nMy name")


def test_the_last_turn_is_cut_after_the_response() -> None:
    prompt = render(CHATML, SYSTEM, *CHAT)
    assert prompt == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n"
        "<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("{{ .Prompt }}|{{ if .Prompt }}{{ .Response }}tail{{ else }}other{{ end }}after", "U|"),
        ("{{ .Prompt }}|{{ if .Response }}x{{ end }}y{{ .Response }}z", "U|y"),
        ("{{ .Prompt }}{{ if .Prompt }}a{{ else }}{{ .Response }}{{ end }}b", "Ua"),
    ],
)
def test_the_cut(source: str, want: str) -> None:
    assert render(source, Message(role="user", content="U")) == want


def test_a_later_system_message_begins_a_new_turn() -> None:
    source = "{{ if .System }}s={{ .System }} {{ end }}{{ if .Prompt }}p={{ .Prompt }} {{ end }}{{ .Response }}\n"
    assert render(source, CHAT[0], CHAT[1], SYSTEM, CHAT[2]) == "p=U1 A1\ns=S p=U2 "


def test_other_roles_are_ignored_turn_by_turn() -> None:
    assert render("{{ .Prompt }}!", Message(role="user", content="U"), Message(role="tool", content="T")) == "U!"


def test_messages_are_rendered_once() -> None:
    assert render("{{ .System }}:" + LIST, SYSTEM, *CHAT) == "S:[system|S][user|U1][assistant|A1][user|U2]"


def test_neighbours_of_one_role_merge_except_tool_results() -> None:
    users = Message(role="user", content="a"), Message(role="USER", content="b")
    results = Message(role="tool", content="1"), Message(role="tool", content="2")
    assert render(LIST, *users, *results) == "[user|a\n\nb][tool|1][tool|2]"
    systems = SYSTEM, CHAT[0], Message(role="system", content="T")
    assert render("{{ .System }}:" + LIST, *systems) == "S\n\nT:[system|S][user|U1][system|T]"


def test_fill_in_the_middle() -> None:
    template = GoTemplate(
        "{{- if .Suffix }}<PRE> {{ .Prompt }} <SUF>{{ .Suffix }} <MID>{{ else }}{{ .Prompt }}{{ end }}"
    )
    assert template.render(Conversation(prompt="def add(", suffix="return x")) == "<PRE> def add( <SUF>return x <MID>"
    assert template.render(Conversation(messages=(Message(role="user", content="hi"),), suffix="x")) == "hi"
    assert template.capabilities == {"insert"}


@pytest.mark.parametrize(
    ("think", "want"),
    [(None, "false  false"), (True, "true medium true"), (False, "false  true"), ("high", "true high true")],
)
def test_think_variables(think: Think | None, want: str) -> None:
    assert render("{{ range .Messages }}{{ end }}{{ .Think }} {{ .ThinkLevel }} {{ .IsThinkSet }}", think=think) == want


WEATHER = Tool(
    name="get_weather",
    description="Where & when",
    parameters={
        "type": "object",
        "required": ["city"],
        "properties": {
            "unit": {"type": ["string", "null"], "enum": ["c", "f"]},
            "city": {"type": "string", "description": "the city"},
            "when": {"anyOf": [{"type": "integer"}, {"type": "array"}]},
        },
    },
)


def test_tools_print_as_json() -> None:
    want = (
        '{"type":"function","function":{"name":"get_weather","description":"Where \\u0026 when","parameters":{"type":'
        '"object","required":["city"],"properties":{"city":{"type":"string","description":"the city"},"unit":{"type":'
        '["string","null"],"enum":["c","f"]},"when":{"anyOf":[{"type":"integer"},{"type":"array"}]}}}}}'
    )
    loop = "{{ range .Messages }}{{ end }}"
    assert render(loop + "{{ .Tools }}", *CHAT, tools=(WEATHER,)) == f"[{want}]"
    assert render(loop + "{{ range .Tools }}{{ . }}{{ end }}", *CHAT, tools=(WEATHER,)) == want
    assert render(loop + "{{ range .Tools }}{{ json . }}{{ .String }}{{ end }}", *CHAT, tools=(WEATHER,)) == want * 2
    function = render(loop + "{{ range .Tools }}{{ .Function }}{{ end }}", *CHAT, tools=(WEATHER,))
    assert function.startswith('{"name":"get_weather","description"')
    assert render(loop + "{{ if .Tools }}x{{ end }}{{ len .Messages }}", *CHAT) == "3"


def test_properties() -> None:
    source = (
        "{{ range .Messages }}{{ end }}{{ range .Tools }}{{ range $k, $p := .Function.Parameters.Properties }}"
        "{{ $k }}:{{ $p.Type }}:{{ toTypeScriptType $p }};{{ end }}{{ end }}"
    )
    want = "city:string:string;unit:[string null]:string | null;when:[]:number | any[];"
    assert render(source, *CHAT, tools=(WEATHER,)) == want


def test_calls() -> None:
    call = ToolCall(name="f", arguments={"b": 1, "a": [1.5, "<"]}, id="c1", index=2)
    message = Message(role="assistant", tool_calls=(call,))
    source = "{{ range .Messages }}{{ range .ToolCalls }}{{ .ID }} {{ .Function.Index }} {{ .Function.Name }} "
    assert (
        render(source + "{{ .Function.Arguments }}{{ end }}{{ end }}", message) == 'c1 2 f {"a":[1.5,"\\u003c"],"b":1}'
    )
    loop = "{{ range $k, $v := .Function.Arguments }}{{ $k }}={{ $v }};{{ end }}{{ end }}{{ end }}"
    assert render(source + loop, message) == "c1 2 f a=[1.5 <];b=1;"
    result = Message(role="tool", content="ok", tool_name="f", tool_call_id="c1")
    assert render("{{ range .Messages }}{{ .ToolName }}/{{ .ToolCallID }}{{ end }}", result) == "f/c1"


def test_images() -> None:
    messages = (
        Message(role="user", content="look at [img] and", images=(b"1", b"2")),
        Message(role="assistant", content="yes"),
        Message(role="user", content="this", images=(b"3",)),
    )
    assert render(LIST, *messages) == "[user|[img-1]look at [img-0] and][assistant|yes][user|[img-2]this]"


def test_a_struct_has_only_its_fields() -> None:
    with pytest.raises(BadRequest, match=r"can't evaluate field Nope in type api\.Message"):
        render("{{ range .Messages }}{{ .Nope }}{{ end }}", *CHAT)


def test_hostile_schemas_render() -> None:
    for parameters in (
        {"properties": {"a": 3}},
        {"properties": {"a": {"type": 5, "anyOf": 7, "enum": {}}}},
        {"required": 1},
    ):
        tool = Tool(name="t", parameters=parameters)
        assert '"name":"t"' in render("{{ range .Messages }}{{ end }}{{ .Tools }}", *CHAT, tools=(tool,))
