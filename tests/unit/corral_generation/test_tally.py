"""Tokens of thinking are counted, however the text falls into tokens, and nothing of it is lost."""

from collections.abc import Iterator

import pytest

from corral import Conversation, Message, Piece, Tool
from corral_generation.tally import ThinkingTally
from corral_templates.output.channels import harmony
from corral_templates.output.choice import Style, parser_for


class Tags:
    """A parser of `<…>`: what is inside is thinking, and tags are held back until they are whole."""

    thinking_span = ("<", ">", ">")

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


WEATHER = Tool(name="get_weather", parameters={"type": "object"})
CALL = ["<tool_call>", '{"name": "get_weather", ', '"arguments": {"city"', ': "Paris"}}', "</tool_call>"]
THOUGHT = ["<think>", "\n", "hm", " ok", "\n"]


def counted(parser, texts):
    tally = ThinkingTally(parser)
    pieces = [piece for text in texts for piece in tally.push([text])] + tally.finish("")
    assert [call.name for piece in pieces for call in piece.tool_calls] == ["get_weather"]
    return tally.tokens


@pytest.mark.parametrize(
    ("closing", "tokens"),
    [(["</think>"], 6), (["</", "th", "ink", ">"], 9), ([" so</think>\n\n"], 6), (["</think", ">\n\n"], 7)],
)
@pytest.mark.parametrize("between", [[], ["\n\n"], ["\n\n", "I", " look", ".", "\n"]])
def test_a_call_is_not_thinking_while_it_is_held_back(closing, tokens, between):
    conversation = Conversation(messages=(Message(role="user", content="Weather?"),), tools=(WEATHER,), think=True)
    style = Style("", ("<think>", "</think>"), "<tool_call>", ())
    assert counted(parser_for(style, conversation, ""), [*THOUGHT, *closing, *between, *CALL]) == tokens


def test_each_message_of_thinking_is_counted_with_its_header_and_no_call_is():
    header, call = ["<|channel|>", "analysis", "<|message|>"], ["<|channel|>", "commentary to=functions.get_weather"]
    thinking = [*header, "hm", " ok", "<|end|>"]
    called = ["<|start|>", "assistant", *call, "<|message|>", "{", "}", "<|call|>"]
    assert counted(harmony((WEATHER,), ""), [*thinking, *called]) == 6
    assert counted(harmony((WEATHER,), ""), [*thinking, "<|start|>", "assistant", *thinking, *called]) == 14
