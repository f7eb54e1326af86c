"""Special tokens are found as by searching the longest first, one after the other."""

import pytest
from hypothesis import given, settings, strategies as st

from corral_tokenizers.roles import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, Roles
from corral_tokenizers.specials import Finder, Specials


def one_after_the_other(text: str, texts: dict[str, int]) -> list[str | int]:
    """The definition: each token, longest first, is searched in every piece that is still text."""
    parts: list[str | int] = [text]
    for token in sorted(texts, key=len, reverse=True):
        split: list[str | int] = []
        for part in parts:
            if isinstance(part, int):
                split.append(part)
                continue
            for place, raw in enumerate(part.split(token)):
                split += [texts[token], raw] if place else [raw]
        parts = split
    return [part for part in parts if part != ""]


def found(text: str, texts: dict[str, int]) -> list[str | int]:
    parts: list[str | int] = []
    position = 0
    for match in Finder(texts).matches(text):
        parts += [text[position : match.start], match.token_id]
        position = match.end
    return [part for part in [*parts, text[position:]] if part != ""]


# Two tokens of one length that overlap have no defined order, so lengths are unique here.
TOKENS = st.lists(st.text("ab<", min_size=1, max_size=7), max_size=6, unique_by=len)


@settings(max_examples=300, deadline=None)
@given(st.text("ab<c", max_size=30), TOKENS)
def test_the_search_agrees_with_its_definition(text: str, tokens: list[str]) -> None:
    texts = {token: token_id for token_id, token in enumerate(tokens)}
    assert found(text, texts) == one_after_the_other(text, texts)


def test_runs_of_spaces() -> None:
    texts = {" " * length: length for length in range(2, 32)}
    assert found(" " * 70, texts) == [31, 31, 8]
    assert found("a   b ", texts) == ["a", 3, "b "]


TEXTS = ["a", "<|im_start|>", "<unk>", "<tool>", "<unused>"]
TYPES = [NORMAL, CONTROL, UNKNOWN, USER_DEFINED, 5]


def split(text: str, parse_special: bool, *, left: int = -1, right: int = -1) -> list[str | int]:
    roles = Roles(TYPES, [1, 2, 3, 4], frozenset())
    return list(Specials(TEXTS, roles, frozenset({left}), frozenset({right})).split(text, parse_special=parse_special))


@pytest.mark.parametrize(("parse_special", "expected"), [
    (True, ["x ", 1, " ", 2, 3, "<unused> y"]),
    (False, ["x <|im_start|> <unk>", 3, "<unused> y"]),
])  # fmt: skip
def test_control_tokens_are_text_unless_they_are_asked_for(parse_special: bool, expected: list[str | int]) -> None:
    assert split("x <|im_start|> <unk><tool><unused> y", parse_special) == expected


def test_some_tokens_swallow_white_space() -> None:
    assert split("x \n<tool>\t y", True, left=3) == ["x", 3, "\t y"]
    assert split("x \n<tool>\t y", True, right=3) == ["x \n", 3, "y"]
    assert split(" <tool> <tool> ", True, left=3, right=3) == [3, 3]
