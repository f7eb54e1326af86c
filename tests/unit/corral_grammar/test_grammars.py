"""Regular expressions, GBNF and Lark: what they accept, and how hostile ones are refused."""

import time
from collections.abc import Callable

import pytest
from byte_texts import Bytes, accepts

from corral import BadRequest
from corral_grammar import gbnf
from corral_grammar.state import GrammarState

Build = Callable[..., GrammarState]

JSON_GBNF = r"""
# the whole of JSON
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws     ::= | " " | "\n" [ \t]{0,20}
"""
CHESS = """root ::= (move " ") + "1-0"
move ::= (pawn | "O-O" "-O"?) [+#]?
pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
"""
GBNF = [
    (JSON_GBNF, ['{"a": [1, -2.5e3, "\\u00e9é"], "b": {}}', "{}"], ["{", "[]", '{"a": 01x}', "{'a': 1}"]),
    (CHESS, ["e4 exd5 1-0", "O-O-O+ 1-0"], ["1-0", "e9 1-0"]),
    ('root ::= [a-z]+ "x"', ["ax", "xxx"], ["x", "a"]),
    ("root ::= .{2}", ["é\n", "ab"], ["a", "abc"]),
    ("root ::= [^\\n\\]]*", ["", "a[é"], ["\n", "]"]),
    ("root ::= [-a] [a-] [\\^x]", ["-a^", "a-x"], ["b-x"]),
    ('root ::= "\\x41\\u00e9\\U0001F600\\"\\\\"', ['Aé😀"\\'], ["A"]),
    ('root ::= ("a" | ) "b"', ["ab", "b"], ["a"]),
    ('root ::= "a"{2,} "b"{0,1} "c"{ 3 }', ["aaccc", "aaabccc"], ["accc", "aabbccc", "aacc"]),
    ('root ::= a-1 |\n  "c" # more\na-1 ::= "b"+?', ["b", "c", ""], ["a"]),
    ('root ::= "(" root ")" | "x"', ["x", "((x))"], ["((x)", ""]),
    ('root ::= item+\nitem ::= "- " [^\\n]+ "\\n" nest?\nnest ::= "  " item', ["- a\n  - b\n- c\n"], ["- a"]),
    ("root ::= <[65]> !<[66]>", ["AA"], ["AB", "BA"]),
]


@pytest.mark.parametrize(("source", "good", "bad"), GBNF)
def test_gbnf(build: Build, texts: Bytes, source: str, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not accepts(build("gbnf", source), texts, text)] == []
    assert [text for text in bad if accepts(build("gbnf", source), texts, text)] == []


WRONG_GBNF = [
    ("", "line 1: there is no rule named root"),
    ('a ::= "b"', "line 1: there is no rule named root"),
    ('root ::= "a"\n\nroot ::= "b"', "line 3: the rule 'root' is there already (line 1)"),
    ('root ::= "a" b\n', "line 1: there is no rule named 'b'"),
    ('root ::= "x"\n| "y"', "line 2: a rule"),
    ("root ::= root", "line 1: the rule 'root' is left recursive"),
    ('root ::= a "x"\na ::= "b"? root', "left recursive"),
    ('root ::= "x" a\na ::= (""{0} a "b") | "c"', "line 2: the rule 'a' is left recursive"),
    ("root ::= []", "line 1: [] is an empty class"),
    ("root ::= [z-a]", "the wrong way round"),
    ('root ::= "a"{3,2}', "the wrong way round"),
    ('root ::= "a"{0,2000000000}', "line 1: {0,2000000000} repeats more than 2000 times"),
    ("root ::= * 3", "line 1: '*' has nothing to repeat"),
    ('root ::= "a', "line 1: unexpected '\"a'"),
    ('root ::= ("a"\n"b"', "line 2: '(' without ')'"),
    ('root ::= "a")', "line 1: ')' without '('"),
    ("root", "line 1: '::=' is expected after 'root'"),
    ('root ::= "\\q"', "line 1: unknown escape \\q"),
    ('root ::= "\\uD800"', "line 1: \\uD800 is no character"),
    ("root ::= !<think>", "only tokens given by their id"),
    ("root ::= <nothing>", "<nothing>"),
    ('root ::= "(" root ")"', "line 1: the rule 'root' never ends"),
    ("root ::= " + "(" * 60_000 + '"a"' + ")" * 60_000, "line 1: more than 100 groups within each other"),
    ("root ::= r0\n" + "\n".join(f"r{i} ::= r{i + 1}" for i in range(1000)), "no rule named 'r1000'"),
    (
        'root ::= "(" r0 ")"\n' + "\n".join(f'r{i} ::= "x" r{i + 1}' for i in range(9000)) + "\nr9000 ::= root",
        "more than 2000 rules",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("source", "message"), WRONG_GBNF, ids=[message[:40] for _, message in WRONG_GBNF])
def test_wrong_gbnf_is_refused_by_its_line(build: Build, source: str, message: str) -> None:
    refused(build, "gbnf", source, message)


def refused(build: Build, kind: str, source: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(BadRequest) as caught:
        build(kind, source)
    assert message in caught.value.message
    assert len(caught.value.message) < 1000
    assert time.process_time() - began < 2


def test_a_rule_that_recurses_is_a_rule_and_another_a_terminal() -> None:
    assert gbnf.translate('root ::= [a-c] | "(" root ws ")" ws\nws ::= " "*\nother ::= ws').splitlines() == [
        "start: r0",
        'r0: T0 | T1 r0 T2',
        'R1: (" "){0,}',
        "T0: /[\\u{61}-\\u{63}]/",
        'T1: "("',
        'T2: R1 ")" R1',
    ]  # fmt: skip


REGEX = [
    ("^(yes|no)$", ["yes", "no"], ["y", "yes no"]),
    ("[a-z]{2,3}x?", ["ab", "abcx"], ["a", "ab1"]),
    (r"\d+/\w+", ["1/a_", "12/b"], ["1/é", "x/a"]),
    ("(a+)+b", ["aab"], ["aa"]),
    ("é.", ["éa"], ["é\n", "e"]),
    ("", [""], ["a"]),
]


@pytest.mark.parametrize(("source", "good", "bad"), REGEX)
def test_regular_expressions(build: Build, texts: Bytes, source: str, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not accepts(build("regex", source), texts, text)] == []
    assert [text for text in bad if accepts(build("regex", source), texts, text)] == []


WRONG_REGEX = [
    ("*", "repetition operator missing expression"),
    ("(a)\\1", "backreferences are not supported"),
    ("(?<=a)b", "look-around, including look-ahead and look-behind, is not supported"),
    ("a{0,2000000000}", "at 1: {0,2000000000} repeats more than 100000 times"),
    ("(" * 60_000 + "a" + ")" * 60_000, "exceed the maximum number of nested"),
    ("[a", "unclosed character class"),
]


@pytest.mark.parametrize(("source", "message"), WRONG_REGEX, ids=[message for _, message in WRONG_REGEX])
def test_wrong_regular_expressions(build: Build, source: str, message: str) -> None:
    refused(build, "regex", source, message)


@pytest.mark.parametrize("source", ["(.*){1000}", "((.*a){100}){100}", "(.*a.{1000}b.*|.*c.{999}d)", "a{0,100000}"])
def test_expressions_that_ruin_others_are_nothing_special(build: Build, texts: Bytes, source: str) -> None:
    began = time.process_time()
    state = build("regex", source)
    for _ in range(20):
        assert state.allows(ord("a"))
        state.accept(ord("a"))
    assert time.process_time() - began < 2


LARK = [
    ('start: "a" INT ("," INT)*\n%import common.INT', ["a1,22"], ["a", "a1,"]),
    ('start: one\none: %json\n {"properties": {"a": {"type": "null"}}}', ['{"a": null}', "{ }"], ["{  }"]),
    ('start: "x" start | "y" // not %json [', ["xxy"], ["x"]),
    ('start: sum\nsum: sum "+" /[0-9]+/ | /[0-9]+/', ["1+2+3"], ["1+"]),
    ("start: <[65]> /b/", ["Ab"], ["AB"]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "good", "bad"), LARK)
def test_lark(build: Build, texts: Bytes, source: str, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not accepts(build("lark", source), texts, text)] == []
    assert [text for text in bad if accepts(build("lark", source), texts, text)] == []


WRONG_LARK = [
    ("", "Empty grammar"),
    ("start: foo", 'unknown name: "foo"'),
    ('start: "a"{0,2000000000}', "line 1: {0,2000000000} repeats more"),
    ('start: "a"\nx: "b"~3..2000000000', "line 2: ~3..2000000000 repeats more"),
    ("start: " + "(" * 60_000 + '"a"' + ")" * 60_000, "line 1: more than 10000 rules and groups"),
    ("start: " + "(" * 5000 + '"a"' + ")" * 5000, "too deeply nested"),
    ("start: r0\n" + "".join(f"r{i}: r{i + 1}\n" for i in range(15_000)), "line 10001: more than 10000 rules"),
    ("start: a\na: %json {", "line 2: %json"),
    ('start: a\n\na: %json {"not": {}}', "$.not cannot be enforced"),
    ('start: a\na: %json {"$ref": "http://127.0.0.1:1/x"}', "nothing is fetched"),
    ("start: start", "nothing matches it"),
    ("start: /(?=a)/", "look-around"),
]


@pytest.mark.parametrize(("source", "message"), WRONG_LARK, ids=[message for _, message in WRONG_LARK])
def test_wrong_lark_is_refused(build: Build, source: str, message: str) -> None:
    refused(build, "lark", source, message)


def test_long_chains_of_rules_do_not_overflow_the_stack(build: Build, texts: Bytes) -> None:
    chain = "".join(f'r{i}: "x" r{i + 1}\n' for i in range(1900))
    assert build("lark", f'start: r0\n{chain}r1900: "a"\n').allows(ord("x"))
    chain = "".join(f'r{i} ::= "x" r{i + 1}\n' for i in range(1900))
    assert build("gbnf", f'root ::= r0\n{chain}r1900 ::= "a" | root\n').allows(ord("x"))
    schema = ",".join(f'"d{i}": {{"type": "array", "items": {{"$ref": "#/$defs/d{i + 1}"}}}}' for i in range(2500))
    source = f'{{"$ref": "#/$defs/d0", "$defs": {{{schema}, "d2500": {{"type": "null"}}}}}}'
    assert build("json_schema", source, max_source_bytes=1 << 20).allows(ord("["))
