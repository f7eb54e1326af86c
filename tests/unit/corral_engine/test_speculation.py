"""Guessing ahead: the same text in fewer steps."""

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import MakeBench
from corral import Job, Options
from corral_engine.program import Batch
from corral_engine.speculation import Price, PromptLookup, Quote

REPEATING = tuple([11, 12, 13, 14, 15, 16, 17] * 6)


def test_the_most_recent_repetition_is_continued() -> None:
    drafter = PromptLookup(8)
    assert drafter.propose([1, 2, 3, 4, 9, 1, 2, 3]) == (4, 9, 1)
    assert drafter.propose([1, 2, 3, 4, 9, 1, 2, 3, 5]) == ()


def test_guesses_grow_shrink_and_rest() -> None:
    drafter = PromptLookup(8)
    text = list(range(10)) * 6
    assert len(drafter.propose(text)) == 3
    drafter.learn(3, 3)
    assert len(drafter.propose(text)) == 6
    drafter.learn(6, 2)
    assert len(drafter.propose(text)) == 3


def test_guesses_that_do_not_pay_rest_for_a_while() -> None:
    drafter = PromptLookup(8)
    text = list(range(10)) * 6
    for _ in range(4):
        drafter.learn(2, 0)
    assert drafter.propose(text, Quote(0.1))
    assert [len(drafter.propose(text, Quote(0.5))) for _ in range(18)] == [0] * 17 + [1]


def test_the_price_of_a_row_is_measured() -> None:
    price = Price()
    assert price.of(1) == Quote()
    for _ in range(50):
        price.learn(1, 0, 0.010)
        price.learn(1, 4, 0.018)
        price.learn(8, 0, 0.030)
    assert abs(price.of(1).row - 0.2) < 0.01
    assert abs(price.of(8).row - 0.53) < 0.01


def test_a_shifted_text_makes_a_new_table() -> None:
    drafter = PromptLookup(8)
    drafter.propose([1, 2, 3, 4, 5, 6, 7, 8])
    assert drafter.propose([1, 2, 7, 8, 5, 7, 8]) == (5, 7)


@pytest.mark.parametrize(
    "options", [Options(temperature=0.0), Options(seed=5, temperature=0.7), Options(seed=6, mirostat=2)]
)
@pytest.mark.parametrize("n_logprobs", [-1, 2])
def test_the_text_is_the_same(bench: MakeBench, options: Options, n_logprobs: int) -> None:
    job = Job(token_ids=REPEATING, options=options, max_tokens=60, num_ctx=128, n_logprobs=n_logprobs)
    (plain,) = bench(speculation=0).run(job)
    (guessed,) = bench(speculation=8).run(job)
    assert guessed.tokens == plain.tokens
    assert guessed.end.eval_tokens == plain.end.eval_tokens == 60
    scores = [[s for item in box.items for s in getattr(item, "logprobs", ())] for box in (plain, guessed)]
    assert scores[0] == scores[1]


def test_right_guesses_save_steps_and_rejected_ones_leave_no_trace(bench: MakeBench) -> None:
    made = bench(speculation=8)
    run, steps = made.model.executor.run, []

    def counting(batch: Batch, *, hidden: bool = False) -> NDArray[np.float32]:
        steps.append(len(batch.token_ids))
        return run(batch, hidden=hidden)

    made.scheduler.executor.run = counting  # type: ignore[method-assign]
    flat = Options(temperature=0.0, logit_bias={7: 100.0})  # a model that repeats one token: guesses are right
    job = Job(token_ids=REPEATING, options=flat, max_tokens=40, num_ctx=128)
    (outbox,) = made.run(job)
    assert outbox.tokens == [7] * 40
    assert len(steps) < 20
    assert outbox.end.accepted_tokens > 20
    (again,) = made.run(
        Job(token_ids=(*REPEATING, *[7] * 40, 5), options=Options(temperature=0.0), max_tokens=9, num_ctx=128)
    )
    (fresh,) = bench().run(
        Job(token_ids=(*REPEATING, *[7] * 40, 5), options=Options(temperature=0.0), max_tokens=9, num_ctx=128)
    )
    assert again.end.cached_tokens > 64
    assert again.tokens == fresh.tokens


def test_an_end_token_among_the_guesses_ends(bench: MakeBench) -> None:
    flat = Options(temperature=0.0, logit_bias={7: 100.0})
    job = Job(token_ids=(*REPEATING, 7, 7, 7, 7, 7, 7), options=flat, max_tokens=40, num_ctx=128, eog_ids=(7,))
    (outbox,) = bench(speculation=8).run(job)
    assert outbox.tokens == []
    assert outbox.end.reason == "stop"
