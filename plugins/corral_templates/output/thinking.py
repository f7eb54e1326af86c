"""Splits thinking from content by an opening and a closing tag."""

from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple

from corral_templates.output.stream import held_back


class Segment(NamedTuple):
    """Text of one kind."""

    text: str
    is_thinking: bool


class _State(Enum):
    BEFORE = auto()  # only blanks so far
    OPENED = auto()  # right after the opening tag: blanks are dropped
    THINKING = auto()
    CLOSED = auto()  # right after the closing tag: blanks are dropped
    CONTENT = auto()  # for good


class ThinkingSplitter:
    """Thinking is what stands between the first opening tag and the first closing one, if the answer begins with it.

    Blanks before the opening tag and right after either tag are dropped; blanks before the closing tag are kept.
    `inside`: the prompt has opened the tag already.
    """

    def __init__(self, opening: str, closing: str, *, inside: bool = False) -> None:
        self.opening, self.closing, self.inside = opening, closing, inside
        self._state = _State.OPENED if inside else _State.BEFORE
        self._held = ""

    def push(self, text: str) -> list[Segment]:
        """What is certain after `text`."""
        self._held += text
        result: list[Segment] = []
        while self._step(result):
            pass
        return result

    def finish(self) -> Iterable[Segment]:
        """What was held back: a tag that never became whole is text."""
        if self._held and self._state not in (_State.OPENED, _State.CLOSED):
            yield Segment(self._held, self._state is _State.THINKING)
        self._held = ""

    def _step(self, result: list[Segment]) -> bool:
        """One move of the state machine; False when more text is needed."""
        match self._state:
            case _State.BEFORE:
                start = self._held.lstrip()
                if start.startswith(self.opening):
                    return self._move(_State.OPENED, start[len(self.opening) :])
                return not self.opening.startswith(start) and self._move(_State.CONTENT, self._held)
            case _State.OPENED | _State.CLOSED:
                rest = self._held.lstrip()
                state = _State.THINKING if self._state is _State.OPENED else _State.CONTENT
                return self._move(state if rest else self._state, rest) and bool(rest)
            case _State.THINKING:
                before, closed, after = self._held.partition(self.closing)
                if not closed:
                    keep = held_back(before, [self.closing])
                    before, after = before[: len(before) - keep], before[len(before) - keep :]
                if before:
                    result.append(Segment(before, is_thinking=True))
                return self._move(_State.CLOSED if closed else _State.THINKING, after) and bool(closed)
            case _State.CONTENT:
                if self._held:
                    result.append(Segment(self._held, is_thinking=False))
                return self._move(_State.CONTENT, "") and False
        return False

    def _move(self, state: _State, held: str) -> bool:
        self._state, self._held = state, held
        return True
