"""What a Go template's text reveals."""

import pytest

from corral_templates.go.engine import GoTemplate
from corral_templates.go.scan import identifiers, think_tags, tool_tag


@pytest.mark.parametrize(
    ("body", "want"),
    [
        (
            "{{ if .ToolCalls }}<tool_call>\n{{ range .ToolCalls }}{{ .Function }}{{ end }}</tool_call>{{ end }}",
            "<tool_call>",
        ),
        ('{{ if .ToolCalls }}[TOOL_CALLS] [{{ range .ToolCalls }}{"name": "x"}{{ end }}]{{ end }}', "[TOOL_CALLS] ["),
        ('{{ if .ToolCalls }}{{ range .ToolCalls }}{"name": "{{ .Function.Name }}"}{{ end }}{{ end }}', "{"),
        ('{{ if .ToolCalls }}<f>{"name"{{ end }}', "<f>"),
        ("{{ if .ToolCalls }}[ {{ range .ToolCalls }}{{ . }}{{ end }}{{ end }}", "["),
        ("{{ if .ToolCalls }}  \n {{ end }}", "{"),
        ("{{ if .ToolCalls }}{{ .Function }}<late>{{ end }}", "{"),
        ("{{ if .Content }}a{{ else if .ToolCalls }}<call>{{ end }}", "<call>"),
        ('{{ if and (eq .Role "assistant") .ToolCalls }}<a>{{ end }}', "<a>"),
        ("no calls", "{"),
    ],
)
def test_tool_tag(body: str, want: str) -> None:
    assert tool_tag(GoTemplate("{{ range .Messages }}" + body + "{{ end }}").tree) == want


@pytest.mark.parametrize(
    ("source", "want"),
    [
        (
            "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}",
            ("<think>", "</think>"),
        ),
        (
            "{{ range $i, $_ := $.Messages }}{{ if .Thinking }}\n<t>\n{{ .Thinking }}\n</t>\n{{ end }}{{ end }}",
            ("<t>", "</t>"),
        ),
        ("{{ range .Messages }}{{ if .Thinking }}{{ .Thinking }}</think>{{ end }}{{ end }}", None),
        ("{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}", None),
        ("{{ range .Messages }}{{ range .ToolCalls }}<a>{{ .Thinking }}</a>{{ end }}{{ end }}", None),
        ("{{ range .Messages }}a{{ end }}", None),
    ],
)
def test_think_tags(source: str, want: tuple[str, str] | None) -> None:
    assert think_tags(GoTemplate(source).tree) == want


def test_identifiers() -> None:
    source = (
        '{{ define "d" }}{{ .InDefinition }}{{ end }}{{ $x := .A.B }}{{ $x.C }}{{ if eq .D "x" }}{{ end }}'
        '{{ with .E }}{{ end }}{{ template "d" .F }}{{ (index .G 0).Hidden }}{{ $.Messages }}'
    )
    assert identifiers(GoTemplate(source).tree) == {"indefinition", "a", "b", "c", "d", "e", "f", "messages"}


def test_capabilities() -> None:
    assert GoTemplate("{{ .Prompt }}").capabilities == frozenset()
    assert GoTemplate("{{ range .Messages }}{{ end }}{{ .Tools }}").capabilities == {"tools"}
    assert GoTemplate("{{ .Prompt }}{{ .Suffix }}").capabilities == {"insert"}
    loop = "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}"
    assert GoTemplate(loop).capabilities == {"thinking"}
