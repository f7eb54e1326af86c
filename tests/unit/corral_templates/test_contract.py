"""Both languages keep the contract's laws."""

from collections.abc import Sequence

import pytest

from corral import Conversation, Message, TemplateEngine
from corral.testing.template_contract import TemplateContract
from corral_templates.go.engine import GoEngine
from corral_templates.jinja.engine import JinjaEngine
from corral_templates.output.families import BUILT_IN

GO = """{{ if .System }}[{{ .System }}]
{{ end }}{{ range .Tools }}{{ json . }}
{{ end }}{{ range .Messages }}{{ .Role }}: {{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}
{{- if .ToolCalls }}<tool_call>{{ range .ToolCalls }}{{ .Function }}{{ end }}</tool_call>{{ end }}
{{ end }}assistant:"""
JINJA = """{% for message in messages %}
{{ message.role }}: {{ message.content }}
{% for call in message.tool_calls %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}
{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}{# <think></think> #}assistant:"""
HI = (Message(role="system", content="Be kind."), Message(role="user", content="Hello"))
ANSWERS = (
    "",
    "plain text",
    " leading blank",
    "<think>why</think>because",
    "  <think>\n why \n</think>\n\nbecause <think>again</think>",
    "<think>never closed <",
    "<thin",
    'before <tool_call>{"name": "get_weather", "arguments": {"city": "Rome"}}</tool_call>',
    '<think>x</think><tool_call>\n{"arguments": "{\\"city\\": \\"Oslo\\"}", "name": "get_weather"}\n</tool_call> after',
    '<tool_call>{"name": "get_weather", "arguments": {}}</tool_call>\n<tool_call>{"get_weather": {"a": 1}}</tool_call>',
    '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "get_weather", "argum',
    "<tool_call>not json</tool_call> tail",
)


class TestGo(TemplateContract):
    @pytest.fixture
    def engine(self) -> TemplateEngine:
        return GoEngine(lambda: BUILT_IN)

    @pytest.fixture
    def source(self) -> str:
        return GO

    @pytest.fixture
    def broken_sources(self) -> Sequence[str]:
        return ("{{ .Prompt", "{{ if .X }}", "{{ nofunction }}", '{{ template "x" }}', "{{ end }}")

    @pytest.fixture
    def recorded(self) -> Sequence[tuple[Conversation, str]]:
        return [(Conversation(messages=HI), "[Be kind.]\nsystem: Be kind.\nuser: Hello\nassistant:")]

    @pytest.fixture
    def answers(self) -> Sequence[str]:
        return ANSWERS


class TestJinja(TemplateContract):
    @pytest.fixture
    def engine(self, jinja: JinjaEngine) -> TemplateEngine:
        return jinja

    @pytest.fixture
    def source(self) -> str:
        return JINJA

    @pytest.fixture
    def broken_sources(self) -> Sequence[str]:
        return ("{{ x", "{% for x in y %}", "{{ x | nosuchfilter }}", "{% include 'x' %}", "{{ x.__class__ }}")

    @pytest.fixture
    def recorded(self) -> Sequence[tuple[Conversation, str]]:
        return [(Conversation(messages=HI), "system: Be kind.\nuser: Hello\nassistant:")]

    @pytest.fixture
    def answers(self) -> Sequence[str]:
        return ANSWERS
