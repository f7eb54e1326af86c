"""Rows 19, 60-62, 64 and 65 of the native API's checklist, F42: several clients, and clients that leave."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp.test_utils import TestClient, TestServer

from corral.server import build_app
from corral.testing import doubles as doubles_module
from corral.testing.fake_weights import fake_weights
from corral.testing.models import add_model

BUSY = "server busy, please try again.  maximum pending requests exceeded"
BODIES = {
    "generate": {"prompt": "x"},
    "chat": {"messages": [{"role": "user", "content": "x"}]},
}


@pytest.fixture
async def serve(make_kernel, plugins, tables, settings):
    """`async with serve(max_queue=1) as (client, engine, kernel)`: models "a", "b" and "c" of different weights."""

    @asynccontextmanager
    async def start(**keys):
        kernel = await make_kernel([doubles_module.Plugin, *plugins], tables, **{**settings, **keys})
        for name in "abc":
            await add_model(kernel, name, fake_weights(architecture=name), template="plain")
        async with TestClient(TestServer(build_app(kernel))) as client:
            yield client, kernel.plugins.manager.get_plugin("doubles").engine, kernel

    return start


def ask(client, name, **body):
    """A request under way."""
    body = {"model": name, "prompt": "x", "stream": False, **body}
    return asyncio.ensure_future(client.post("/api/generate", json=body))


async def names(client):
    return [row["name"] for row in (await (await client.get("/api/ps")).json())["models"]]


def active(kernel):
    """Requests that hold a model."""
    return sum(resident.active for resident in kernel.pool._residents.values())


async def settled(condition):
    """Let everything run that can, until `condition` holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  there is no event: the condition is about the inside
            await asyncio.sleep(0)


async def test_row_19_keep_alive_values_stick_until_replaced(serve):
    async with serve() as (client, _, kernel):
        await ask(client, "a", keep_alive=100)
        for body, expected in (({}, 100), ({"keep_alive": None}, 100), ({"keep_alive": "7m"}, 420), ({}, 420)):
            await ask(client, "a", **body)
            (loaded,) = kernel.pool.loaded()
            assert (await names(client), active(kernel)) == (["a:latest"], 0)
            assert expected - 5 < loaded.expires_at - time.time() <= expected


async def test_row_19_the_clock_starts_at_the_end_of_the_last_request(serve):
    async with serve() as (client, engine, _):
        engine.pause_at = 1
        first = ask(client, "a", keep_alive=0)
        await engine.paused.wait()
        second = ask(client, "a", keep_alive=0)
        await settled(lambda: len(engine.jobs) == 2)
        assert await names(client) == ["a:latest"]
        engine.resume.set()
        await asyncio.gather(first, second)
        assert await names(client) == []
        assert engine.opened == 1


async def test_row_60_queue_full(serve):
    async with serve(max_queue=1) as (client, engine, _):
        assert (await ask(client, "a")).status == 200
        engine.may_load.clear()
        engine.loading.clear()
        waiting = ask(client, "b")
        await engine.loading.wait()
        refused = await ask(client, "c")
        assert (refused.status, await refused.json()) == (503, {"error": BUSY})
        assert (await ask(client, "a")).status == 200
        engine.may_load.set()
        assert (await waiting).status == 200


async def test_row_60_those_that_wait_for_one_load_are_counted_too(serve):
    async with serve(max_queue=1, num_parallel=2) as (client, engine, kernel):
        engine.may_load.clear()
        waiting = [ask(client, "a") for _ in range(3)]
        await settled(lambda: len(kernel.pool._waiting) == 3)
        refused = await ask(client, "a")
        assert (refused.status, await refused.json()) == (503, {"error": BUSY})
        engine.may_load.set()
        assert [(await request).status for request in waiting] == [200] * 3


async def test_row_61_parallel_requests(serve):
    async with serve(num_parallel=2) as (client, engine, _):
        engine.pause_at = 1
        requests = [ask(client, "a") for _ in range(4)]
        await settled(lambda: len(engine.jobs) == 4 and engine.active == 2)
        engine.resume.set()
        answers = [await (await request).json() for request in requests]
        assert [answer["response"] for answer in answers] == ["Hello!"] * 4
        assert engine.most_active == 2
        assert engine.opened == 1


async def test_row_62_the_shortest_keep_alive_is_evicted(serve):
    async with serve(max_loaded_models=2) as (client, _, _kernel):
        await ask(client, "a", keep_alive="10m")
        await ask(client, "b", keep_alive="20m")
        await ask(client, "c", keep_alive="15m")
        assert await names(client) == ["b:latest", "c:latest"]


async def test_row_62_a_busy_model_is_awaited(serve):
    async with serve(max_loaded_models=1) as (client, engine, kernel):
        engine.pause_at = 1
        first = ask(client, "a")
        await engine.paused.wait()
        second = ask(client, "b")
        await settled(lambda: len(kernel.pool._waiting) == 1)
        assert await names(client) == ["a:latest"]
        engine.resume.set()
        assert ((await first).status, (await second).status) == (200, 200)
        assert await names(client) == ["b:latest"]


async def test_row_64_two_names_one_runner(serve):
    async with serve() as (client, engine, _):
        await client.post("/api/copy", json={"source": "a", "destination": "again"})
        for name in ("a", "again", "A"):
            assert (await ask(client, name)).status == 200
        assert engine.opened == 1
        assert await names(client) == ["a:latest"]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("streaming", [True, False])
async def test_row_65_f42_a_client_leaves_while_tokens_come(serve, path, streaming):
    async with serve() as (client, engine, kernel):
        engine.pause_at = 3
        body = {"model": "a", "stream": streaming, **BODIES[path]}
        request = asyncio.ensure_future(client.post(f"/api/{path}", json=body))
        await engine.paused.wait()
        if streaming:
            response = await request
            await response.content.readline()
            response.close()
        else:
            request.cancel()
        async with asyncio.timeout(5):
            assert await engine.endings.get() == "cancelled"
        await settled(lambda: active(kernel) == 0)
        engine.pause_at = -1
        assert (await ask(client, "a")).status == 200


async def test_row_65_a_client_leaves_the_queue(serve):
    async with serve(num_parallel=1) as (client, engine, _):
        engine.pause_at = 1
        first = ask(client, "a")
        await engine.paused.wait()
        second = ask(client, "a")
        await settled(lambda: len(engine.jobs) == 2)
        second.cancel()
        async with asyncio.timeout(5):
            assert await engine.endings.get() == "cancelled"
        engine.resume.set()
        assert (await (await first).json())["response"] == "Hello!"


async def test_row_65_a_client_leaves_while_the_model_loads(serve):
    async with serve() as (client, engine, kernel):
        engine.may_load.clear()
        request = ask(client, "a")
        await engine.loading.wait()
        request.cancel()
        await settled(lambda: not kernel.pool._loading)
        assert engine.opened == 0
        engine.may_load.set()
        assert (await ask(client, "a")).status == 200


async def test_row_65_others_keep_their_load(serve):
    async with serve() as (client, engine, kernel):
        engine.may_load.clear()
        first, second = ask(client, "a"), ask(client, "a")
        await settled(lambda: len(kernel.pool._waiting) == 2)
        first.cancel()
        await settled(lambda: len(kernel.pool._waiting) == 1)
        engine.may_load.set()
        assert (await second).status == 200
        assert engine.opened == 1


async def test_f42_a_client_leaves_a_pull(serve):
    async with serve() as (client, _, kernel):
        source = kernel.plugins.manager.get_plugin("doubles").source
        gate = asyncio.Event()
        closed = asyncio.Event()

        async def pull(ref, store, *, insecure=False):
            try:
                for step in source.steps:
                    yield step
                await gate.wait()
            finally:
                closed.set()

        source.pull = pull
        response = await client.post("/api/pull", json={"model": "a"})
        await response.content.readline()
        response.close()
        async with asyncio.timeout(5):
            await closed.wait()


async def test_a_load_that_fails_is_an_error_and_can_be_tried_again(serve):
    from corral import OutOfMemory

    async with serve() as (client, engine, _):
        engine.open_error = OutOfMemory("needs 5 GB, 1 GB is free")
        response = await ask(client, "a")
        assert (response.status, await response.json()) == (500, {"error": "needs 5 GB, 1 GB is free"})
        engine.open_error = None
        assert (await ask(client, "a")).status == 200


async def test_idle_models_make_room_when_memory_is_short(serve):
    from corral import OutOfMemory

    async with serve(max_loaded_models=3) as (client, engine, kernel):
        for name in "ab":
            await ask(client, name, keep_alive=f"{ord(name)}m")
        open_runner, held = engine.open, []

        async def short(weights, settings):
            held.append([resident.model.ref.model for resident in kernel.pool._residents.values()])
            assert not kernel.pool._closing  # what was evicted has given its memory back
            if held[-1]:
                raise OutOfMemory("needs 5 GB, 1 GB is free")
            return await open_runner(weights, settings)

        engine.open = short
        assert (await ask(client, "c")).status == 200
        assert held == [["a", "b"], ["b"], []]
        assert await names(client) == ["c:latest"]


async def test_the_log_line_tells_what_an_answer_cost(serve):
    import structlog

    async with serve() as (client, _engine, _kernel):
        with structlog.testing.capture_logs() as lines:
            for stream in (True, False):
                await (await client.post("/api/generate", json={"model": "a", "prompt": "x", "stream": stream})).read()
    told = [line for line in lines if line["event"] == "request.finished"]
    assert len(told) == 2
    for line in told:
        assert line["eval_tokens"] > 0
        assert {"model", "done_reason", "prompt_tokens", "load_ms", "prompt_ms", "eval_ms", "total_ms"} <= line.keys()
        assert not any(name.endswith("_ns") for name in line)


async def test_two_streams_do_not_mix(serve):
    async with serve() as (client, engine, _):
        engine.reply = lambda job: bytes(job.token_ids[-2:-1]) * 50
        requests = [ask(client, "a", prompt=letter + "?", raw=True) for letter in "abcdefgh"]
        for letter, request in zip("abcdefgh", requests, strict=True):
            assert (await (await request).json())["response"] == letter * 50


async def context_of(client, **body):
    """What `ps` says after one request to "a"."""
    assert (await ask(client, "a", **body)).status == 200
    return (await (await client.get("/api/ps")).json())["models"][0]["context_length"]


async def test_row_63_no_option_loads_the_model_again(serve):
    """Unlike the reference (decision 8): the context is a share of memory that each request asks for."""
    async with serve(context_length=128) as (client, engine, _):
        assert await context_of(client) == 128
        assert await context_of(client, prompt="", options={"num_ctx": 64}) == 64
        assert await context_of(client, options={"num_ctx": 32, "num_batch": 8, "num_thread": 1}) == 32
        assert await context_of(client, options={"temperature": 0.1, "num_gpu": 0}) == 128
        assert await context_of(client, options={"num_ctx": 1_000_000}) == 256
        assert engine.opened == 1
