"""Options at the ends of their ranges: refused by name, or a token that may be drawn; nowhere NaN."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from numpy.typing import NDArray

from corral import BadRequest, CorralError, Options
from corral_engine.candidates import HIGHEST, Candidates
from corral_engine.sampling import ADAPTIVE, ORDER, Sampler

ALL = {"top_k": 0, "top_p": 1.0, "seed": 3}  # nothing but the options under test has a say
SIZE = 200

EDGES = [0.0, 1.0, -1.0, 1e-46, 1e-45, 1e-38, 1e-30, 9e18, 1e30, HIGHEST, -HIGHEST, 1e39, -1e39, 1e300, 5e-324]
NUMBERS = st.one_of(st.sampled_from([*EDGES, math.inf, -math.inf, math.nan]), st.floats(), st.floats(0, 2))
WHOLE = st.one_of(st.integers(-2, 50), st.sampled_from([-(2**40), 2**31, 2**62]))
TOKENS = st.integers(-1, SIZE)

FLOATS = (
    "temperature", "top_p", "min_p", "typical_p", "top_n_sigma", "repeat_penalty", "presence_penalty",
    "frequency_penalty", "mirostat_tau", "mirostat_eta", "dynatemp_range", "dynatemp_exponent", "xtc_probability",
    "xtc_threshold", "dry_multiplier", "dry_base", "adaptive_target", "adaptive_decay",
)  # fmt: skip
COUNTS = ("top_k", "min_keep", "repeat_last_n", "dry_allowed_length", "dry_penalty_last_n")
OTHERS = {
    "mirostat": st.sampled_from([0, 0, 1, 2]),
    "seed": st.integers(-1, 2**32),
    "samplers": st.lists(st.sampled_from((*ORDER, ADAPTIVE)), max_size=12).map(tuple),
    "logit_bias": st.dictionaries(TOKENS, NUMBERS, max_size=6),
}
WILD: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(FLOATS, NUMBERS), **dict.fromkeys(COUNTS, WHOLE), **OTHERS}
)


def rows(kind: int) -> NDArray[np.float32]:
    """Logits of several kinds: ordinary, equal, far apart, mostly masked, as large as they can be."""
    rng = np.random.default_rng(kind)
    logits = (rng.standard_normal(SIZE) * (4, 0, 300, 4, 1e38)[kind]).astype(np.float32)
    if kind == 3:
        logits[5:] = -np.inf
    return logits


@settings(max_examples=400, deadline=None, derandomize=True)
@given(WILD, st.integers(0, 4), st.lists(st.integers(0, 9), max_size=40))
@example({**ALL, "temperature": 1e-45}, 0, [])
@example({**ALL, "temperature": 1e-37}, 4, [])
@example({**ALL, "repeat_penalty": 1e-45}, 0, [1, 2, 3])
@example({**ALL, "repeat_penalty": 1e-45, "frequency_penalty": HIGHEST, "presence_penalty": HIGHEST}, 4, [1, 1, 2])
@example({**ALL, "frequency_penalty": -HIGHEST, "presence_penalty": -HIGHEST}, 4, [1, 1, 2])
@example({**ALL, "logit_bias": {1: HIGHEST, 2: -HIGHEST}}, 4, [])
@example({**ALL, "dry_multiplier": HIGHEST, "dry_base": HIGHEST}, 0, [1, 2, 3, 4] * 4)
@example({**ALL, "dry_multiplier": -HIGHEST, "dry_base": HIGHEST}, 4, [1, 2, 3, 4] * 4)
@example({**ALL, "dynatemp_range": HIGHEST, "temperature": HIGHEST}, 0, [])
@example({**ALL, "dynatemp_range": 1.0, "dynatemp_exponent": HIGHEST}, 1, [])
@example({**ALL, "mirostat": 1, "mirostat_eta": HIGHEST, "mirostat_tau": -HIGHEST}, 0, [])
@example({**ALL, "mirostat": 1}, 2, [])
@example({**ALL, "mirostat": 2, "mirostat_eta": -HIGHEST}, 4, [])
@example({**ALL, "top_n_sigma": HIGHEST}, 4, [])
@example({**ALL, "samplers": (ADAPTIVE,), "adaptive_target": HIGHEST, "adaptive_decay": HIGHEST}, 3, [])
@example({**ALL, "typical_p": 0.5, "min_keep": 2**62}, 3, [])
def test_any_options_are_refused_or_give_a_token_that_may_be_drawn(
    given_options: dict[str, Any], kind: int, history: list[int]
) -> None:
    logits = rows(kind)
    with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
        warnings.simplefilter("error")
        try:
            sampler = Sampler(Options(**given_options))
        except BadRequest as err:
            refusal = err.message
        else:
            refusal, tokens = "", [sampler.sample(logits, history) for _ in range(3)]
    if refusal:
        assert refusal.startswith('option "')
        return
    banned = {token for token, bias in sampler.options.logit_bias.items() if bias == -math.inf}
    assert all(np.isfinite(logits[token]) and token not in banned for token in tokens)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1e39},
        {"logit_bias": {7: 1e39}},
        {"logit_bias": {7: -1e39}},
        {"logit_bias": {7: math.inf}},
        {"logit_bias": {-1: 1.0}},
        {"logit_bias": {2**31: 1.0}},
        {"repeat_penalty": 1e-46},
        {"presence_penalty": -1e39},
        {"dry_multiplier": 1e39},
        {"dry_base": 1e300},
        {"mirostat_tau": 1e39},
        {"dynatemp_exponent": -0.5},
    ],
)
def test_what_float32_cannot_hold_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=f'option "{next(iter(options))}"'):
        Sampler(Options(**options))


@pytest.mark.parametrize("temperature", [1e-300, 1e-46, 1e-45, 1e-38, 2e-38, 1e-30])
@pytest.mark.parametrize("kind", [0, 2, 3, 4])
def test_a_temperature_near_0_is_greedy(temperature: float, kind: int) -> None:
    logits = rows(kind)
    for offset in (0, -50):  # all negative, too: none may pass for the best because all are infinitely bad
        sampler = Sampler(Options(**ALL, temperature=temperature))
        assert {sampler.sample(logits + np.float32(offset), []) for _ in range(20)} == {int(logits.argmax())}


def test_a_penalty_near_0_lifts_what_was_said_above_all_else() -> None:
    sampler = Sampler(Options(**ALL, repeat_penalty=1e-45))
    logits = np.arange(10, dtype=np.float32)
    assert {sampler.sample(logits, [4]) for _ in range(20)} == {4}


def test_two_biases_that_are_as_large_as_can_be_share_the_draws() -> None:
    sampler = Sampler(Options(**ALL, temperature=0.5, logit_bias={4: HIGHEST, 6: HIGHEST}))
    assert {sampler.sample(np.zeros(10, np.float32), []) for _ in range(50)} == {4, 6}


@pytest.mark.parametrize("more", [{}, {"temperature": 0.0}, {"mirostat": 2}, {"top_k": 3}])
def test_a_bias_that_forbids_everything_is_told(more: dict[str, Any]) -> None:
    sampler = Sampler(Options(**{**ALL, **more}, logit_bias=dict.fromkeys(range(5), -math.inf)))
    with pytest.raises(BadRequest, match="forbids every token"):
        sampler.sample(np.zeros(5, np.float32), [])


@pytest.mark.parametrize("bad", [-math.inf, math.nan])
def test_nothing_is_drawn_from_what_is_no_distribution(bad: float) -> None:
    with pytest.raises(CorralError, match="no token that can be drawn"):
        Sampler(Options())._draw(Candidates(np.arange(3), np.full(3, bad, np.float32)))
