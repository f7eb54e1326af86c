"""A runner in its own process: the same contract, and a crash that stays in the family."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable

import pytest

from corral import CorralError, FormatError, OutOfMemory, RunnerDied, RunnerSettings, Weights
from corral.testing.engine_contract import RunnerContract, collect, tokens_of
from corral_engine.engine import CorralEngine, Parts
from corral_engine.plugin import EngineConfig
from corral_engine.process import ProcessRunner
from corral_gguf.loader import GgufLoader


def engine_of(**config: object) -> CorralEngine:
    return CorralEngine(EngineConfig(kernels="numpy", **config), lambda: Parts(loaders=(GgufLoader(),)))  # type: ignore[arg-type]


PROCESS = RunnerSettings(n_parallel=2, isolation="process", kv_tokens=512)
job = RunnerContract().job


async def test_the_same_tokens_as_in_this_process(write: Callable[..., Weights]) -> None:
    here = await engine_of().open(write("llama"), RunnerSettings(n_parallel=2))
    there = await engine_of().open(write("llama"), PROCESS)
    jobs = [job(n_logprobs=2), job(token_ids=(9, 8, 7), max_tokens=150)]  # more events than the window
    results = await asyncio.gather(*(collect(runner, one) for runner in (here, there) for one in jobs))
    assert tokens_of(results[0]) == tokens_of(results[2])
    assert tokens_of(results[1]) == tokens_of(results[3])
    await there.close()
    await here.close()


async def test_a_crash_fails_its_own_requests(write: Callable[..., Weights]) -> None:
    runner = await engine_of().open(write("llama"), PROCESS)
    assert isinstance(runner, ProcessRunner)
    events = runner.submit(job(max_tokens=-1))
    await anext(events)
    assert runner.process_id is not None
    os.kill(runner.process_id, signal.SIGKILL)
    with pytest.raises(RunnerDied, match=r"unexpectedly stopped.*ended by SIGKILL, perhaps because memory ran out"):
        async for _ in events:
            pass
    assert not runner.alive
    with pytest.raises(RunnerDied):
        await collect(runner, job())
    await runner.close()


async def test_errors_of_the_load_keep_their_class(write: Callable[..., Weights]) -> None:
    with pytest.raises(FormatError, match=r"rope\.freq_base"):
        await engine_of().open(write("llama", keys={"rope.freq_base": -1.0}), PROCESS)
    with pytest.raises(OutOfMemory):
        await engine_of(memory_bytes=1 << 20).open(write("llama"), PROCESS)


def test_what_plugins_offer_can_be_sent_to_another_process() -> None:
    import pickle

    from corral.config import Config
    from corral.kernel import Kernel

    kernel = Kernel(Config())
    kernel.plugins.require()
    hook = kernel.plugins.manager.hook
    for offered in (*hook.corral_engine_architectures(), *hook.corral_engine_constraints()):
        pickle.dumps(tuple(offered))
    pickle.dumps((tuple(kernel.loaders.values()), tuple(kernel.tokenizers.values())))


async def test_what_cannot_be_sent_is_a_clear_error(write: Callable[..., Weights]) -> None:
    parts = Parts(loaders=(GgufLoader(),), tokenizers=(lambda: None,))  # type: ignore[arg-type]
    engine = CorralEngine(EngineConfig(kernels="numpy"), lambda: parts)
    with pytest.raises(CorralError, match="a runner's process cannot be started"):
        await engine.open(write("llama"), PROCESS)


@pytest.mark.parametrize("moment_s", [0.0, 0.02, 0.1])
async def test_the_process_of_a_cancelled_load_ends(write: Callable[..., Weights], moment_s: float) -> None:
    opening = asyncio.create_task(engine_of().open(write("llama"), PROCESS))
    await asyncio.sleep(moment_s)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not multiprocessing.active_children()


class TestProcessRunner(RunnerContract):
    @pytest.fixture
    def engine(self) -> CorralEngine:
        return engine_of()

    @pytest.fixture
    def weights(self, write: Callable[..., Weights]) -> Weights:
        return write("llama")

    @pytest.fixture
    async def runner(self, engine: CorralEngine, weights: Weights) -> object:  # type: ignore[override]
        opened = await engine.open(
            weights, RunnerSettings(n_parallel=2, max_queue=2, kv_tokens=512, isolation="process")
        )
        yield opened
        await opened.close()
        weights.close()
