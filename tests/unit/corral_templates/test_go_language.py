"""The language: one small template a rule, with what Go prints for it."""

import datetime

import pytest

from corral import BadRequest
from corral_templates.go.executor import Limits, execute
from corral_templates.go.functions import FUNCTIONS
from corral_templates.go.parser import parse
from corral_templates.go.values import GoValue

DATA: dict[str, GoValue] = {
    "Name": "world",
    "Empty": "",
    "N": 3,
    "Half": 0.5,
    "One": 1.0,
    "Yes": True,
    "List": ["a", "b", "c"],
    "None": None,
    "Map": {"b": 2, "a": "<&>"},
    "Nested": {"A": {"B": "deep"}},
}


def run(source: str, data: dict[str, GoValue] = DATA) -> str:
    return execute(parse(source, FUNCTIONS.keys()), data, Limits(steps=100_000, output_chars=100_000))


@pytest.mark.parametrize(
    ("source", "want"),
    [
        # trim markers and comments
        ("a \n {{- .Name -}} \n b", "aworldb"),
        ("a {{- /* gone */ -}} b", "ab"),
        ("a {{/* gone */}} b", "a  b"),
        ("{{-3}}", "-3"),
        ("{{ 3 -}}  x", "3x"),
        ("{{\n.Name\n}}", "world"),
        ("x\n{{- if .Yes }}\ny\n{{- end }}", "x\ny"),
        # branches
        ("{{if .Empty}}1{{else if .List}}2{{else}}3{{end}}", "2"),
        ("{{if .Empty}}1{{else if .Missing}}2{{else}}3{{end}}", "3"),
        ("{{with .Nested.A}}{{.B}}{{else}}no{{end}}", "deep"),
        ("{{with .Empty}}1{{else with .Name}}{{.}}{{else}}3{{end}}", "world"),
        ("{{with $x := .Name}}{{$x}}{{end}}", "world"),
        # range
        ("{{range .List}}{{.}};{{end}}", "a;b;c;"),
        ("{{range $v := .List}}{{$v}}{{end}}", "abc"),
        ("{{range $i, $v := .List}}{{$i}}{{$v}}{{end}}", "0a1b2c"),
        ("{{range $k, $v := .Map}}{{$k}}={{$v}},{{end}}", "a=<&>,b=2,"),
        ("{{range .N}}{{.}}{{end}}", "012"),
        ("{{range .Missing}}x{{else}}none{{end}}", "none"),
        ('{{range .List}}{{if eq . "b"}}{{continue}}{{end}}{{.}}{{end}}', "ac"),
        ('{{range .List}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}', "a"),
        ("{{range .List}}{{$.Name}}{{end}}", "worldworldworld"),
        # variables
        ("{{$x := 1}}{{range .List}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := 1}}{{if .Yes}}{{$x := 2}}{{end}}{{$x}}", "1"),
        ("{{$m := .Nested}}{{$m.A.B}}", "deep"),
        # missing values and truth
        ("{{.Missing}}|{{.None}}|{{.Missing.Field}}", "<no value>|<no value>|<no value>"),
        ("{{if .Missing}}1{{else}}0{{end}}{{if .None}}1{{else}}0{{end}}{{if .Half}}1{{else}}0{{end}}", "001"),
        # printing
        ("{{.List}} {{.Map}} {{.Yes}} {{.One}} {{.Half}}", "[a b c] map[a:<&> b:2] true 1 0.5"),
        # pipelines, parentheses, chains
        ('{{.Name | printf "%s-%s" "hello"}}', "hello-world"),
        ("{{len (slice .List 1)}}", "2"),
        ('{{(index .Map "a")}}', "<&>"),
        ("{{with (.Nested).A}}{{.B}}{{end}}", "deep"),
        # literals
        (r'{{"a\tb\"\x41\u00e9"}}', 'a\tb"Aé'),
        ("{{`raw\n\\n`}}", "raw\n\\n"),
        ("{{'a'}} {{0x1F}} {{1_000}} {{1e3}} {{.5}} {{-2}}", "97 31 1000 1000 0.5 -2"),
        # definitions
        ('{{define "x"}}[{{.}}]{{end}}{{template "x" .Name}}', "[world]"),
        ('{{block "y" .Name}}<{{.}}>{{end}}', "<world>"),
        # functions
        ('{{and .Yes "x"}}{{and .Empty .Missing.Boom}}{{or .Empty "y"}}{{or 0 0}}{{not .Yes}}', "xy0false"),
        ('{{eq .Name "a" "world"}}{{ne 1 2}}{{lt 1 2}}{{le 2 2}}{{gt "b" "a"}}{{ge 1 2}}', "truetruetruetruetruefalse"),
        ('{{len .Name}}{{len .List}}{{len "é"}}', "532"),
        ('{{index .List 1}}{{index .Map "a"}}{{index .Map "zz"}}', "b<&><no value>"),
        ("{{slice .Name 1 3}}{{slice .List 1 2}}", "or[b]"),
        ('{{print "a" "b" 1 2 "c"}}|{{println 1 "a"}}', "ab1 2c|1 a\n"),
        ('{{printf "%5d|%-4s|%06.1f|%x|%q" 42 "ab" 2.25 255 "q\\n"}}', '   42|ab  |0002.2|ff|"q\\n"'),
        ('{{printf "%t|%%|%v|%.2s|%+d|%c|%T" true .List "abc" 3 97 1.5}}', "true|%|[a b c]|ab|+3|a|float64"),
        ('{{printf "%d" "x"}} {{printf "%s"}} {{printf "%d" 1 2}}', "%!d(string=x) %!s(MISSING) 1%!(EXTRA int=2)"),
        ('{{html "<a&\\">"}} {{urlquery "a b&c"}} {{js "it\'s"}}', "&lt;a&amp;&#34;&gt; a+b%26c it\\'s"),
        ("{{json .Map}}", '{"a":"\\u003c\\u0026\\u003e","b":2}'),
        ('{{json .One}}{{json .List}}{{json .Missing}}{{json "a\\u2028"}}', '1["a","b","c"]null"a\\u2028"'),
        # the "is this the last one" idiom
        ("{{range $i, $_ := .List}}{{if eq (len (slice $.List $i)) 1}}last {{.}}{{end}}{{end}}", "last c"),
    ],
)
def test_rendering(source: str, want: str) -> None:
    assert run(source) == want


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (1.0, "1"),
        (0.1, "0.1"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-2.50, "-2.5"),
    ],
)
def test_json_numbers(value: float, want: str) -> None:
    assert run("{{json .V}}", {"V": value}) == want


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ .X", "unclosed action"),
        ("{{ if .X }}a", "unexpected EOF"),
        ("{{ range .X }}{{ else }}", "unexpected EOF"),
        ("{{ end }}", "unexpected"),
        ("{{ nosuch .X }}", 'function "nosuch" not defined'),
        ('{{ template "x" }}', "undefined template specified"),
        ("{{ $x }}", 'undefined variable "\\$x"'),
        ("{{ }}", "missing value"),
        ("{{ if }}{{ end }}", "missing value for if"),
        ("{{ .X | }}", "missing value"),
        ("{{ .X | 3 }}", "non executable command"),
        ("{{ 3 .X }}", "can't give argument"),
        ("{{ nil }}", "nil is not a command"),
        ("{{ break }}", "outside"),
        ("{{ if .X }}{{ else }}{{ else }}{{ end }}", "expected end"),
        ('{{ "a\nb" }}', "unterminated quoted string"),
        ("{{ (.X }}", "unclosed left paren"),
        ("{{ .X) }}", "unexpected right paren"),
        ("{{ .X! }}", "bad character"),
        ("{{/* x }}", "unclosed comment"),
        (r'{{ "\z" }}', "unknown escape"),
        ('{{ if .X }}{{ define "y" }}{{ end }}{{ end }}', "define"),
        ("{{ if 1 }}" * 2000, "nested"),
        ("{{ " + "(" * 2000 + ")" * 2000 + " }}", "nested"),
    ],
)
def test_what_go_does_not_parse(source: str, message: str) -> None:
    with pytest.raises(BadRequest, match=f"template error: .*{message}"):
        run(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ eq 1 1.0 }}", "incompatible types"),
        ('{{ eq "1" 1 }}', "incompatible types"),
        ("{{ lt .Yes .Yes }}", "invalid type"),
        ("{{ index .List 3 }}", "out of range"),
        ("{{ slice .List 2 1 }}", "invalid slice"),
        ("{{ slice .Name 99 }}", "out of range"),
        ("{{ .None.Field }}", "nil pointer"),
        ("{{ .Name.Field }}", "can't evaluate field"),
        ("{{ range .Name }}{{ end }}", "can't iterate"),
        ("{{ len 3 }}", "len of type int"),
        ("{{ len }}", "wrong number of args"),
        ("{{ .Name .N }}", "can't give argument"),
        ('{{ template "nowhere" . }}', "not defined"),
        ("{{ call .Name }}", "non-function"),
        ("line one\nline two {{ index .List 9 }}", ":2:"),
    ],
)
def test_what_go_does_not_execute(source: str, message: str) -> None:
    with pytest.raises(BadRequest, match=f"template error: .*{message}"):
        run(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ range 1000000000 }}{{ range 1000000000 }}{{ end }}{{ end }}",
        "{{ range 1000000000 }}xxxxxxxxxxxxxxxxxxxxxxxx{{ end }}",
        '{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}',
        '{{ $x := "x" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}',
        '{{ printf "%999999d" 1 }}',
    ],
)
def test_bombs_end(source: str) -> None:
    with pytest.raises(BadRequest, match="template error"):
        run(source)


def test_dates() -> None:
    today = datetime.datetime.now().astimezone().date()
    dates = run('{{ currentDate }} {{ yesterdayDate }} {{ currentDate "x" }}').split()
    assert dates in (
        [str(day), str(day - datetime.timedelta(days=1)), str(day)]
        for day in (today, today + datetime.timedelta(days=1))
    )
