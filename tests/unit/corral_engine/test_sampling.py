"""The sampler chain, row by row of the specification's checklist."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from corral import BadRequest, CorralError, Job, Options
from corral_engine import penalties, truncation
from corral_engine.candidates import Candidates, largest
from corral_engine.mirostat import Mirostat
from corral_engine.randomness import Random, actual_seed
from corral_engine.sampling import ORDER, Sampler
from corral_engine.scores import score

NEUTRAL = {"top_k": 0, "top_p": 1.0, "temperature": 1.0, "seed": 1}


def logits_of(probabilities: Sequence[float]) -> NDArray[np.float32]:
    return np.log(np.array(probabilities, np.float64)).astype(np.float32)


def candidates_of(probabilities: Sequence[float]) -> Candidates:
    return Candidates(np.arange(len(probabilities)), logits_of(probabilities))


def draws(options: Options, logits: NDArray[np.float32], n: int, history: Sequence[int] = ()) -> Counter[int]:
    sampler = Sampler(options)
    return Counter(sampler.sample(logits, list(history)) for _ in range(n))


# --- penalties ------------------------------------------------------------------------------------------------------


def test_repeat_penalty_multiplies_negative_and_divides_positive_logits() -> None:
    candidates = Candidates(np.arange(4), np.array([2, -2, 2, -2], np.float32))
    penalties.penalise(candidates, [0, 1], Options(repeat_penalty=2.0))
    assert candidates.logits.tolist() == [1, -4, 2, -2]


def test_frequency_counts_and_presence_does_not() -> None:
    candidates = Candidates(np.arange(3), np.zeros(3, np.float32))
    penalties.penalise(candidates, [0, 0, 0, 1], Options(frequency_penalty=0.5, presence_penalty=0.25))
    assert candidates.logits.tolist() == [-1.75, -0.75, 0]


@pytest.mark.parametrize(
    ("last_n", "penalised"), [(0, []), (1, [3]), (2, [2, 3]), (-1, [0, 1, 2, 3]), (99, [0, 1, 2, 3])]
)
def test_the_penalty_window(last_n: int, penalised: list[int]) -> None:
    candidates = Candidates(np.arange(5), np.ones(5, np.float32))
    penalties.penalise(candidates, [0, 1, 2, 3], Options(repeat_penalty=2.0, repeat_last_n=last_n))
    assert np.flatnonzero(candidates.logits != 1).tolist() == penalised


def test_penalties_after_truncation_find_their_tokens() -> None:
    logits = np.array([5, 4, 3, 2, 1, 0], np.float32)
    sampler = Sampler(Options(**{**NEUTRAL, "top_k": 3, "samplers": ("top_k", "penalties"), "presence_penalty": 99}))
    assert {sampler.sample(logits, [0, 1, 5]) for _ in range(50)} == {2}


def test_logit_bias_forbids_and_forces() -> None:
    logits = np.zeros(8, np.float32)
    options = Options(**NEUTRAL, logit_bias={3: -math.inf, 99: 1.0})
    assert 3 not in draws(options, logits, 400)
    assert set(draws(Options(**NEUTRAL, logit_bias={5: 100.0}), logits, 50)) == {5}
    assert Sampler(Options(temperature=0, logit_bias={5: 100.0})).sample(logits, []) == 5


def test_dry_penalises_what_would_prolong_a_repetition() -> None:
    text = [ord(letter) for letter in "abccbcyabc"]
    lengths = penalties.repetition_lengths(text, 1, {})
    assert {chr(token): n for token, n in lengths.items()} == {"c": 3, "b": 1, "y": 2}


def test_dry_applies_its_formula_and_respects_breakers() -> None:
    text = [0, 1, 2, 9, 0, 1, 2]
    options = Options(dry_multiplier=2.0, dry_base=3.0, dry_allowed_length=2)
    candidates = Candidates(np.arange(10), np.zeros(10, np.float32))
    penalties.dry(candidates, text, options, {})
    assert candidates.logits[9] == -2.0 * 3.0 ** (3 - 2)
    broken = Candidates(np.arange(10), np.zeros(10, np.float32))
    penalties.dry(broken, text, options, {1: ((),)})
    assert not broken.logits.any()


def test_dry_with_a_long_repetition_stays_finite() -> None:
    options = Options(dry_multiplier=1.0, dry_base=1e6, dry_penalty_last_n=-1)
    candidates = Candidates(np.arange(3), np.zeros(3, np.float32))
    penalties.dry(candidates, [1] * 500, options, {})
    assert np.isfinite(candidates.logits).all()
    assert candidates.logits[1] < -1e30


def test_breakers_of_several_tokens() -> None:
    texts = [b"a", b"x\n", b"<", b"end", b">", b"z<"]
    found = penalties.find_breakers(texts, ("\n", "<end>", ""))
    assert found == {1: ((),), 2: ((3, 4),), 5: ((3, 4),)}
    assert penalties._breaker_distance([0, 2, 3, 4, 0, 0], found) == 2
    assert penalties._breaker_distance([0, 2, 3, 0], found) == 4


def test_common_suffixes_equal_the_definition() -> None:
    text = np.random.default_rng(3).integers(0, 3, 60).tolist()
    for end, n in enumerate(penalties.common_suffixes(text)):
        expected = 0
        while expected <= end and text[end - expected] == text[len(text) - 1 - expected]:
            expected += 1
        assert n == expected


# --- truncation -----------------------------------------------------------------------------------------------------


def test_largest_equals_a_stable_sort_with_ties() -> None:
    rng = np.random.default_rng(5)
    for size in (1, 7, 500, 6000, 49152):
        logits = np.round(rng.standard_normal(size) * 4).astype(np.float32)
        for k, masked in ((1, 0), (2, 0), (40, 0), (700, 0), (size, 0), (40, 9), (300, size - 5), (3, size)):
            logits[rng.permutation(size)[: max(masked, 0)]] = -np.inf
            order = np.argsort(-logits, kind="stable")[:k]
            best = largest(logits, min(k, size))
            assert best.ids.tolist() == order.tolist()
            assert best.logits.tolist() == logits[order].tolist()


@pytest.mark.parametrize(
    ("k", "kept"), [(1, [1]), (2, [1, 3]), (0, [0, 1, 2, 3]), (-1, [0, 1, 2, 3]), (9, [1, 3, 0, 2])]
)
def test_top_k(k: int, kept: list[int]) -> None:
    candidates = Candidates(np.arange(4), np.array([1, 3, 1, 3], np.float32))
    truncation.top_k(candidates, k)
    assert candidates.ids.tolist() == kept


@pytest.mark.parametrize(("p", "kept"), [(0.0, 1), (0.4, 1), (0.5, 1), (0.6, 2), (0.8, 2), (0.81, 3), (1.0, 3)])
def test_top_p_includes_the_one_that_reaches_it(p: float, kept: int) -> None:
    candidates = Candidates(np.arange(3), np.log2(np.array([8, 4, 2], np.float32)))
    candidates.logits = logits_of([0.5, 0.3, 0.2])
    exact = np.cumsum(candidates.probabilities())
    truncation.top_p(candidates, float(exact[0]) if p == 0.5 else float(exact[1]) if p == 0.8 else p, 0)
    assert len(candidates) == kept


def test_truncations_keep_at_least_min_keep() -> None:
    for truncate in (
        lambda c: truncation.top_p(c, 0.01, 3),
        lambda c: truncation.min_p(c, 0.99, 3),
        lambda c: truncation.typical(c, 0.01, 3),
    ):
        candidates = candidates_of([0.7, 0.1, 0.1, 0.05, 0.05])
        truncate(candidates)
        assert len(candidates) == 3


@pytest.mark.parametrize(("p", "kept"), [(0.0, 3), (0.25, 3), (0.5, 2), (0.51, 1), (1.0, 1), (5.0, 1)])
def test_min_p_keeps_the_boundary(p: float, kept: int) -> None:
    candidates = Candidates(np.arange(3), np.array([0, math.log(0.5), math.log(0.25)], np.float32))
    truncation.min_p(candidates, p, 0)
    assert len(candidates) == kept


def test_typical_equals_the_definition() -> None:
    probabilities = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
    entropy = -(probabilities * np.log(probabilities)).sum()
    order = sorted(range(6), key=lambda i: abs(-math.log(probabilities[i]) - entropy))
    kept, total = [], 0.0
    for i in order:
        kept.append(i)
        total += probabilities[i]
        if total > 0.6:
            break
    candidates = candidates_of(probabilities.tolist())
    truncation.typical(candidates, 0.6, 0)
    assert candidates.ids.tolist() == kept


def test_xtc_removes_all_but_the_last_above_the_threshold() -> None:
    candidates = candidates_of([0.4, 0.3, 0.2, 0.1])
    truncation.xtc(candidates, 0.0, 1.0, 0.15, 0)
    assert candidates.ids.tolist() == [2, 3]
    for draw, probability, threshold, min_keep in ((0.9, 0.5, 0.1, 0), (0.0, 1.0, 0.51, 0), (0.0, 1.0, 0.15, 4)):
        same = candidates_of([0.4, 0.3, 0.2, 0.1])
        truncation.xtc(same, draw, probability, threshold, min_keep)
        assert len(same) == 4


def test_top_n_sigma_masks_and_does_not_remove() -> None:
    candidates = Candidates(np.arange(5), np.array([10, 9, 0, 0, -math.inf], np.float32))
    truncation.top_n_sigma(candidates, 1.0)
    assert len(candidates) == 5
    assert np.isfinite(candidates.logits).tolist() == [True, True, False, False, False]


# --- the chain ------------------------------------------------------------------------------------------------------


def test_the_default_order_and_a_custom_one(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = Options(
        repeat_penalty=1.1, dry_multiplier=1.0, top_n_sigma=1.0, typical_p=0.9, min_p=0.1, xtc_probability=0.5, seed=1
    )
    calls: list[str] = []
    apply = Sampler._apply

    def spy(self: Sampler, step: str, candidates: Candidates, history: Sequence[int]) -> None:
        calls.append(step)
        apply(self, step, candidates, history)

    monkeypatch.setattr(Sampler, "_apply", spy)
    logits = np.random.default_rng(1).standard_normal(100).astype(np.float32)
    Sampler(everything).sample(logits, [1, 2])
    assert tuple(calls) == ORDER
    calls.clear()
    Sampler(Options(seed=1, samplers=("temperature", "nonsense", "top_k"))).sample(logits, [])
    assert calls == ["temperature", "top_k"]


def test_greedy_takes_the_first_maximum_and_needs_no_luck() -> None:
    logits = np.array([0, 7, 7, 1], np.float32)
    assert {Sampler(Options(temperature=t, seed=s)).sample(logits, []) for t in (0.0, -1.0) for s in range(9)} == {1}
    assert Sampler(Options(temperature=0, repeat_penalty=9.0)).sample(logits, [1]) == 2


def test_a_chain_without_a_temperature_draws_whatever_the_temperature_is() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.1, 0.1])).astype(np.float32)
    options = Options(temperature=0, top_k=2, samplers=("top_k",), seed=1)
    assert set(draws(options, logits, 100)) == {0, 1}


def test_a_chain_of_another_order_is_greedy_where_its_temperature_stands() -> None:
    logits = np.array([5, 4, 3, 2], np.float32)
    zero = Options(temperature=0, presence_penalty=99, top_k=2)
    orders: dict[tuple[str, ...], int] = {
        ("penalties", "temperature"): 2,
        ("temperature", "penalties"): 0,  # one token is left by then
        ("top_k", "penalties", "temperature"): 0,  # both that are left are penalised alike
        ("penalties", "top_k", "temperature"): 2,
        ("temperature",): 0,
    }
    for order, expected in orders.items():
        assert set(draws(replace(zero, samplers=order), logits, 20, [0, 1])) == {expected}, order


CHANGES: list[dict[str, Any]] = [
    {"ignore_eos": True},
    {"logit_bias": {3: 2.5, 700: -math.inf, 4999: 9.0}},
    {"logit_bias": {3: 2.5, 5: 4.0}, "repeat_penalty": 1.3, "presence_penalty": 0.4},
    {"repeat_penalty": 1.3, "frequency_penalty": 0.1, "repeat_last_n": -1},
    {"dry_multiplier": 2.0, "dry_allowed_length": 1, "repeat_penalty": 1.1},
    {"min_p": 0.05, "top_n_sigma": 1.0},
    {"samplers": ("dry", "penalties", "top_k", "temperature", "typ_p"), "dry_multiplier": 1.0, "typical_p": 0.5},
]


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_the_quick_ways_give_what_the_whole_chain_gives(
    changes: dict[str, Any], temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(11)
    options = Options(**changes, temperature=temperature, seed=5)
    forbidden = (17, 4000) if options.ignore_eos else ()
    quick, slow = Sampler(options, forbidden), Sampler(options, forbidden)
    if temperature == 0:
        assert quick._greedy is not None
    slow._greedy = None
    for _ in range(20):
        logits = np.round(rng.standard_normal(5000) * 4, 1).astype(np.float32)  # rounded: many are equal
        before, history = logits.copy(), rng.integers(0, 5000, 100).tolist() * 2
        token = quick.sample(logits, history)
        assert np.array_equal(logits, before)
        with monkeypatch.context() as patch:
            patch.setattr(Candidates, "is_whole", False)
            assert slow.sample(logits, history) == token


def test_penalties_find_their_tokens_in_any_order_of_candidates() -> None:
    mixed = Candidates(np.array([0, 2, 1, 3]), np.array([4, 3, 2, 1], np.float32))
    penalties.penalise(mixed, [1], Options(presence_penalty=1.0))
    assert mixed.logits.tolist() == [4, 3, 1, 1]


def test_dynamic_temperature_reaches_both_ends() -> None:
    sampler = Sampler(Options(temperature=1.0, dynatemp_range=0.5))
    uniform = Candidates(np.arange(4), np.full(4, 3, np.float32))
    sampler._temperature(uniform)
    assert np.allclose(uniform.logits, 3 / 1.5)
    peaked = Candidates(np.arange(4), np.array([200, 0, 0, 0], np.float32))
    sampler._temperature(peaked)
    assert np.allclose(peaked.logits, [400, 0, 0, 0])


def test_a_seed_decides() -> None:
    logits = np.random.default_rng(2).standard_normal(500).astype(np.float32)
    texts = [[Sampler(o).sample(logits, []) for o in [Options(seed=seed)] for _ in range(1)] for seed in range(20)]
    assert len({tuple(text) for text in texts}) > 1
    first, second = Sampler(Options(seed=4)), Sampler(Options(seed=4))
    assert [first.sample(logits, []) for _ in range(50)] == [second.sample(logits, []) for _ in range(50)]


def test_the_generator_is_the_standard_one() -> None:
    random = Random(5489)
    words = [random.word() for _ in range(10000)]
    assert (words[0], words[-1]) == (3499211612, 4123659995)
    again = Random(5489)
    assert again.uniform() == (words[0] + words[1] * 2**32) / 2**64
    assert actual_seed(7) == 7
    assert 0 <= actual_seed(-1) < 2**32


def test_one_candidate_still_consumes_a_draw() -> None:
    logits = np.array([0.0, 1.0, 2.0], np.float32)
    sampler = Sampler(Options(**{**NEUTRAL, "top_k": 1}))
    sampler.sample(logits, [])
    expected = Random(1)
    expected.uniform()
    assert sampler._random.uniform() == expected.uniform()


def test_frequencies_match_the_truncated_distribution() -> None:
    probabilities = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    counts = draws(Options(**{**NEUTRAL, "top_k": 4}), logits_of(probabilities.tolist()), 20000)
    expected = probabilities[:4] / probabilities[:4].sum() * 20000
    chi_square = sum((counts[i] - e) ** 2 / e for i, e in enumerate(expected))
    assert counts[4] == 0
    assert chi_square < 16.3  # 3 degrees of freedom, p = 0.001


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_an_error(bad: float) -> None:
    logits = np.zeros(10, np.float32)
    logits[4] = bad
    for options in (Options(), Options(temperature=0), Options(mirostat=2), Options(top_k=0)):
        with pytest.raises(CorralError, match="not finite"):
            Sampler(options).sample(logits, [])


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_keeps_the_surprise_near_its_target(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = (-1.1 * np.log(np.arange(1, 2001))).astype(np.float32)
    surprises: list[float] = []
    accept = Mirostat.accept

    def spy(self: Mirostat, probability: float) -> None:
        surprises.append(-math.log2(probability))
        accept(self, probability)

    monkeypatch.setattr(Mirostat, "accept", spy)
    sampler = Sampler(Options(mirostat=version, mirostat_tau=3.0, mirostat_eta=0.1, temperature=1.0, seed=3))
    for _ in range(2000):
        sampler.sample(logits, [])
    assert abs(np.mean(surprises[500:]) - 3.0) < 0.1


def test_mirostat_always_keeps_a_token() -> None:
    state = Mirostat(2, 5.0, 0.1)
    state.mu = -100.0
    candidates = candidates_of([0.5, 0.5])
    state.truncate(candidates, 2)
    assert len(candidates) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": math.nan},
        {"repeat_penalty": 0.0},
        {"repeat_penalty": -1.0},
        {"presence_penalty": math.inf},
        {"mirostat": 3},
        {"dry_allowed_length": -1},
        {"logit_bias": {1: math.nan}},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(BadRequest, match="option"):
        Sampler(Options(**options))  # type: ignore[arg-type]


def test_scores_are_log_softmax_of_the_raw_logits() -> None:
    logits = np.random.default_rng(9).standard_normal(5000).astype(np.float32) * 5
    exact = logits - np.log(np.exp(logits.astype(np.float64)).sum())
    scored = score(logits, 17, 20)
    assert abs(scored.logprob - exact[17]) < 1e-5
    assert [token for token, _ in scored.top] == np.argsort(-logits, kind="stable")[:20].tolist()
    assert sum(math.exp(logprob) for _, logprob in scored.top) <= 1
    assert score(logits, 17, 0).top == ()


@pytest.mark.parametrize("scale", [0.5, 3.0, 12.0])
@pytest.mark.parametrize("p", [0.0, 0.3, 0.95, 0.9999])
def test_top_p_among_many_is_that_of_everything_sorted(scale: float, p: float) -> None:
    rng = np.random.default_rng(7)
    logits = (rng.standard_normal(20_000) * scale).astype(np.float32).round(2)  # rounded: many are equal
    ids = np.sort(rng.choice(40_000, 20_000, replace=False))
    order = np.argsort(-logits, kind="stable")
    weights = np.exp(logits[order].astype(np.float64) - logits.max())
    count = int(np.searchsorted(weights.cumsum(), p * weights.sum())) + 1
    some = Candidates(ids, logits)
    truncation.top_p(some, p, 3)
    assert abs(len(some) - max(count, 3)) <= 1  # sums in another order may differ in their last bit
    assert np.array_equal(some.ids, ids[order][: len(some)])
    assert np.array_equal(some.logits, logits[order][: len(some)])


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.999, 0.9999999])
def test_typical_among_many_is_that_of_everything_sorted(scale: float, p: float) -> None:
    rng = np.random.default_rng(8)
    logits = (rng.standard_normal(20_000) * scale).astype(np.float32).round(1)  # rounded: many are equally near
    logits[::9] = -np.inf
    some = Candidates(np.arange(20_000), logits)
    probabilities = some.probabilities()
    possible = probabilities > 0
    surprise = -np.log(probabilities, where=possible, out=np.full(20_000, -np.inf))
    entropy = (probabilities[possible] * surprise[possible]).sum()
    order = np.argsort(np.abs(surprise - entropy), kind="stable")
    count = int(probabilities[order].cumsum().searchsorted(p, side="right")) + 1
    truncation.typical(some, p, 3)
    assert np.array_equal(some.ids, order[: max(count, 3)])


def test_xtc_among_unsorted_candidates() -> None:
    logits = np.log(np.array([0.02, 0.3, 0.18, 0.3, 0.2], np.float32))
    some = Candidates(np.arange(5), logits)
    truncation.xtc(some, 0.0, 1.0, 0.19, 0)
    assert some.ids.tolist() == [0, 2, 4]
    equal = Candidates(np.arange(5), logits)
    truncation.xtc(equal, 0.0, 1.0, 0.25, 0)
    assert equal.ids.tolist() == [0, 2, 3, 4]  # of equals the last stays


@pytest.mark.parametrize("multiplier", [0.0, 1.5])
def test_the_vocabulary_is_spelt_out_for_dry_only(bench: Callable[..., Any], multiplier: float) -> None:
    made = bench("llama")
    made.submit(Job(token_ids=(5,), options=Options(dry_multiplier=multiplier)))
    assert ("token_bytes" in vars(made.model.vocabulary)) == (multiplier > 0)
