"""Many inputs in one step: each gets the vector it would get alone, and streams beside them go on."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny_models
from msgspec.structs import replace

from conftest import Bench, MakeBench, embed
from corral import Busy, CorralError, Job, OutOfMemory
from corral.testing.engine_contract import GREEDY
from corral_engine.embedding import EmbedTask
from corral_engine.model import Model
from corral_engine.plugin import EngineConfig

LENGTHS = (1, 14, 1, 33, 2, 15, 1, 32, 40, 3, 16, 1, 7)
NUMBERS = random.Random(3)
INPUTS = [tuple(NUMBERS.randrange(tiny_models.V) for _ in range(n)) for n in LENGTHS]


@pytest.mark.parametrize("kernels", ["native", "numpy"])
@pytest.mark.parametrize("most_rows", [512, 40])
def test_company_changes_no_bit(kernels: str, most_rows: int, open_model: Callable[..., Model]) -> None:
    config = EngineConfig(kernels=kernels, prefill_chunk=most_rows)  # type: ignore[arg-type]
    model = open_model("bert", config=config, kv_tokens=1024)
    together = embed(model, INPUTS)
    assert together == tuple(vector for each in INPUTS for vector in embed(model, [each]))


@pytest.mark.parametrize("storage", ["F32", "F16"])
def test_the_native_kernels_agree_with_numpy(storage: str, open_model: Callable[..., Model]) -> None:
    native, numpy = (
        np.array(embed(open_model("bert", config=EngineConfig(kernels=kernels), storage=storage), INPUTS))  # type: ignore[arg-type]
        for kernels in ("native", "numpy")
    )
    cosines = (native * numpy).sum(axis=1) / np.linalg.norm(native, axis=1) / np.linalg.norm(numpy, axis=1)
    assert cosines.min() > 0.999999


def test_pages_are_given_back(open_model: Callable[..., Model]) -> None:
    model = open_model("bert", kv_tokens=128)
    free = model.pool.n_free
    assert len(embed(model, INPUTS)) == len(INPUTS)
    assert model.pool.n_free == free


@pytest.mark.parametrize("kernels", ["native", "numpy"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pieces_of_any_size_give_the_same_bits(kernels: str, pooling: str, open_model: Callable[..., Model]) -> None:
    model = open_model("llama", config=EngineConfig(kernels=kernels), kv_tokens=1024)  # type: ignore[arg-type]
    model.embedder.pooling = pooling  # type: ignore[assignment]
    whole = embed(model, INPUTS)
    assert all(embed(model, INPUTS, max_rows) == whole for max_rows in (1, 7, 33))


class Desk:
    """Embedding requests at a scheduler, and what came of each."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.results: dict[str, Any] = {}
        self.rows: list[int] = []
        run = bench.model.executor.run

        def counting(batch: Any, *, hidden: bool = False) -> Any:
            if hidden:
                self.rows.append(len(batch.token_ids))
            return run(batch, hidden=hidden)

        bench.model.executor.run = counting  # type: ignore[method-assign]

    def ask(self, name: str, *lengths: int, client: str = "") -> EmbedTask:
        inputs = [tuple(range(3, 3 + length)) for length in lengths]
        task = EmbedTask(inputs, lambda result: self.results.update({name: result}), client=client)
        self.bench.scheduler.submit(task)
        return task


@pytest.fixture
def desk(bench: MakeBench) -> Callable[..., Desk]:
    return lambda **settings: Desk(bench(**settings))


def generation(first: int = 3, n_prompt: int = 4, n: int = 40) -> Job:
    return Job(token_ids=tuple(range(first, first + n_prompt)), options=GREEDY, max_tokens=n, num_ctx=128)


def test_a_stream_goes_on_beside_a_long_input(desk: Callable[..., Desk]) -> None:
    made = desk(n_parallel=2, prefill_chunk=16)
    _, outbox = made.bench.submit(generation())
    made.bench.scheduler.step()
    made.ask("long", 120)
    told = []
    while "long" not in made.results:
        made.bench.scheduler.step()
        told.append(len(outbox.tokens))
    assert max(made.rows) <= 16
    assert np.diff(told).min() >= 1
    assert len(made.results["long"]) == 1


def test_who_is_cancelled_on_the_way_gives_its_pages_back(desk: Callable[..., Desk]) -> None:
    made = desk(prefill_chunk=16)
    task = made.ask("gone", 100, 100)
    made.bench.scheduler.step()
    assert task.opened
    task.cancelled = True
    assert not made.bench.scheduler.step()
    assert made.results == {}
    assert made.bench.is_clean


def test_an_input_waits_for_room_and_nobody_overtakes_it(desk: Callable[..., Desk]) -> None:
    made = desk(n_parallel=4, kv_tokens=128)
    _, first = made.bench.submit(generation(n_prompt=60))
    made.bench.scheduler.step()
    made.ask("large", 100)
    made.bench.scheduler.step()
    _, second = made.bench.submit(generation(5, 60))
    while not made.results:
        assert made.bench.scheduler.step()
        assert not second.tokens
    assert len(first.tokens) == 40
    made.bench.finish()
    assert len(second.tokens) == 40
    assert len(made.results["large"]) == 1
    assert made.bench.is_clean


def test_a_generation_that_waits_for_room_is_not_overtaken_by_later_inputs(desk: Callable[..., Desk]) -> None:
    made = desk(n_parallel=4, kv_tokens=160, prefill_chunk=32)
    made.bench.submit(generation(n_prompt=60))
    made.bench.scheduler.step()
    _, waiting = made.bench.submit(generation(5, 90))
    for number in range(20):
        made.ask(str(number), 60)
    while not waiting.tokens:
        assert made.bench.scheduler.step()
    assert len(made.results) < 20
    made.bench.finish()
    assert len(made.results) == 20
    assert made.bench.is_clean


def test_a_chat_is_not_overtaken_by_later_inputs_while_an_earlier_one_waits(desk: Callable[..., Desk]) -> None:
    made = desk(n_parallel=4, kv_tokens=256, prefill_chunk=32)
    for number in range(3):
        made.ask(f"indexer {number}", *[60] * 10, client="indexer")
    made.bench.submit(generation(n_prompt=10, n=80))
    made.bench.scheduler.step()
    _, chat = made.bench.submit(generation(5, 100))
    late = 0
    for step in range(400):
        if step % 4 == 0:
            made.ask(f"late {step}", 60, client=f"late {step}")
        made.bench.scheduler.step()
        if chat.tokens:
            break
        late = sum(name.startswith("late") for name in made.results)
    assert chat.tokens
    assert late == 0
    made.bench.finish()
    assert made.bench.is_clean


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_steps_stay_full_however_many_clients_there_are(desk: Callable[..., Desk], name: str) -> None:
    made = desk(name=name, kv_tokens=1024, prefill_chunk=128)
    for number in range(64):
        made.ask(str(number), 30, client=str(number % 16))
    made.bench.finish()
    assert len(made.rows) <= 18
    assert made.bench.is_clean


def test_only_what_is_evaluated_holds_pages(desk: Callable[..., Desk]) -> None:
    made = desk(kv_tokens=2048, prefill_chunk=32)
    for number in range(31):
        made.ask(str(number), 30, client=str(number % 2))
    while made.bench.scheduler.step():
        assert sum(len(task.opened) for task in made.bench.model.embedder.tasks) <= 1


def test_an_input_that_waits_evicts_no_prefix(desk: Callable[..., Desk]) -> None:
    made = desk(n_parallel=2, kv_tokens=192)
    made.bench.run(generation(9, 60, n=1))
    made.bench.submit(generation(n_prompt=20, n=60))
    made.bench.scheduler.step()
    cached = made.bench.model.pool.n_available() - made.bench.model.pool.n_free
    assert cached
    made.ask("large", 180)
    made.bench.scheduler.step()
    assert made.bench.model.pool.n_available() - made.bench.model.pool.n_free == cached
    made.bench.finish()
    assert len(made.results["large"]) == 1


def test_the_newest_input_gives_way_to_an_older_stream(desk: Callable[..., Desk]) -> None:
    made = desk(n_parallel=2, kv_tokens=192, prefill_chunk=16)
    alone = embed(made.bench.model, [tuple(range(3, 123))])
    _, outbox = made.bench.submit(generation(n_prompt=30, n=90))
    made.bench.scheduler.step()
    made.ask("newer", 120)
    told = []
    while len(outbox.tokens) < 90:
        made.bench.scheduler.step()
        told.append(len(outbox.tokens))
    assert np.diff(told).min() >= 1
    made.bench.finish()
    assert made.results["newer"] == alone
    assert made.bench.is_clean


def test_inputs_count_in_the_queue(desk: Callable[..., Desk]) -> None:
    made = desk(n_parallel=2, max_queue=1)
    for name in "abc":
        made.bench.scheduler.check_queue()
        made.ask(name, 5)
    with pytest.raises(Busy):
        made.bench.scheduler.check_queue()


def test_a_client_with_many_requests_leaves_the_others_their_share(desk: Callable[..., Desk]) -> None:
    made = desk(prefill_chunk=32)
    for number in range(20):
        made.ask(f"many {number}", 30, client="many")
    made.bench.scheduler.step()
    made.ask("one", 30, client="one")
    while "one" not in made.results:
        made.bench.scheduler.step()
    assert len(made.results) <= 4


def test_too_little_memory_makes_steps_smaller_and_fails_only_what_cannot_be_done(desk: Callable[..., Desk]) -> None:
    made = desk(name="bert", prefill_chunk=512)
    run = made.bench.model.executor.run

    def short(batch: Any, *, hidden: bool = False) -> Any:
        if len(batch.token_ids) > 40:
            raise MemoryError
        return run(batch, hidden=hidden)

    made.bench.model.executor.run = short  # type: ignore[method-assign]
    made.ask("small", *[20] * 8)
    made.ask("large", 60)
    made.bench.finish()
    assert len(made.results["small"]) == 8
    assert isinstance(made.results["large"], OutOfMemory)
    assert made.bench.is_clean


def test_what_is_left_is_told_when_the_model_goes(desk: Callable[..., Desk]) -> None:
    made = desk(prefill_chunk=16)
    made.ask("late", 100)
    made.bench.scheduler.step()
    made.bench.scheduler.end_all("shutdown")
    assert isinstance(made.results["late"], CorralError)
    assert made.bench.is_clean


@pytest.mark.parametrize("seed", range(12))
def test_any_mixture_comes_to_its_end(desk: Callable[..., Desk], seed: int) -> None:
    rng = random.Random(seed)
    made = desk(n_parallel=rng.choice((1, 3)), kv_tokens=rng.choice((128, 160, 256)), prefill_chunk=rng.choice((8, 40)))
    tasks, sequences = [], []
    for number in range(30):
        if rng.random() < 0.5:
            lengths = [rng.randrange(1, 120) for _ in range(rng.randrange(1, 4))]
            tasks.append(made.ask(str(number), *lengths, client=rng.choice("abc")))
        else:
            job = generation(rng.randrange(3, 9), rng.randrange(1, 100), rng.randrange(1, 60))
            sequences.append(made.bench.submit(replace(job, client=rng.choice("abc")))[0])
        for _ in range(rng.randrange(4)):
            made.bench.scheduler.step()
        if rng.random() < 0.2:
            rng.choice([*tasks, *sequences]).cancelled = True
    for _ in range(5000):
        if not made.bench.scheduler.step():
            break
    assert not made.bench.model.embedder.tasks
    assert all(sequence.finished for sequence in sequences)
    assert made.bench.is_clean
