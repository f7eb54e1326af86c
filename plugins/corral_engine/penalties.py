"""Samplers that change single logits: bias, repetition penalties, DRY.

Sources: Keskar et al. 2019 (repetition penalty), OpenAI's API (presence and frequency), DRY by p-e-w 2024.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from corral import Options
from corral_engine.candidates import Candidates, Ids, rounded

MAX_BREAKER_BYTES = 40
MAX_BREAKER_TAIL = 20
_MAX_EXPONENT_LOG = 88.7228391  # ln of the largest float32

Breakers = Mapping[int, tuple[tuple[int, ...], ...]]
"""First token → the token sequences that may follow it to complete a breaker; () means that the token alone is one."""


def _places(candidates: Candidates, tokens: Ids) -> tuple[Ids, Ids]:
    """Where tokens stand among the candidates: (index into tokens, index into candidates) of those that do."""
    size = len(candidates)
    if candidates.is_whole:
        inside = np.flatnonzero((tokens >= 0) & (tokens < size))
        return inside, tokens[inside]
    order = np.argsort(candidates.ids)
    where = np.searchsorted(candidates.ids, tokens, sorter=order)
    found = np.flatnonzero(where < size)
    found = found[candidates.ids[order[where[found]]] == tokens[found]]
    return found, order[where[found]]


def add_bias(candidates: Candidates, tokens: Ids, biases: NDArray[np.float64]) -> None:
    """Add to the logits of tokens, each named once; -inf forbids a token."""
    found, places = _places(candidates, tokens)
    candidates.logits[places] = rounded(candidates.logits[places] + biases[found])
    candidates.is_sorted = False


def window(history: Sequence[int], last_n: int) -> Sequence[int]:
    """The last n tokens; -1 means all (the whole context)."""
    return history if last_n < 0 else history[len(history) - min(last_n, len(history)) :]


def has_penalties(options: Options) -> bool:
    neutral = options.repeat_penalty == 1 and options.frequency_penalty == 0 and options.presence_penalty == 0
    return not neutral and options.repeat_last_n != 0


def penalise(candidates: Candidates, history: Sequence[int], options: Options) -> None:
    """Repetition, frequency and presence penalties over the last tokens, prompt included."""
    if not has_penalties(options):
        return
    counts = Counter(window(history, options.repeat_last_n))
    found, places = _places(candidates, np.fromiter(counts, np.intp, len(counts)))
    logits = candidates.logits[places].astype(np.float64)
    logits = np.where(logits <= 0, logits * options.repeat_penalty, logits / options.repeat_penalty)
    count = np.fromiter(counts.values(), np.float64, len(counts))[found]
    logits -= count * options.frequency_penalty + options.presence_penalty
    candidates.logits[places] = rounded(logits)
    candidates.is_sorted = False


def has_dry(options: Options) -> bool:
    return options.dry_multiplier != 0 and options.dry_base >= 1 and options.dry_penalty_last_n != 0


def dry(candidates: Candidates, history: Sequence[int], options: Options, breakers: Breakers) -> None:
    """Penalise tokens that would prolong a repetition, exponentially in its length."""
    if not has_dry(options):
        return
    allowed = options.dry_allowed_length
    recent = list(window(history, options.dry_penalty_last_n))
    lengths = repetition_lengths(recent, allowed, breakers)
    if not lengths:
        return
    cap = math.floor(_MAX_EXPONENT_LOG / math.log(options.dry_base)) if options.dry_base > 1 else 0
    penalties = {
        token: -options.dry_multiplier * options.dry_base ** (min(n - allowed, cap) if cap else n - allowed)
        for token, n in lengths.items()
        if () not in breakers.get(token, ((-1,),))
    }
    tokens = np.fromiter(penalties, np.intp, len(penalties))
    add_bias(candidates, tokens, np.fromiter(penalties.values(), np.float64, len(penalties)))


def repetition_lengths(recent: Sequence[int], allowed: int, breakers: Breakers) -> dict[int, int]:
    """For each token that once followed a repetition of the text's end: the longest such repetition."""
    size = len(recent)
    if size <= allowed:
        return {}
    limit = _breaker_distance(recent, breakers)
    if limit < allowed:
        return {}
    lengths: dict[int, int] = {}
    for end, n in enumerate(common_suffixes(recent)[:-1]):
        n = min(n, limit)
        if n >= allowed:
            follower = recent[end + 1]
            lengths[follower] = max(lengths.get(follower, 0), n)
    return lengths


def _breaker_distance(recent: Sequence[int], breakers: Breakers) -> int:
    """Tokens after the most recent breaker: no repetition reaches across it."""
    size = len(recent)
    for distance in range(size):
        start = size - 1 - distance
        for tail in breakers.get(recent[start], ()):
            if len(tail) <= distance and tuple(recent[start + 1 : start + 1 + len(tail)]) == tail:
                return distance - len(tail)
    return size


def common_suffixes(recent: Sequence[int]) -> list[int]:
    """For each end: the length of the longest common suffix of recent[: end + 1] and the whole (Z-algorithm)."""
    text = recent[::-1]
    size = len(text)
    z = [0] * size
    left = right = 0
    for i in range(1, size):
        if i < right:
            z[i] = min(right - i, z[i - left])
        while i + z[i] < size and text[z[i]] == text[i + z[i]]:
            z[i] += 1
        if i + z[i] > right:
            left, right = i, i + z[i]
    z[0] = size
    return z[::-1]


def find_breakers(texts: Sequence[bytes], breakers: Sequence[str]) -> Breakers:
    """Which token sequences spell a breaker: a token that holds all of it, or one that ends with its beginning followed
    by the tokens of the rest (taken greedily, longest first).
    """
    by_text = {text: token for token, text in reversed(list(enumerate(texts))) if text}
    result: dict[int, set[tuple[int, ...]]] = {}
    for breaker in breakers:
        wanted = breaker.encode()[:MAX_BREAKER_BYTES]
        if not wanted:
            continue
        tails = {n: _spell(wanted[n:], by_text) for n in range(1, len(wanted))}
        for token, text in enumerate(texts):
            if wanted in text:
                result.setdefault(token, set()).add(())
                continue
            for n, tail in tails.items():
                if tail and text.endswith(wanted[:n]):
                    result.setdefault(token, set()).add(tail)
    return {token: tuple(sorted(tails, key=len)) for token, tails in result.items()}


def _spell(text: bytes, by_text: Mapping[bytes, int]) -> tuple[int, ...]:
    """Tokens that spell `text`, longest first; () when there are none."""
    tokens: list[int] = []
    while text and len(tokens) < MAX_BREAKER_TAIL:
        size = next((n for n in range(len(text), 0, -1) if text[:n] in by_text), 0)
        if not size:
            return ()
        tokens.append(by_text[text[:size]])
        text = text[size:]
    return tuple(tokens)


class BreakerIndex:
    """Breakers of one vocabulary, remembered for the last few lists that were asked for.  `texts` is asked when the
    first of them is.
    """

    def __init__(self, texts: Callable[[], Sequence[bytes]]) -> None:
        self._find = lru_cache(maxsize=8)(lambda breakers: find_breakers(texts(), breakers))

    def __call__(self, breakers: tuple[str, ...]) -> Breakers:
        return self._find(breakers)
