"""Tokens of thinking are counted, however the text falls into tokens, and nothing of it is lost."""

from collections.abc import Iterator

import pytest

from corral import Piece
from corral_generation.tally import ThinkingTally


class Tags:
    """A parser of `<…>`: what is inside is thinking, and tags are held back until they are whole."""

    def __init__(self) -> None:
        self.inside = False

    def push(self, text: str) -> Iterator[Piece]:
        for char in text:
            if char in "<>":
                self.inside = char == "<"
            elif self.inside:
                yield Piece(thinking=char)
            else:
                yield Piece(text=char)

    def finish(self) -> Iterator[Piece]:
        yield from ()


@pytest.mark.parametrize(
    ("events", "thinking", "tokens"),
    [
        ([["a"], ["b"]], "", 0),
        ([["<"], ["h"], ["m"], [">"], ["y"]], "hm", 4),
        ([["<", "h", "m", ">", "y"]], "hm", 4),
        ([["a", "<"], ["h", ">", "y"], ["<"], ["k"]], "hk", 5),
        ([["a"], ["<", ">"], ["y"]], "", 0),
        ([["<"], ["", "é"], [""], [">"]], "é", 5),
    ],
)
def test_count(events, thinking, tokens):
    tally = ThinkingTally(Tags())
    pieces = [piece for texts in events for piece in tally.push(texts)] + tally.finish("")
    said = "".join(text for texts in events for text in texts)
    assert tally.tokens == tokens
    assert "".join(piece.thinking for piece in pieces) == thinking
    assert "".join(piece.text for piece in pieces) == "".join(
        char for char in said if char not in "<>" and char not in thinking
    )


def test_an_event_of_many_tokens_gives_few_pieces():
    assert ThinkingTally(Tags()).push(["<", "h", "m", ">", "y", "e", "s"]) == [Piece(thinking="hm"), Piece(text="yes")]


def test_what_the_end_brings_belongs_to_what_was_held():
    tally = ThinkingTally(Tags())
    assert tally.push(["<"]) == []
    assert tally.finish("z") == [Piece(thinking="z")]
    assert tally.tokens == 1
