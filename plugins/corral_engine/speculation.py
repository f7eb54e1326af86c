"""Prompt lookup: guess that what followed the last few tokens before will follow them again.

The guesses are evaluated in the same batch as the last token and kept only as far as the sampler draws the same tokens,
so the text is the one that would have been generated anyway.  Source: Saxena 2023 (prompt lookup decoding).
"""

from collections.abc import Sequence

NGRAMS = (5, 3, 2)  # tokens that must repeat, longest first
_FIRST_LENGTH = 3
_FIRST_RATE = 0.8
_WEAK_LENGTH = 2  # guesses after the shortest n-gram only
_PAUSE = 16  # tokens without guesses when they do not pay, doubled each time
_MAX_PAUSE = 1024
_SMOOTHING = 0.25  # weight of the latest measurement


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

    def of(self, n_sequences: int) -> float:
        """The price beside so many sequences; 0 while nothing is known."""
        plain_s = self._plain_s.get(n_sequences, 0.0)
        return self._row_s * n_sequences / plain_s if plain_s > 0 else 0.0


class Drafter:
    """The lookup table of one sequence, and how far its guesses are trusted."""

    def __init__(self, max_length: int) -> None:
        """`max_length` tokens are guessed at most."""
        self.max_length = max_length
        self._length = min(_FIRST_LENGTH, max_length)
        self._rate = _FIRST_RATE  # the share of guesses that were right, lately
        self._pause = _PAUSE
        self._skip = 0
        self._n_seen, self._last = 0, -1  # how many tokens are in the table, and which was the last
        self._ends: dict[tuple[int, ...], int] = {}  # n-gram → the position after its last occurrence

    def propose(self, tokens: Sequence[int], price: float = 0.0) -> tuple[int, ...]:
        """The tokens that followed the most recent repetition of the end of `tokens`, if guessing pays at this
        price."""
        self._index(tokens)
        if self._skip > 0:
            self._skip -= 1
            return ()
        if self._rate < price:  # rest, then try again with a little more trust than guesses have earned
            self._skip, self._pause = self._pause, min(self._pause * 2, _MAX_PAUSE)
            self._rate = _FIRST_RATE
            self._length = 1
            return ()
        for n in NGRAMS:
            end = self._ends.get(tuple(tokens[len(tokens) - n :])) if len(tokens) > n else None
            if end is not None:
                length = self._length if n > NGRAMS[-1] else min(self._length, _WEAK_LENGTH)
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

    def learn(self, n_drafted: int, n_accepted: int) -> None:
        """Guess further after guesses that held, less far after others."""
        if not n_drafted:
            return
        self._rate += _SMOOTHING * (n_accepted / n_drafted - self._rate)
        if n_accepted == n_drafted:
            self._length = min(self._length * 2, self.max_length)
            self._pause = _PAUSE
        else:
            self._length = max(1, min(self._length, n_accepted + 1))
