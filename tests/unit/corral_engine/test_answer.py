"""Where a constraint is in force: on the answer, in whatever way the model thinks or does not think before it."""

from collections.abc import Sequence

import numpy as np
import pytest

from corral_engine.answer import ActiveConstraint
from corral_engine.program import Float32

WORDS = (
    "<think>", "</think>", "<th", "ink>", "hm", "\n", " ", "</th", "ink>{", "ink>\n", "{", "}", "<end>", "ok", "\n\n",
)  # fmt: skip
END = WORDS.index("<end>")
BLANKS = {"\n", " ", "\n\n"}
CONTROL = ("<think>", "<end>")


class Texts:
    """A vocabulary of a few words; what opens thinking is a control token, as in many models."""

    token_bytes: Sequence[bytes] = [b"" if word in CONTROL else word.encode() for word in WORDS]
    eog_ids = frozenset({END})
    encodes = False

    def spelling(self, token_id: int) -> bytes:
        return WORDS[token_id].encode()

    def encode(self, text: str) -> Sequence[int]:
        raise AssertionError("nothing is forced here")


class Braces:
    """A constraint: "{", then "}", then the end."""

    def __init__(self) -> None:
        self.text = ""

    def _next(self) -> str:
        return {"": "{", "{": "}", "{}": "<end>"}[self.text]

    def allows(self, token_id: int) -> bool:
        return WORDS[token_id] == self._next()

    def count_valid(self, token_ids: Sequence[int]) -> int:
        return len(token_ids) and int(self.allows(token_ids[0]))

    def mask(self, logits: Float32) -> None:
        logits[[not self.allows(token) for token in range(len(WORDS))]] = -np.inf

    def accept(self, token_id: int) -> None:
        assert self.allows(token_id)
        self.text += WORDS[token_id]

    def forced_tokens(self) -> Sequence[int]:
        return (WORDS.index(self._next()),)

    @property
    def may_end(self) -> bool:
        return self.is_finished

    @property
    def is_finished(self) -> bool:
        return self.text == "{}"


def constraint(after: str = "</think>", opens: str = "<think>", *, must_answer: bool = True) -> ActiveConstraint:
    return ActiveConstraint(Braces(), after, Texts(), thinking_opens=opens, must_answer=must_answer)


def follow(one: ActiveConstraint, *words: str) -> set[str]:
    """Accept `words`, and say what may come next, by asking and by the mask."""
    for word in words:
        assert one.allows(WORDS.index(word)), word
        one.accept(WORDS.index(word))
    logits = np.zeros(len(WORDS), np.float32)
    masked = {word for word, logit in zip(WORDS, one.masked(logits), strict=True) if np.isfinite(logit)}
    if one._part.name == "THINKING":
        return {word for number, word in enumerate(WORDS) if one.allows(number)}
    asked = {word for number, word in enumerate(WORDS) if one.allows(number)}
    assert masked <= asked <= masked | {"<think>", "<th", *BLANKS}
    assert masked
    assert not logits.any()
    return asked


THINKS = {*WORDS} - {"<end>"}


def test_without_thinking_it_is_in_force_at_once() -> None:
    one = constraint(after="", opens="")
    assert follow(one) == {"{"}
    assert list(one.forced_tokens()) == [WORDS.index("{")]
    assert follow(one, "{") == {"}"}
    assert follow(one, "}") == {"<end>"}
    assert one.is_finished


def test_thinking_or_the_answer_may_come_first() -> None:
    assert follow(constraint()) == {"<think>", "<th", "{", *BLANKS}
    assert follow(constraint(), "{") == {"}"}
    assert follow(constraint(), "\n", " ") == {"<think>", "<th", *BLANKS, "{"}
    assert follow(constraint(), "\n", " ", "\n", " ") == {"<think>", "<th", "{"}
    assert not constraint().forced_tokens()


@pytest.mark.parametrize("opening", [("<think>",), ("\n", "<think>"), ("<th", "ink>")])
def test_thinking_is_free_until_its_end(opening: tuple[str, ...]) -> None:
    one = constraint()
    assert follow(one, *opening, "hm", "{", "ok") == THINKS
    assert not one.is_finished
    assert follow(one, "</think>") == {"{", *BLANKS}
    assert follow(one, "\n", "{", "}") == {"<end>"}
    assert one.is_finished


def test_a_tag_that_has_begun_goes_on() -> None:
    assert follow(constraint(), "<th") == {"ink>", "ink>\n", "ink>{"}


def test_no_token_holds_the_end_of_thinking_and_the_beginning_of_the_answer() -> None:
    assert follow(constraint(opens=""), "hm", "</th") == THINKS - {"ink>{"}
    assert follow(constraint(opens=""), "</th", "ink>\n") == {"{", *BLANKS}


def test_the_answer_must_come_unless_tools_may_be_called_instead() -> None:
    assert "<end>" not in follow(constraint(opens=""), "hm")
    assert "<end>" in follow(constraint(opens="", must_answer=False), "hm")


@pytest.mark.parametrize(
    ("words", "closes"),
    [(["hm"], {"</think>", "</th"}), (["hm", "</th"], {"ink>", "ink>\n"}), (["</th", "hm"], {"</think>", "</th"})],
)
def test_a_model_that_would_end_while_it_thinks_comes_to_the_answer(words: list[str], closes: set[str]) -> None:
    one = constraint(opens="")
    for word in words:
        one.accept(WORDS.index(word))
    assert not one.allows(END)
    masked = one.masked(np.zeros(len(WORDS), np.float32))
    assert {WORDS[token] for token in np.flatnonzero(np.isfinite(masked))} == closes


def test_guesses_are_checked_in_the_answer_only() -> None:
    words = [WORDS.index(word) for word in ("ok", "ok")]
    assert constraint(opens="").count_valid(words) == 2
    assert constraint(after="").count_valid(words) == 0


def test_a_jobs_own_ends_count_too() -> None:
    one = ActiveConstraint(Braces(), "", Texts(), eog_ids=(WORDS.index("ok"),))
    assert follow(one) == {"{"}
    assert follow(one, "{", "}") == {"<end>", "ok"}


class Letters(Braces):
    """A constraint that allows all but "}"."""

    def allows(self, token_id: int) -> bool:
        return WORDS[token_id] not in ("}", "<end>")

    def count_valid(self, token_ids: Sequence[int]) -> int:
        return next((n for n, token in enumerate(token_ids) if not self.allows(token)), len(token_ids))

    def forced_tokens(self) -> Sequence[int]:
        return ()

    may_end, is_finished = True, False  # type: ignore[assignment]


def test_an_answer_may_begin_like_the_opening_tag() -> None:
    one = ActiveConstraint(Letters(), "</think>", Texts(), thinking_opens="<think>")
    for word in ("\n", "<th"):
        one.accept(WORDS.index(word))
    assert [one.allows(WORDS.index(word)) for word in ("ink>", "ok", "}", "<end>")] == [True, True, False, False]
    one.accept(WORDS.index("ok"))
    assert one.state.text == "<thok"  # type: ignore[attr-defined]
    assert one.allows(END)
