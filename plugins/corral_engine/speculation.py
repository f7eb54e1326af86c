"""Guessing ahead: who guesses, how far guesses are trusted, and what they cost.

The guesses are evaluated in the same batch as the last token and kept only as far as the sampler draws the same tokens,
so the text is the one that would have been generated anyway.  Here is prompt lookup, which guesses that what followed
the last few tokens before will follow them again (Saxena 2023); `draft.py` has a smaller model guess.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

NGRAMS = (5, 3, 2)  # tokens that must repeat, longest first
_FIRST_LENGTH = 3
_FIRST_RATE = 0.8
_WEAK_LENGTH = 2  # guesses after the shortest n-gram only
_PAUSE = 16  # tokens without guesses when they do not pay, doubled each time
_MAX_PAUSE = 1024
_SMOOTHING = 0.25  # weight of the latest measurement


class Quote(NamedTuple):
    """What guessing costs now: one more row as a share of what a token costs, and that in seconds (0: not known)."""

    row: float = 0.0
    token_s: float = 0.0


FREE = Quote()


class Drafter(Protocol):
    """Guesses for one sequence.  `learn` tells how many of the latest guesses were tried and how many were right."""

    def propose(self, tokens: Sequence[int], quote: Quote) -> tuple[int, ...]: ...
    def learn(self, n_drafted: int, n_accepted: int) -> None: ...
    def close(self) -> None: ...


class Price:
    """What one more row in a step costs, as a share of what a token costs without guessing.  Measured as steps go by.

    A guess pays when it is right more often than this: on a large model, whose weights come from memory, rows are
    nearly free; beside many other streams they cost as much as the tokens they may save.
    """

    def __init__(self) -> None:
        self._plain_s: dict[int, float] = {}  # decoding sequences → seconds of a step without guesses
        self._row_s = 0.0

    def learn(self, n_sequences: int, n_guesses: int, seconds: float) -> None:
        """A step with decoding sequences only took so long."""
        if not n_guesses:
            known = self._plain_s.get(n_sequences, seconds)
            self._plain_s[n_sequences] = known + _SMOOTHING * (seconds - known)
        elif n_sequences in self._plain_s:
            row_s = max(0.0, seconds - self._plain_s[n_sequences]) / n_guesses
            self._row_s += _SMOOTHING * (row_s - self._row_s) if self._row_s else row_s

    def of(self, n_sequences: int) -> Quote:
        """The price beside so many sequences; 0 while nothing is known."""
        plain_s = self._plain_s.get(n_sequences, 0.0)
        return Quote(self._row_s * n_sequences / plain_s, plain_s / n_sequences) if plain_s > 0 else FREE


class Trust:
    """How far guesses are trusted: `length` tokens at once, and only while they are right more often than they cost."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.length = min(_FIRST_LENGTH, max_length)
        self._rate = _FIRST_RATE  # the share of guesses that were right, lately
        self._pause = _PAUSE
        self._skip = 0

    def rests(self, price: float) -> bool:
        """Whether nothing is to be guessed this time; asked once a token."""
        if self._skip > 0:
            self._skip -= 1
            return True
        if self._rate < price:  # rest, then try again with a little more trust than guesses have earned
            self._skip, self._pause = self._pause, min(self._pause * 2, _MAX_PAUSE)
            self._rate = _FIRST_RATE
            self.length = 1
            return True
        return False

    def learn(self, n_drafted: int, n_accepted: int) -> None:
        """Guess further after guesses that held, less far after others."""
        if not n_drafted:
            return
        self._rate += _SMOOTHING * (n_accepted / n_drafted - self._rate)
        if n_accepted == n_drafted:
            self.length = min(self.length * 2, self.max_length)
            self._pause = _PAUSE
        else:
            self.length = max(1, min(self.length, n_accepted + 1))


class PromptLookup:
    """A drafter that looks the end of the text up in the text itself."""

    def __init__(self, max_length: int) -> None:
        """`max_length` tokens are guessed at most."""
        self._trust = Trust(max_length)
        self._n_seen, self._last = 0, -1  # how many tokens are in the table, and which was the last
        self._ends: dict[tuple[int, ...], int] = {}  # n-gram → the position after its last occurrence
        self.learn = self._trust.learn

    def propose(self, tokens: Sequence[int], quote: Quote = FREE) -> tuple[int, ...]:
        """The tokens that followed the most recent repetition of the end of `tokens`, if guessing pays."""
        self._index(tokens)
        if self._trust.rests(quote.row):
            return ()
        for n in NGRAMS:
            end = self._ends.get(tuple(tokens[len(tokens) - n :])) if len(tokens) > n else None
            if end is not None:
                length = self._trust.length if n > NGRAMS[-1] else min(self._trust.length, _WEAK_LENGTH)
                period = len(tokens) - end  # a text that runs in circles goes on doing so
                return tuple(tokens[end + i % period] for i in range(length))
        return ()

    def _index(self, tokens: Sequence[int]) -> None:
        """Note every n-gram that something follows.  After a context shift the table is made anew."""
        known = self._n_seen
        if len(tokens) < known or (known and tokens[known - 1] != self._last):
            self._ends, known = {}, 0
        for end in range(max(known, 1), len(tokens)):
            for n in NGRAMS:
                if end >= n:
                    self._ends[tuple(tokens[end - n : end])] = end
        self._n_seen, self._last = len(tokens), tokens[-1]

    def close(self) -> None:
        """Nothing to give back."""


class FirstOf:
    """Several drafters, asked in order until one guesses."""

    def __init__(self, drafters: Sequence[Drafter]) -> None:
        self._drafters = drafters
        self._latest: Drafter | None = None

    def propose(self, tokens: Sequence[int], quote: Quote) -> tuple[int, ...]:
        """What the first one guesses that guesses at all."""
        for drafter in self._drafters:
            if guesses := drafter.propose(tokens, quote):
                self._latest = drafter
                return guesses
        self._latest = None
        return ()

    def learn(self, n_drafted: int, n_accepted: int) -> None:
        """It concerns who guessed."""
        if self._latest is not None:
            self._latest.learn(n_drafted, n_accepted)

    def close(self) -> None:
        for drafter in self._drafters:
            drafter.close()
