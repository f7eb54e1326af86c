"""The runner keeps its contract, and what only this runner promises."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from corral import (
    BadRequest,
    Constraint,
    ContextOverflow,
    EmbedJob,
    Job,
    OutOfMemory,
    RunnerDied,
    RunnerSettings,
    Unsupported,
    Weights,
)
from corral.testing.engine_contract import GREEDY, RunnerContract, collect, tokens_of
from corral_engine.constraints import ConstraintState
from corral_engine.engine import CorralEngine, Parts
from corral_engine.plugin import EngineConfig
from corral_engine.runner import ThreadRunner


class TestThreadRunner(RunnerContract):
    @pytest.fixture
    def engine(self) -> CorralEngine:
        return CorralEngine(EngineConfig(kernels="numpy"))

    @pytest.fixture
    def weights(self, write: Callable[..., Weights]) -> Weights:
        return write("llama")


class TestQuantizedWithoutSpeculation(RunnerContract):
    @pytest.fixture
    def engine(self) -> CorralEngine:
        return CorralEngine(EngineConfig(kernels="auto", speculation=0, kv_type_k="q8_0", kv_type_v="f16"))

    @pytest.fixture
    def weights(self, write: Callable[..., Any]) -> Weights:
        weights: Weights = write("qwen2", storage="Q8_0")
        return weights


class TestEncoder:
    """A model that only embeds."""

    async def test_it_embeds_and_does_not_generate(self, write: Callable[..., Weights]) -> None:
        runner = await CorralEngine(EngineConfig(kernels="numpy", prefill_chunk=40)).open(
            write("bert"), RunnerSettings()
        )
        texts = [tuple(range(3, 3 + n)) for n in (1, 5, 17, 30, 100, 2)]
        together = await runner.embed(EmbedJob(inputs=tuple(texts)))
        alone = [(await runner.embed(EmbedJob(inputs=(text,))))[0] for text in texts]
        assert list(together) == alone
        assert {len(vector) for vector in together} == {64}
        with pytest.raises(Unsupported, match="does not generate"):
            await collect(runner, Job(token_ids=(3,)))
        with pytest.raises(ContextOverflow):
            await runner.embed(EmbedJob(inputs=(tuple([5] * 129),)))
        await runner.close()


async def test_a_fault_on_the_thread_ends_this_runner_with_a_reason(write: Callable[..., Weights]) -> None:
    runner = await CorralEngine(EngineConfig(kernels="numpy")).open(write("llama"), RunnerSettings(n_parallel=2))
    assert isinstance(runner, ThreadRunner)

    def broken(batch: object, *, hidden: bool = False) -> None:
        raise ZeroDivisionError

    runner.scheduler.executor.run = broken  # type: ignore
    jobs = [Job(token_ids=(3, 4)), Job(token_ids=(5, 6))]
    results = await asyncio.gather(*(collect(runner, job) for job in jobs), return_exceptions=True)
    assert [type(result) for result in results] == [RunnerDied, RunnerDied]
    assert not runner.alive
    with pytest.raises(RunnerDied, match="unexpectedly stopped"):
        await collect(runner, jobs[0])
    await runner.close()


async def test_a_cancelled_load_leaves_nothing_behind(write: Callable[..., Weights]) -> None:
    weights = write("llama")
    opening = asyncio.ensure_future(CorralEngine(EngineConfig(kernels="numpy")).open(weights, RunnerSettings()))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    weights.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("runner")]


@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_a_load_ends_at_each_of_its_checkpoints(write: Callable[..., Weights], kernels: str) -> None:
    if kernels == "native":
        pytest.importorskip("llvmlite")
    engine, weights = CorralEngine(EngineConfig(kernels=kernels)), write("llama")  # type: ignore[arg-type]
    for n_calls in range(1000):
        calls = iter(range(n_calls))

        def check(calls: Iterator[int] = calls) -> None:
            if next(calls, None) is None:
                raise LookupError

        try:
            engine.load(weights, RunnerSettings(), check).close()
            break
        except LookupError:
            continue
    assert n_calls >= (1 if kernels == "numpy" else 1 + len(weights.info.tensors) // 2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("corral-compute")]
    weights.close()


async def test_a_slow_reader_holds_up_nobody(write: Callable[..., Weights]) -> None:
    runner = await CorralEngine(EngineConfig(kernels="numpy")).open(write("llama"), RunnerSettings(n_parallel=2))
    job = Job(token_ids=(3, 4), options=GREEDY, max_tokens=200, num_ctx=128)
    slow = runner.submit(job)
    first = await anext(slow)
    quick = await collect(runner, job)
    rest = [event async for event in slow]
    assert tokens_of([first, *rest]) == tokens_of(quick)
    assert len(tokens_of(quick)) == 200
    await runner.close()


async def test_constraints_that_compile_slowly_hold_up_nobody_else(write: Callable[..., Weights]) -> None:
    release = threading.Event()

    class Slow:
        kinds = frozenset({"slow"})

        def compile(self, constraint: Constraint, vocabulary: object) -> ConstraintState:
            release.wait(20)
            raise BadRequest("too slow")

    engine = CorralEngine(EngineConfig(kernels="numpy"), lambda: Parts(compilers=(Slow(),)))
    runner = await engine.open(write("llama"), RunnerSettings(n_parallel=2))
    slow = Job(token_ids=(3, 4), constraint=Constraint(kind="slow"))
    waiting = [asyncio.ensure_future(collect(runner, slow)) for _ in range(50)]
    await asyncio.sleep(0)
    plain = Job(token_ids=(3, 4), options=GREEDY, max_tokens=3)
    assert len(tokens_of(await asyncio.wait_for(collect(runner, plain), 10))) == 3
    assert not any(task.done() for task in waiting)
    release.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in results} == {BadRequest}
    await runner.close()


async def test_a_load_that_is_cancelled_twice_still_waits_for_its_thread(
    write: Callable[..., Weights], monkeypatch: pytest.MonkeyPatch
) -> None:
    started, goes_on = threading.Event(), threading.Event()
    engine = CorralEngine(EngineConfig(kernels="numpy"))
    load = engine.load

    def slowly(*arguments: Any) -> Any:
        started.set()
        goes_on.wait()
        return load(*arguments)

    monkeypatch.setattr(engine, "load", slowly)
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    opening = asyncio.create_task(engine.open(write("llama"), RunnerSettings()))
    await asyncio.to_thread(started.wait)
    for _ in range(2):
        opening.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not opening.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    gc.collect()
    assert not faults


async def test_who_leaves_leaves_no_mailbox(write: Callable[..., Weights]) -> None:
    runner = await CorralEngine(EngineConfig(kernels="numpy")).open(write("llama"), RunnerSettings(n_parallel=2))
    assert isinstance(runner, ThreadRunner)
    for _ in range(10):
        events = runner.submit(Job(token_ids=(3, 4), options=GREEDY, num_ctx=128))
        await anext(events)
        await events.aclose()
    await collect(runner, Job(token_ids=(5, 6), options=GREEDY, max_tokens=3, num_ctx=128))
    async with asyncio.timeout(20):
        while runner._mailboxes:  # noqa: ASYNC110  the thread tells nobody
            await asyncio.sleep(0.01)
    await runner.close()


async def test_no_memory_to_embed_fails_that_request_alone(write: Callable[..., Weights]) -> None:
    runner = await CorralEngine(EngineConfig(kernels="numpy")).open(write("llama"), RunnerSettings(n_parallel=2))
    assert isinstance(runner, ThreadRunner)
    real = runner.model.embedder.executor.run

    def run(batch: Any, *, hidden: bool = False) -> Any:
        if hidden:
            raise MemoryError
        return real(batch)

    runner.model.embedder.executor.run = run  # type: ignore[method-assign]
    beside = asyncio.ensure_future(collect(runner, Job(token_ids=(3, 4), options=GREEDY, max_tokens=9, num_ctx=128)))
    async with asyncio.timeout(20):
        with pytest.raises(OutOfMemory, match="send fewer or shorter inputs"):
            await runner.embed(EmbedJob(inputs=((3, 4, 5),)))
        await beside
    assert runner.alive
    await runner.close()
