"""Adaptive-p: what is drawn is about as probable as the target asks for."""

import math
from typing import Any

import numpy as np
import pytest

from corral import Options
from corral_engine.adaptive import AdaptiveP
from corral_engine.candidates import Candidates
from corral_engine.sampling import Sampler

LOGITS = (-1.3 * np.log(np.arange(1, 301))).astype(np.float32)
PROBABILITIES = np.exp(LOGITS.astype(np.float64)) / np.exp(LOGITS.astype(np.float64)).sum()
CHAIN: dict[str, Any] = {"samplers": ("min_p", "adaptive_p"), "min_p": 0.01, "seed": 4}


def average(options: Options, n: int = 1500) -> float:
    """The mean probability of the tokens drawn, each behind those before."""
    sampler, history = Sampler(options), [0]
    for _ in range(n):
        history.append(sampler.sample(LOGITS, history))
    return float(PROBABILITIES[history[200:]].mean())


def test_the_curve_peaks_at_the_target_and_masked_tokens_stay_masked() -> None:
    state = AdaptiveP(0.25, 0.9)
    logits = [math.log(0.55), math.log(0.25), math.log(0.2), -math.inf]
    candidates = Candidates(np.arange(4), np.array(logits, np.float32))
    state.reshape(candidates, candidates.probabilities())
    near, far = 0.05 / 0.3, 0.3 / 0.3
    expected = [5 - 10 * far**2 / (1 + far), 5, 5 - 10 * near**2 / (1 + near), -math.inf]
    assert candidates.logits.tolist() == pytest.approx(expected, abs=1e-5)


def test_what_was_too_probable_makes_the_next_less_so() -> None:
    state = AdaptiveP(0.3, 0.5)  # the sum begins with 0.6 of a weight of 2
    state.drawn(7, 0.5, [1, 2])
    state.learn([1, 2, 7])
    candidates = Candidates(np.arange(3), np.zeros(3, np.float32))
    state.reshape(candidates, np.array([0.0, 0.6 - (0.5 + 0.5 * 0.6) / 2, 0.3]))
    assert candidates.logits.argmax() == 1
    assert candidates.logits[1] == pytest.approx(5, abs=1e-6)


@pytest.mark.parametrize("history", [[1, 2], [7, 7], [1, 2, 8]])
def test_a_token_that_did_not_become_text_does_not_count(history: list[int]) -> None:
    fresh, state = AdaptiveP(0.3, 0.5), AdaptiveP(0.3, 0.5)
    state.drawn(7, 0.9, [1, 2])
    state.learn(history)
    assert (state._sum, state._weight) == (fresh._sum, fresh._weight)


def test_a_higher_target_draws_more_probable_tokens() -> None:
    averages = [average(Options(**CHAIN, adaptive_target=target)) for target in (0.0, 0.2, 0.3, 0.4, 1.0)]
    assert averages == sorted(averages)
    assert averages[0] < 0.03
    assert averages[-1] > 0.29  # the likeliest token has 0.30


def test_it_is_off_unless_named_and_given_a_target() -> None:
    plain = average(Options(**{**CHAIN, "samplers": ("min_p",)}))
    assert average(Options(**CHAIN)) == plain
    assert average(Options(**{**CHAIN, "samplers": ("min_p",)}, adaptive_target=0.1)) == plain
    assert average(Options(**CHAIN, adaptive_target=0.1)) < plain - 0.05
