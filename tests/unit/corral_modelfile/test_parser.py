"""Reading Modelfiles: the state machine, quotes, encodings, errors."""

import codecs
import time

import pytest

from corral import BadRequest
from corral_modelfile import Instruction, parse

COMMANDS = (
    'command must be one of "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", '
    '"parameter", "message", or "requires"'
)


def values(text: str) -> list[tuple[str, str, str]]:
    return [(each.command, each.key, each.value) for each in parse(text).instructions]


def error(text: str) -> str:
    with pytest.raises(BadRequest) as caught:
        parse(text)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('FROM "     model 1"', [("from", "", "     model 1")]),
        ("FROM     FOOO BAR    ", [("from", "", "FOOO BAR")]),
        (
            "PARAMETER what the \nFROM lemons make lemonade ",
            [("parameter", "what", "the"), ("from", "", "lemons make lemonade")],
        ),
        ('FROM foo\nSYSTEM """\nA\n"""\n', [("from", "", "foo"), ("system", "", "\nA\n")]),
        (
            "FROM foo\nSYSTEM \"\"\"''\"'\"\"'\"\"'\"'''''\"\"'\"\"'\"\"\"\n",
            [("from", "", "foo"), ("system", "", "''\"'\"\"'\"\"'\"'''''\"\"'\"\"'")],
        ),
        ("from a\nFrom b\nfRoM c", [("from", "", "a"), ("from", "", "b"), ("from", "", "c")]),
        ("FROM a\n  # SYSTEM no\nSYSTEM # yes # here", [("from", "", "a"), ("system", "", "# yes # here")]),
        (
            'FROM a\nSYSTEM """b""" trailing\nmore\nend"""\n',
            [("from", "", "a"), ("system", "", 'b""" trailing\nmore\nend')],
        ),
        ('FROM a\nSYSTEM "one\ntwo" \n', [("from", "", "a"), ("system", "", "one\ntwo")]),
        (r"FROM a\n\t\"", [("from", "", r"a\n\t\"")]),
        ('FROM a\nSYSTEM ""\nTEMPLATE """"""', [("from", "", "a"), ("system", "", ""), ("template", "", "")]),
        ("FROM a\nSYSTEM '''x'''", [("from", "", "a"), ("system", "", "'''x'''")]),
        ('FROM a\nSYSTEM """  keep\t"""', [("from", "", "a"), ("system", "", "  keep\t")]),
        ("FROM a\r\nSYSTEM b\r\n", [("from", "", "a"), ("system", "", "b")]),
        ('FROM a\r\nSYSTEM """\r\nb\r\n"""\r\n', [("from", "", "a"), ("system", "", "\r\nb\r\n")]),
        ("FROM a\nMESSAGE user a: b: c", [("from", "", "a"), ("message", "user", "a: b: c")]),
        ("FROM a\nMESSAGE user \n", [("from", "", "a"), ("message", "user", "")]),
        ("FROM\ta\nMESSAGE\tuser\thi", [("from", "", "a"), ("message", "user", "hi")]),
        ("FROM a\nPARAMETER   top_k   7\nMESSAGE   user  hi", [
            ("from", "", "a"), ("parameter", "top_k", "7"), ("message", "user", "hi"),
        ]),
        ("FROM a\nSYSTEM f\u00a0o\u200bo\u200d\x07\ufeff \u4f60\u597d \U0001f44b", [
            ("from", "", "a"), ("system", "", "foo \u4f60\u597d \U0001f44b"),
        ]),
    ],
)  # fmt: skip
def test_values(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no FROM line"),
        ("PARAMETER top_k 1", "no FROM line"),
        ("# FROM x", "no FROM line"),
        ("\nFROM foo\nBADCOMMAND param1 value1\n", f"(line 3): {COMMANDS}"),
        ("FROM\n", f"(line 2): {COMMANDS}"),
        ("FROM a\r\nBAD b\r\n", f"(line 3): {COMMANDS}"),
        ("F2 a", f"(line 1): {COMMANDS}"),
        ("1 a", f"(line 1): {COMMANDS}"),
        (
            "\nFROM foo\nMESSAGE badguy I'm bad\n",
            '(line 3): message role must be one of "system", "user", or "assistant"',
        ),
        ("FROM a\nMESSAGE User hi", '(line 2): message role must be one of "system", "user", or "assistant"'),
        ("FROM a\nPARAMETER param1\n", "unexpected EOF: param1 (line 2 has no value)"),
        ("FROM a\nPARAMETER para-m 1\n", "unexpected EOF: para (line 2 has no value)"),
        ("FROM a\nMESSAGE system\n", "unexpected EOF: system (line 2 has no value)"),
        ("FROM a\nMESSAGE system", "unexpected EOF (line 2 has no value)"),
        ("FROM a\nPARAMETER x", "unexpected EOF (line 2 has no value)"),
        ("FROM", "unexpected EOF (line 1 has no value)"),
        *(
            (f"FROM foo\n{text}", f"unexpected EOF (the quotes of {text.split()[0]} in line 2 are not closed)")
            for text in ('SYSTEM """A""\n', 'SYSTEM "\n', 'PARAMETER stop "x" # note', 'SYSTEM """', 'SYSTEM """"')
        ),
    ],
)
def test_errors(text: str, expected: str) -> None:
    assert error(text) == expected


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF8 + "FROM a\nSYSTEM 你好👋".encode(),
        codecs.BOM_UTF16_LE + "FROM a\nSYSTEM 你好👋".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "FROM a\nSYSTEM 你好👋".encode("utf-16-be"),
        "FROM a\nSYSTEM 你好👋".encode(),
    ],
)
def test_encodings(data: bytes) -> None:
    assert parse(data).last("system") == "你好👋"


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert parse(b"FROM a\nSYSTEM x\xffy").last("system") == "x\ufffdy"


def test_a_long_text_is_read_in_linear_time() -> None:
    text = "".join(f'line {i} says "x" and ends\n' for i in range(20_000))
    began = time.perf_counter()
    assert parse(f'FROM a\nLICENSE """{text}"""').last("license") == text
    assert time.perf_counter() - began < 5


def test_parameters() -> None:
    modelfile = parse(
        "FROM a\nPARAMETER stop x\nPARAMETER stop y z\nPARAMETER num_ctx 1\nPARAMETER num_ctx 4096\n"
        "PARAMETER temperature 0.7\nPARAMETER top_p 1e-1\nPARAMETER use_mmap f\nPARAMETER seed -1\n"
        "PARAMETER mirostat 2\nPARAMETER low_vram true"
    )
    assert modelfile.parameters == {
        "stop": ["x", "y z"], "num_ctx": 4096, "temperature": 0.7, "top_p": 0.1, "use_mmap": False, "seed": -1,
    }  # fmt: skip
    assert modelfile.warnings == [
        "warning: parameter mirostat is deprecated",
        "warning: parameter low_vram is deprecated",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("num_ctx 1.5", "invalid int value [1.5]"),
        ("num_ctx abc", "invalid int value [abc]"),
        ("num_ctx 9223372036854775808", "invalid int value [9223372036854775808]"),
        ("num_ctx 1_0", "invalid int value [1_0]"),
        ("num_ctx ١", "invalid int value [١]"),
        ("temperature hot", "invalid float value [hot]"),
        ("temperature nan", "invalid float value [nan]"),
        ("temperature 1e39", "invalid float value [1e39]"),
        ("use_mmap yes", "invalid bool value [yes]"),
        ("foo 1", "unknown parameter 'foo'"),
        ("Temperature 1", "unknown parameter 'Temperature'"),
        ("tfs_z 1", "unknown parameter 'tfs_z'"),
        ("num_ctx -1", 'option "num_ctx" must not be negative'),
        ("repeat_penalty 0", 'option "repeat_penalty" must be above 0'),
    ],
)
def test_bad_parameters(line: str, expected: str) -> None:
    with pytest.raises(BadRequest) as caught:
        _ = parse(f"# a comment\nFROM a\nPARAMETER {line}\nPARAMETER top_k 1").parameters
    assert caught.value.message == f"{expected} (line 3: PARAMETER {line.split()[0]})"


@pytest.mark.parametrize("version", ["v0.14.0", "1", "1.2", "0.14.0-rc.1", "1.2.3+build"])
def test_versions(version: str) -> None:
    assert parse(f"FROM a\nREQUIRES {version}").requires == version.removeprefix("v")


@pytest.mark.parametrize("version", ["abc", "1.2.3.4", "01.2.3", "1.2-rc", "1."])
def test_bad_versions(version: str) -> None:
    with pytest.raises(BadRequest, match=r"requires must be a valid semver \(e.g. 0.14.0\) \(line 2: REQUIRES\)"):
        _ = parse(f"FROM a\nREQUIRES {version}").requires


def test_the_fields_of_a_request() -> None:
    text = (
        "FROM a\nSYSTEM s\nSYSTEM t\nLICENSE one\nLICENSE two\nRENDERER r\nPARSER p\nTEMPLATE x\nREQUIRES v1.0.0\n"
        "MESSAGE user hi: there\nMESSAGE assistant yo\nPARAMETER top_k 3\n"
    )
    assert parse(text).fields() == {
        "template": "x", "system": "t", "renderer": "r", "parser": "p", "requires": "1.0.0",
        "license": ["one", "two"], "parameters": {"top_k": 3},
        "messages": [{"role": "user", "content": "hi: there"}, {"role": "assistant", "content": "yo"}],
    }  # fmt: skip
    assert parse("FROM a").fields() == {}
    assert parse("FROM a").instructions == (Instruction(command="from", value="a", line=1),)
