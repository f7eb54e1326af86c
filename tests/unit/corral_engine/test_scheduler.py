"""Continuous batching: company, chunks, caches and interruptions never change anybody's text."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import ListOutbox, MakeBench
from corral import Busy, CorralError, DoneEvent, Job, Options, OutOfMemory, PrefillEvent
from corral_engine.batching import share_between, share_out
from corral_engine.fairness import Ledger
from corral_engine.program import Batch
from corral_engine.scheduler import SCORED_ROWS
from corral_engine.scores import score

GREEDY = Options(temperature=0.0)


def random_jobs(seed: int, n: int) -> list[Job]:
    """Prompts with common beginnings, some greedy, some drawn."""
    rng = np.random.default_rng(seed)
    stem = rng.integers(3, 250, 70).tolist()
    jobs = []
    for i in range(n):
        own = rng.integers(3, 250, int(rng.integers(1, 40))).tolist()
        prompt = stem[: int(rng.integers(0, 70))] + own
        options = GREEDY if i % 2 else Options(seed=i, repeat_penalty=1.1)
        jobs.append(Job(token_ids=tuple(prompt), options=options, max_tokens=int(rng.integers(1, 16)), num_ctx=128))
    return jobs


@pytest.mark.parametrize(
    ("kernels", "storage", "kv_type"),
    [("numpy", "F32", "f32"), ("native", "F32", "f32"), ("native", "Q8_0", "f16"), ("native", "Q4_1", "q8_0")],
)
def test_company_chunks_and_memory_change_nobodys_text(
    bench: MakeBench, kernels: str, storage: str, kv_type: str
) -> None:
    jobs = random_jobs(1, 10)
    model = {"name": "qwen3", "kernels": kernels, "storage": storage, "kv_type": kv_type}
    single = bench(**model, n_parallel=1)
    alone = [single.run(job)[0].tokens for job in jobs]
    for settings in (
        {"n_parallel": 10},
        {"n_parallel": 3, "prefill_chunk": 7},
        {"n_parallel": 4, "prefill_chunk": 40, "kv_tokens": 160},
        {"n_parallel": 10, "speculation": 8},
    ):
        everybody = bench(**model, **settings)
        outboxes = everybody.run(*jobs)
        assert [outbox.tokens for outbox in outboxes] == alone, settings
        assert all(outbox.end.reason == "length" for outbox in outboxes)
        assert everybody.is_clean
        again = everybody.run(*jobs)  # now from the cache
        assert [outbox.tokens for outbox in again] == alone
        assert everybody.is_clean


@pytest.mark.parametrize(
    "storage",
    [
        "F16",
        "BF16",
        "Q4_0",
        "Q5_0",
        "Q5_1",
        "Q2_K",
        "Q3_K",
        "Q4_K",
        "Q5_K",
        "Q6_K",
        "IQ4_NL",
        "IQ4_XS",
        "MXFP4",
        "TQ2_0",
    ],
)
def test_company_changes_nobodys_text_with_any_type_of_weights(bench: MakeBench, storage: str) -> None:
    jobs = random_jobs(2, 6)
    model = {"name": "wide", "kernels": "native", "storage": storage, "kv_type": "f16"}
    single = bench(**model, n_parallel=1)
    alone = [single.run(job)[0].tokens for job in jobs]
    together = bench(**model, n_parallel=6, prefill_chunk=13, speculation=8)
    assert [outbox.tokens for outbox in together.run(*jobs)] == alone


def test_the_newest_gives_way_when_the_cache_is_short_and_goes_on_later(bench: MakeBench) -> None:
    jobs = [Job(token_ids=tuple(range(3 + i, 33 + i)), options=GREEDY, max_tokens=60, num_ctx=128) for i in range(3)]
    alone = [bench().run(job)[0].tokens for job in jobs]
    tight = bench(kv_tokens=160)
    preempted: list[Any] = []
    preempt = tight.scheduler._preempt
    tight.scheduler._preempt = lambda sequence: (preempted.append(sequence), preempt(sequence))[1]  # type: ignore
    outboxes = tight.run(*jobs)
    assert [outbox.tokens for outbox in outboxes] == alone
    assert preempted
    assert all(sequence.job is not jobs[0] for sequence in preempted)
    assert tight.is_clean


def test_a_second_request_evaluates_only_what_is_new(bench: MakeBench) -> None:
    made = bench()
    prompt = tuple(range(3, 103))
    made.run(Job(token_ids=prompt, options=GREEDY, max_tokens=4, num_ctx=128))
    rows: list[int] = []
    run = made.model.executor.run

    def counting(batch: Batch, *, hidden: bool = False) -> NDArray[np.float32]:
        rows.append(len(batch.token_ids))
        return run(batch, hidden=hidden)

    made.scheduler.executor.run = counting  # type: ignore[method-assign]
    (same,) = made.run(Job(token_ids=prompt, options=GREEDY, max_tokens=1, num_ctx=128))
    assert same.end.cached_tokens == 99
    assert rows == [1]
    rows.clear()
    (longer,) = made.run(Job(token_ids=(*prompt, 200, 201), options=GREEDY, max_tokens=1, num_ctx=128))
    assert longer.end.cached_tokens == 100
    assert rows == [2]
    (other,) = made.run(Job(token_ids=prompt, options=GREEDY, max_tokens=1, num_ctx=128, cache_key="someone else"))
    assert other.end.cached_tokens == 0


def test_cancelling_in_the_queue(bench: MakeBench) -> None:
    made = bench(n_parallel=1)
    _, first = made.submit(Job(token_ids=(3, 4), options=GREEDY, max_tokens=20))
    waiting, outbox = made.submit(Job(token_ids=(5, 6), options=GREEDY))
    made.scheduler.step()
    waiting.cancelled = True
    made.scheduler.step()
    assert not made.scheduler.waiting
    made.finish()
    assert outbox.items == []
    assert len(first.tokens) == 20


def test_cancelling_while_prefilling(bench: MakeBench) -> None:
    made = bench(prefill_chunk=32)
    sequence, outbox = made.submit(Job(token_ids=tuple(range(3, 123)), options=GREEDY, num_ctx=128))
    made.scheduler.step()
    assert 0 < sequence.n_done < 120
    sequence.cancelled = True
    assert not made.scheduler.step()
    assert made.is_clean
    assert not any(isinstance(item, DoneEvent) for item in outbox.items)


def test_cancelling_while_decoding_leaves_the_others_alone(bench: MakeBench) -> None:
    job, other = (Job(token_ids=(t, t + 1), options=GREEDY, max_tokens=12) for t in (3, 50))
    (alone,) = bench().run(other)
    made = bench()
    sequence, _ = made.submit(job)
    _, survivor = made.submit(other)
    for _ in range(4):
        made.scheduler.step()
    sequence.cancelled = True
    made.finish()
    assert survivor.tokens == alone.tokens
    assert made.is_clean


def test_a_full_queue_is_busy(bench: MakeBench) -> None:
    made = bench(n_parallel=1, max_queue=1)
    for _ in range(2):
        made.scheduler.check_queue()
        made.submit(Job(token_ids=(3,)))
    with pytest.raises(Busy, match=r"^server busy, please try again\.  maximum pending requests exceeded$"):
        made.scheduler.check_queue()


def test_a_stream_goes_on_while_a_long_prompt_is_evaluated(bench: MakeBench) -> None:
    made = bench(step_s=0.1, kv_tokens=2048)
    now, row_s = [0.0], 0.002
    made.scheduler._clock = lambda: now[0]
    run, sizes = made.model.executor.run, []

    def timed(batch: Batch, *, hidden: bool = False) -> NDArray[np.float32]:
        sizes.append(len(batch.token_ids))
        now[0] += row_s * len(batch.token_ids)
        return run(batch, hidden=hidden)

    made.scheduler.executor.run = timed  # type: ignore[method-assign]
    _, stream = made.submit(Job(token_ids=(3, 4), options=GREEDY, max_tokens=40, num_ctx=128))
    for _ in range(3):
        made.scheduler.step()
    longs = [made.submit(Job(token_ids=tuple(range(3 + i, 118 + i)), options=GREEDY, max_tokens=1, num_ctx=128))
             for i in range(4)]  # fmt: skip
    while not all(outbox.items and isinstance(outbox.items[-1], DoneEvent) for _, outbox in longs):
        before, began = len(stream.tokens), now[0]
        made.scheduler.step()
        assert len(stream.tokens) > before or isinstance(stream.items[-1], DoneEvent)
        if len(sizes) > 4:  # once the speed is known
            assert now[0] - began < 0.1 * 1.3
    assert max(sizes) > 32


def test_a_client_with_many_requests_does_not_keep_others_waiting(bench: MakeBench) -> None:
    made = bench(n_parallel=1)
    ended: list[str] = []

    class Noting(ListOutbox):
        def __init__(self, client: str) -> None:
            super().__init__()
            self.client = client

        def put(self, item: Any) -> None:
            ended.append(self.client)

    def ask(client: str, first: int) -> None:
        job = Job(token_ids=(first, 4), options=GREEDY, max_tokens=6, client=client)
        made.submit(job, Noting(client))

    for first in range(3, 9):
        ask("greedy", first)
    for _ in range(10):
        made.scheduler.step()
    ask("modest", 20)
    ask("modest", 21)
    made.finish()
    turns = [client for client, before in zip(ended, ["", *ended], strict=False) if client != before]
    assert turns == ["greedy", "modest", "greedy", "modest", "greedy"]
    assert not made.scheduler._ledger._served


def test_clients_start_level() -> None:
    ledger = Ledger()
    ledger.arrive("a")
    ledger.charge("a", 100)
    ledger.arrive("b")
    assert ledger.served("b") == 100
    ledger.charge("b", 5)
    ledger.arrive("a")
    assert ledger.served("a") == 100
    ledger.keep(["b"])
    ledger.arrive("a")
    assert ledger.served("a") == 105


def test_a_slow_reader_pauses_only_itself(bench: MakeBench) -> None:
    job = Job(token_ids=(3, 4, 5), options=GREEDY, max_tokens=20)
    (alone,) = bench().run(job)
    made = bench()
    slow = ListOutbox(capacity=5)
    sequence, _ = made.submit(job, slow)
    _, quick = made.submit(job)
    while made.scheduler.step():
        pass
    assert quick.end.reason == "length"
    assert sequence.n_generated < 20
    slow.capacity = 1 << 30
    made.finish()
    assert slow.tokens == quick.tokens == alone.tokens


def test_a_stream_that_nobody_reads_is_given_up(bench: MakeBench) -> None:
    now = [0.0]
    made = bench(stall_s=60.0)
    made.scheduler._clock = lambda: now[0]
    stalled = ListOutbox(capacity=3)
    made.submit(Job(token_ids=(3, 4), options=GREEDY, max_tokens=20), stalled)
    while made.scheduler.step():
        pass
    now[0] = 59.0
    made.scheduler.step()
    assert made.scheduler.active
    now[0] = 61.0
    made.finish()
    assert isinstance(stalled.items[-1], CorralError)
    assert made.is_clean


def test_too_little_memory_makes_steps_smaller_then_fails_the_newest(bench: MakeBench) -> None:
    job = Job(token_ids=tuple(range(3, 103)), options=GREEDY, max_tokens=5, num_ctx=128)
    (alone,) = bench().run(job)
    made = bench(prefill_chunk=128)
    run, most = made.model.executor.run, [40]

    def short_of_memory(batch: Batch, *, hidden: bool = False) -> NDArray[np.float32]:
        if len(batch.token_ids) > most[0]:
            raise MemoryError
        return run(batch, hidden=hidden)

    made.scheduler.executor.run = short_of_memory  # type: ignore[method-assign]
    (outbox,) = made.run(job)
    assert outbox.tokens == alone.tokens
    most[0] = 2
    (failed,) = made.run(Job(token_ids=tuple(range(50, 90)), options=GREEDY, max_tokens=5, num_ctx=128))
    assert isinstance(failed.items[-1], OutOfMemory)
    assert made.is_clean


def test_broken_logits_fail_their_request_alone(bench: MakeBench) -> None:
    made = bench()
    run = made.model.executor.run

    def poisoned(batch: Batch, *, hidden: bool = False) -> NDArray[np.float32]:
        logits = run(batch, hidden=hidden).copy()
        bad = np.isin(batch.seq_of[batch.output_rows], np.unique(batch.seq_of[batch.token_ids == 77]))
        logits[bad] = math.nan
        return logits

    made.scheduler.executor.run = poisoned  # type: ignore[method-assign]
    good, bad = made.run(
        Job(token_ids=(3, 4), options=GREEDY, max_tokens=5), Job(token_ids=(77,), options=GREEDY, max_tokens=5)
    )
    assert len(good.tokens) == 5
    assert isinstance(bad.items[-1], CorralError)
    assert made.is_clean


def test_the_context_shifts_as_if_the_rest_had_been_the_prompt(bench: MakeBench) -> None:
    prompt = tuple(range(3, 23))
    job = Job(token_ids=prompt, options=GREEDY, max_tokens=40, num_ctx=40, num_keep=6)
    (shifted,) = bench().run(job)
    assert len(shifted.tokens) == 40
    text = [*prompt, *shifted.tokens[:20]]
    kept = text[:6] + text[6 + (40 - 6) // 2 :]
    (continued,) = bench().run(Job(token_ids=tuple(kept), options=GREEDY, max_tokens=10, num_ctx=40))
    assert shifted.tokens[20:30] == continued.tokens


@pytest.mark.parametrize("num_keep", [-1, 0, 39, 1000])
def test_shifting_always_makes_room(bench: MakeBench, num_keep: int) -> None:
    job = Job(token_ids=tuple(range(3, 33)), options=GREEDY, max_tokens=50, num_ctx=40, num_keep=num_keep)
    (outbox,) = bench(speculation=8).run(job)
    assert len(outbox.tokens) == 50


def test_without_shift_the_end_is_length(bench: MakeBench) -> None:
    (outbox,) = bench().run(Job(token_ids=tuple(range(3, 33)), options=GREEDY, num_ctx=40, shift=False))
    assert len(outbox.tokens) == 10
    assert outbox.end.reason == "length"


def test_scores_of_the_prompt_are_those_of_its_logits(bench: MakeBench) -> None:
    made = bench(prefill_chunk=80)
    run = made.model.executor.run

    def watched(batch: Batch, *, hidden: bool = False) -> NDArray[np.float32]:
        assert len(batch.output_rows) <= SCORED_ROWS
        return run(batch, hidden=hidden)

    made.scheduler.executor.run = watched  # type: ignore[method-assign]
    prompt = tuple(range(3, 93))
    job = Job(token_ids=prompt, options=GREEDY, max_tokens=1, num_ctx=128, prompt_logprobs=True, n_logprobs=2)
    (first,) = made.run(job)
    (second,) = made.run(job)
    for outbox in (first, second):  # the second is not answered from the cache
        scores = [entry for item in outbox.items if isinstance(item, PrefillEvent) for entry in item.logprobs]
        assert [entry.token_id for entry in scores] == list(prompt[1:])
        assert all(len(entry.top) == 2 and entry.logprob <= 0 for entry in scores)
        assert outbox.end.cached_tokens == 0


def test_scores_of_a_prompt_that_had_to_give_way_are_told_once(bench: MakeBench) -> None:
    made = bench(prefill_chunk=16, kv_tokens=160, n_parallel=2)
    made.submit(Job(token_ids=tuple(range(3, 43)), options=GREEDY, max_tokens=80, num_ctx=160))
    for _ in range(4):
        made.scheduler.step()
    prompt = tuple(range(5, 95))
    job = Job(token_ids=prompt, options=GREEDY, max_tokens=1, num_ctx=128, prompt_logprobs=True, n_logprobs=0)
    sequence, outbox = made.submit(job)
    while sequence.n_done < 48:
        made.scheduler.step()
    made.scheduler._preempt(sequence)
    made.finish()
    scores = [entry for item in outbox.items if isinstance(item, PrefillEvent) for entry in item.logprobs]
    assert [entry.token_id for entry in scores] == list(prompt[1:])
    (alone,) = bench().run(job)
    assert scores == [entry for item in alone.items if isinstance(item, PrefillEvent) for entry in item.logprobs]


def test_a_fault_of_what_guesses_ahead_is_its_own_sequences(bench: MakeBench) -> None:
    made = bench(n_parallel=2)
    broken, outbox = made.submit(Job(token_ids=(3, 4), options=GREEDY, max_tokens=5))
    _, other = made.submit(Job(token_ids=(5, 6), options=GREEDY, max_tokens=5))

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    broken.drafts = fail  # type: ignore[method-assign, assignment]
    made.finish()
    assert isinstance(outbox.items[-1], CorralError)
    assert len(other.tokens) == 5
    assert made.is_clean


def test_progress_is_told_chunk_by_chunk(bench: MakeBench) -> None:
    (outbox,) = bench(prefill_chunk=32).run(
        Job(token_ids=tuple(range(3, 103)), options=GREEDY, max_tokens=1, num_ctx=128)
    )
    progress = [item for item in outbox.items if isinstance(item, PrefillEvent)]
    assert [item.done_tokens for item in progress] == [0, 32, 64, 96, 100]
    assert {item.total_tokens for item in progress} == {100}


@pytest.mark.parametrize("n", [0, 1, 2])
def test_token_limits(bench: MakeBench, n: int) -> None:
    (outbox,) = bench().run(Job(token_ids=(3, 4), options=GREEDY, max_tokens=n))
    assert len(outbox.tokens) == n
    assert outbox.end.reason == "length"


def test_the_end_token_beats_the_limit(bench: MakeBench) -> None:
    (probe,) = bench().run(Job(token_ids=(3, 4), options=GREEDY, max_tokens=1))
    end = probe.tokens[0]
    (outbox,) = bench().run(Job(token_ids=(3, 4), options=GREEDY, max_tokens=1, eog_ids=(end,)))
    assert outbox.end.reason == "stop"
    assert outbox.tokens == []
    ignoring = Options(temperature=0.0, ignore_eos=True)
    (going_on,) = bench().run(Job(token_ids=(3, 4), options=ignoring, max_tokens=3, eog_ids=(end,)))
    assert len(going_on.tokens) == 3
    assert end not in going_on.tokens


def test_logits_of_the_sampled_token_are_scored(bench: MakeBench) -> None:
    made = bench()
    run, seen = made.model.executor.run, []

    def recording(batch: Batch, *, hidden: bool = False) -> NDArray[np.float32]:
        seen.append(run(batch, hidden=hidden).copy())
        return seen[-1]

    made.scheduler.executor.run = recording  # type: ignore[method-assign]
    (outbox,) = made.run(Job(token_ids=(3, 4), options=GREEDY, max_tokens=1, n_logprobs=5))
    (event,) = [item for item in outbox.items if not isinstance(item, PrefillEvent | DoneEvent)]
    assert event.logprobs == (score(seen[-1][-1], outbox.tokens[0], 5),)  # type: ignore[union-attr]


def test_shares_are_fair() -> None:
    assert share_out([], 10) == []
    assert share_out([5, 100, 100], 65) == [5, 30, 30]
    assert share_out([1, 1], 10) == [1, 1]
    assert share_between([("a", 100), ("a", 100), ("b", 100)], 60) == [15, 15, 30]


def test_a_fault_in_choosing_a_token_ends_that_sequence_alone(bench: MakeBench) -> None:
    made = bench()
    broken, its_outbox = made.submit(Job(token_ids=(3, 4), options=GREEDY, max_tokens=6))
    _, other = made.submit(Job(token_ids=(5, 6), options=GREEDY, max_tokens=6))

    def sample(row: object, tokens: object) -> int:
        raise ZeroDivisionError

    broken.sampler.sample = sample  # type: ignore[method-assign]
    made.finish()
    error = its_outbox.items[-1]
    assert isinstance(error, CorralError)
    assert "ZeroDivisionError" in error.message
    assert len(other.tokens) == 6
