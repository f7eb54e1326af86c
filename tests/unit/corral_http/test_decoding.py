"""From bytes to one typed body: what clients may get wrong, and what they may not."""

import msgspec
import pytest

from corral import JSON, BadRequest
from corral_http.decoding import MAX_DEPTH, Decoder, first_value


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    text: str = ""


class Body(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    limit: int = 7
    anything: JSON = None
    one: Inner | None = None
    many: tuple[Inner, ...] = ()
    debug: bool = msgspec.field(default=False, name="_debug")


BODY = Decoder(Body)


def test_keys_match_in_any_case_and_nulls_are_absent() -> None:
    assert BODY.decode(b'{"NAME":"x","Limit":null,"_DEBUG":true,"unknown":[1]}') == Body(name="x", debug=True)


def test_structs_below_are_folded_too() -> None:
    body = BODY.decode(b'{"one":{"TEXT":"a","x":1},"many":[{"Text":"b"},{"text":null}]}')
    assert (body.one, body.many) == (Inner(text="a"), (Inner(text="b"), Inner()))


def test_untyped_values_are_left_alone() -> None:
    assert BODY.decode(b'{"anything":{"Key":null}}').anything == {"Key": None}


def test_only_the_first_value_is_read() -> None:
    assert BODY.decode(b' {"name":"x"} junk \xff').name == "x"


@pytest.mark.parametrize("data", [b"", b" \r\n\t"])
def test_no_body(data: bytes) -> None:
    with pytest.raises(BadRequest, match="missing request body"):
        BODY.decode(data)


def test_null_is_an_empty_object() -> None:
    assert BODY.decode(b"null") == Body()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"name":5}', r"json: Expected `str`, got `int` - at `\$\.name`"),
        (b'{"many":[{"text":[]}]}', r"at `\$\.many\[0\]\.text`"),
        (b"[]", "json: Expected `object`"),
        (b'{"name":', "unexpected EOF"),
        (b'{"name":"x', "unexpected EOF"),
        (b"<html>", "invalid character '<'"),
        (b'{"limit":NaN}', "invalid character 'N'"),
        (b'{"limit":1e400}', "json"),
        (b'{"limit":' + b"9" * 5000 + b"}", "json"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        BODY.decode(data)


def test_depth_is_bounded() -> None:
    assert first_value(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    for depth in (MAX_DEPTH + 5, 100_000):
        with pytest.raises(BadRequest, match="exceeded max depth"):
            first_value(b"[" * depth + b"]" * depth)


def test_half_characters_become_replacements() -> None:
    assert first_value(b'["\\ud800x", "\\ud83d\\ude00", "\xff"]') == ["\ufffdx", "😀", "\ufffd"]
