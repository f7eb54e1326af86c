"""Streams: stop strings against a plain search, and broken characters."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings, strategies as st

from corral_tokenizers.detokenizer import StreamDetokenizer, decode_bytes
from corral_tokenizers.pieces import Pieces, to_bytes

TOKENS = ["a", "b", "ab", "ba", "aab", "c", "é", "🦙", "<end>", "", "\udcf0", "\udc9f", "\udca6\udc99", "\udc99"]
TYPES = [1, 1, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1]
PIECES = Pieces(TOKENS, TYPES, to_bytes)


def run(stop: list[str], ids: list[int], *, special: bool | Sequence[str] = False) -> tuple[str, str | None]:
    stream = StreamDetokenizer(PIECES, stop, special=special)
    text = "".join(stream.push(token_id) for token_id in ids) + stream.flush()
    return text, stream.stopped_by


@settings(deadline=None)
@given(st.lists(st.integers(0, 7), max_size=12), st.text("abcé", min_size=1, max_size=5))
def test_one_stop_string_cuts_where_a_search_finds_it(ids: list[int], stop: str) -> None:
    whole = "".join(TOKENS[token_id] for token_id in ids)
    expected = (whole.partition(stop)[0], stop) if stop in whole else (whole, None)
    assert run([stop], ids) == expected


@settings(deadline=None)
@given(st.lists(st.integers(0, 7), max_size=12), st.lists(st.text("ab", max_size=4), max_size=4))
def test_several_stop_strings_cut_at_one_of_them_and_lose_nothing(ids: list[int], stops: list[str]) -> None:
    whole = "".join(TOKENS[token_id] for token_id in ids)
    text, stopped_by = run(stops, ids)
    if stopped_by is None:
        assert text == whole
        assert not any(stop in whole for stop in stops if stop)
    else:
        assert whole.startswith(text + stopped_by)
        assert not any(stop in text for stop in stops if stop)


@settings(deadline=None)
@given(st.lists(st.integers(0, 13), max_size=12))
def test_streamed_bytes_equal_the_batch_decode(ids: list[int]) -> None:
    content = b"".join(PIECES.piece(token_id, special=False) for token_id in ids)
    assert run([], ids)[0] == decode_bytes(content)


def test_what_may_become_a_stop_string_is_held_back() -> None:
    stream = StreamDetokenizer(PIECES, ["aab"], special=False)
    assert [stream.push(token_id) for token_id in (5, 0, 0, 0)] == ["c", "", "", "a"]
    assert stream.push(5) == "aac"
    assert stream.push(0) == ""
    assert stream.flush() == "a"


def test_the_earliest_of_two_matches_in_one_piece_wins() -> None:
    assert run(["b", "aa"], [4]) == ("", "aa")


def test_a_stop_string_may_be_a_token_that_is_not_shown() -> None:
    assert run(["<end>"], [0, 8, 1]) == ("a", "<end>")
    assert run(["<end>"], [0, 8, 1], special=True) == ("a", "<end>")
    assert run(["ab", "<end>"], [0, 8, 1]) == ("a", "<end>")


def test_a_character_in_four_tokens_is_shown_once_and_whole() -> None:
    stream = StreamDetokenizer(PIECES, [], special=False)
    assert [stream.push(token_id) for token_id in (10, 11, 12)] == ["", "", "🦙"]


@pytest.mark.parametrize(
    ("ids", "text"), [([10], "\ufffd"), ([10, 11], "\ufffd\ufffd"), ([10, 0], "\ufffda"), ([13, 0], "\ufffda")]
)
def test_broken_characters_become_one_sign_a_byte(ids: list[int], text: str) -> None:
    assert run([], ids)[0] == text
    assert run(["zzz"], ids)[0] == text


def test_some_control_tokens_may_be_shown() -> None:
    assert run([], [0, 8, 1], special=["<end>"]) == ("a<end>b", None)
    assert run([], [0, 8, 1], special=["<other>", "b"]) == ("ab", None)
    assert run(["<end>"], [0, 8, 1], special=["<end>"]) == ("a", "<end>")
    assert run(["d>b"], [0, 8, 1], special=["<end>"]) == ("a<en", "d>b")
