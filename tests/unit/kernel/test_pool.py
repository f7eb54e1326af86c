"""The model pool: loads once, counts holders, keeps alive, evicts, refuses, cleans up."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from corral import Busy, CorralError, StoredModel, Unsupported
from corral.kernel import Kernel
from corral.testing.doubles import Plugin as Doubles
from corral.testing.fake_weights import fake_weights
from corral.testing.models import add_model


async def add(kernel: Kernel, name: str, **fields: Any) -> StoredModel:
    return await add_model(kernel, name, fake_weights(metadata={"name": name}, **fields))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_two_requests_at_once_share_one_load(kernel: Kernel, doubles: Doubles) -> None:
    model = await add(kernel, "m")
    doubles.engine.may_load.clear()

    async def hold() -> int:
        async with kernel.pool.lease(model) as resident:
            return id(resident)

    tasks = [asyncio.create_task(hold()) for _ in range(5)]
    await doubles.engine.loading.wait()
    doubles.engine.may_load.set()
    assert len({*await asyncio.gather(*tasks)}) == 1
    assert doubles.engine.opened == 1


async def test_keep_alive_zero_unloads_at_the_end_of_the_last_request(kernel: Kernel, doubles: Doubles) -> None:
    model = await add(kernel, "m")
    async with kernel.pool.lease(model):
        async with kernel.pool.lease(model, 0):
            pass
        assert len(kernel.pool.loaded()) == 1
    await settle()
    assert kernel.pool.loaded() == []
    assert doubles.engine.closed == 1


async def test_keep_alive_stays_until_another_is_given(kernel: Kernel, doubles: Doubles) -> None:
    model = await add(kernel, "m")
    async with kernel.pool.lease(model, math.inf):
        pass
    async with kernel.pool.lease(model):
        pass
    assert kernel.pool.loaded()[0].expires_at == math.inf


async def test_the_idle_one_with_the_shortest_keep_alive_is_evicted(make_kernel: Any) -> None:
    kernel = await make_kernel([Doubles], store="memory", max_loaded_models=2)
    models = [await add(kernel, name) for name in ("a", "b", "c")]
    for model, keep_alive_s in zip(models, (50.0, 20.0, 90.0), strict=True):
        async with kernel.pool.lease(model, keep_alive_s):
            pass
    assert {row.model.ref.model for row in kernel.pool.loaded()} == {"a", "c"}


async def test_a_busy_model_is_waited_for_and_not_evicted(make_kernel: Any) -> None:
    kernel = await make_kernel([Doubles], store="memory", max_loaded_models=1)
    first, second = await add(kernel, "a"), await add(kernel, "b")

    async def other() -> None:
        async with kernel.pool.lease(second):
            pass

    async with kernel.pool.lease(first):
        waiting = asyncio.create_task(other())
        await settle()
        assert [row.model.ref.model for row in kernel.pool.loaded()] == ["a"]
    await waiting
    assert [row.model.ref.model for row in kernel.pool.loaded()] == ["b"]


async def test_a_full_queue_is_busy_and_a_loaded_model_never_is(make_kernel: Any) -> None:
    kernel = await make_kernel([Doubles], store="memory", max_queue=1)
    doubles = kernel.plugins.manager.get_plugin("doubles")
    loaded, loading, refused = [await add(kernel, name) for name in ("a", "b", "c")]
    async with kernel.pool.lease(loaded):
        doubles.engine.may_load.clear()

        async def hold() -> None:
            async with kernel.pool.lease(loading):
                pass

        task = asyncio.create_task(hold())
        await settle()
        with pytest.raises(Busy, match=r"server busy, please try again\.  maximum pending requests exceeded"):
            async with kernel.pool.lease(refused):
                pass
        async with kernel.pool.lease(loaded):
            pass
        doubles.engine.may_load.set()
        await task


async def test_a_load_nobody_waits_for_is_aborted(kernel: Kernel, doubles: Doubles) -> None:
    model = await add(kernel, "m")
    doubles.engine.may_load.clear()

    async def hold() -> None:
        async with kernel.pool.lease(model):
            pass

    first, second = asyncio.create_task(hold()), asyncio.create_task(hold())
    await doubles.engine.loading.wait()
    first.cancel()
    await settle()
    doubles.engine.may_load.set()
    await second
    assert doubles.engine.opened == 1, "the other one still waited"
    await kernel.pool.unload(model)
    doubles.engine.may_load.clear()
    doubles.engine.loading.clear()
    alone = asyncio.create_task(hold())
    await doubles.engine.loading.wait()
    alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alone
    doubles.engine.may_load.set()
    await settle()
    assert doubles.engine.opened == 1


async def test_a_failed_load_is_told_to_everyone_and_tried_again(kernel: Kernel, doubles: Doubles) -> None:
    model = await add(kernel, "m")
    doubles.engine.open_error = CorralError("no")

    async def hold() -> None:
        async with kernel.pool.lease(model):
            pass

    results = await asyncio.gather(hold(), hold(), return_exceptions=True)
    assert [str(result) for result in results] == ["no", "no"]
    doubles.engine.open_error = None
    await hold()


async def test_a_dead_runner_is_replaced(kernel: Kernel, doubles: Doubles) -> None:
    model = await add(kernel, "m")
    async with kernel.pool.lease(model) as resident:
        resident.required_runner.alive = False  # type: ignore[misc]
    async with kernel.pool.lease(model) as again:
        assert again is not resident
    assert doubles.engine.opened == 2


async def test_a_vocabulary_without_tensors_tokenizes_and_nothing_else(kernel: Kernel, doubles: Doubles) -> None:
    model = await add(kernel, "vocabulary", vocabulary_only=True)
    async with kernel.pool.lease(model) as resident:
        assert resident.tokenizer.encode("hi")
        with pytest.raises(Unsupported, match="vocabulary only"):
            _ = resident.required_runner


async def test_closing_the_kernel_closes_every_runner(make_kernel: Any) -> None:
    from contextlib import AsyncExitStack

    from corral.config import Config, KernelSettings
    from corral.testing.fixtures import found

    async with AsyncExitStack() as stack:
        kernel = Kernel(Config(kernel=KernelSettings(store="memory")), found([Doubles]))
        await stack.enter_async_context(kernel.live())
        doubles = kernel.plugins.manager.get_plugin("doubles")
        assert isinstance(doubles, Doubles)
        async with kernel.pool.lease(await add(kernel, "m")):
            pass
    assert doubles.engine.closed == doubles.engine.opened == 1


async def test_two_kernels_live_in_one_process(make_kernel: Any) -> None:
    one, two = [await make_kernel([Doubles], store="memory") for _ in range(2)]
    async with one.pool.lease(await add(one, "m")):
        assert (len(one.pool.loaded()), len(two.pool.loaded())) == (1, 0)


async def test_a_load_that_never_ends_is_given_up(make_kernel: Any) -> None:
    kernel = await make_kernel([Doubles], store="memory", load_timeout="50ms")
    doubles = kernel.plugins.manager.get_plugin("doubles")
    doubles.engine.may_load.clear()
    model = await add(kernel, "m")
    with pytest.raises(CorralError, match=r'"m:latest" did not load in time \(load_timeout = 50ms\)'):
        async with kernel.pool.lease(model):
            pass
    doubles.engine.may_load.set()
    async with kernel.pool.lease(model):
        assert len(kernel.pool.loaded()) == 1


async def test_a_models_draft_is_told_to_the_engine_and_part_of_what_is_loaded(
    kernel: Kernel, doubles: Doubles
) -> None:
    model = await add(kernel, "m")
    drafted = replace(model, drafts=(Path("draft.gguf"),))
    async with kernel.pool.lease(model), kernel.pool.lease(drafted):
        assert [settings.draft for settings in doubles.engine.settings] == ["", "draft.gguf"]
    await kernel.pool.unload(drafted)
    assert [loaded.model.drafts for loaded in kernel.pool.loaded()] == [()]


@pytest.mark.parametrize("n_requests", [2, 8])
async def test_more_models_than_may_be_loaded_are_all_served(make_kernel: Any, n_requests: int) -> None:
    kernel = await make_kernel([Doubles], store="memory", max_loaded_models=1)
    models = [await add(kernel, name) for name in ("a", "b")]
    served: list[str] = []

    async def use(model: StoredModel) -> None:
        async with kernel.pool.lease(model):
            await asyncio.sleep(0)
            served.append(model.ref.model)

    async with asyncio.timeout(20):
        await asyncio.gather(*(use(models[i % 2]) for i in range(n_requests)))
    assert sorted(served) == sorted(["a", "b"] * (n_requests // 2))
    assert kernel.plugins.manager.get_plugin("doubles").engine.opened <= n_requests


async def test_who_leaves_as_the_load_ends_holds_nothing(make_kernel: Any) -> None:
    kernel = await make_kernel([Doubles], store="memory", max_loaded_models=1)
    doubles = kernel.plugins.manager.get_plugin("doubles")
    doubles.engine.may_load.clear()
    first = asyncio.ensure_future(kernel.pool._acquire(await add(kernel, "a")))
    await doubles.engine.loading.wait()
    load = next(iter(kernel.pool._loading.values()))
    doubles.engine.may_load.set()
    load.add_done_callback(lambda _: first.cancel())
    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(20), kernel.pool.lease(await add(kernel, "b")):
        assert [row.model.ref.model for row in kernel.pool.loaded()] == ["b"]
