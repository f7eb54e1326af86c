"""An answer that goes round in circles is noticed, and only then."""

import random

import pytest
from msgspec.structs import replace

from conftest import Bench, Open
from corral import Job, Options
from corral_engine.loops import LoopWatch
from corral_engine.plugin import EngineConfig


def closes_after(tokens: list[int], limit: int) -> int | None:
    watch = LoopWatch(limit)
    return next((n for n, token in enumerate(tokens, 1) if watch.closes(token)), None)


@pytest.mark.parametrize("circle", [[1, 2], [1, 1, 2], list(range(64)), list(range(256))])
def test_a_circle_is_noticed_after_the_limit(circle: list[int]) -> None:
    start = [101, 102, 103]
    assert closes_after(start + circle * 100, 50) == len(start) + len(circle) + 50


def test_the_same_token_may_come_thirty_times() -> None:
    assert closes_after([token for n in range(20) for token in (*[7] * 30, 8 + n)], 512) is None


@pytest.mark.parametrize("limit", [1, 20, 50, 512])
def test_the_same_token_is_noticed_after_thirty(limit: int) -> None:
    assert closes_after([101, 102, *[7] * 100], limit) == 3 + min(limit, 30)


def test_a_circle_that_is_left_in_time_is_not_noticed() -> None:
    assert closes_after([token for n in range(20) for token in (*[1, 2, 3] * 15, 10 + n)], 50) is None


def test_text_is_no_circle() -> None:
    numbers = random.Random(5)
    assert closes_after([numbers.randrange(30) for _ in range(5000)], 50) is None


def test_zero_watches_nothing() -> None:
    assert closes_after([1] * 5000, 0) is None


def test_an_answer_ends_in_a_circle_unless_it_is_to_have_no_end(open_model: Open) -> None:
    bench = Bench(open_model("llama", config=EngineConfig(kernels="numpy")))
    writes = Options(temperature=0.0, logit_bias={68: 100.0})
    jobs = [Job(token_ids=(3, 4), options=replace(writes, ignore_eos=free), max_tokens=60) for free in (False, True)]
    ends, goes_on = bench.run(*jobs)
    assert (ends.tokens, ends.end.reason) == ([68] * 31, "length")
    assert goes_on.tokens == [68] * 60
