"""Many clients at once on the real engine with a tiny model: nobody's text, memory or place depends on the others."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp.test_utils import TestClient, TestServer

import corral_engine.plugin
import corral_gguf.plugin
import corral_modelfile.plugin
import corral_native_api.plugin
import corral_store.plugin
import corral_templates.plugin
import corral_tokenizers.plugin
from corral.server import build_app

sys.path.insert(0, str(Path(__file__).parent.parent / "unit" / "corral_engine"))

import tiny_models

PROMPTS = [letter * 7 + " and so on" for letter in "abcdefgh"]
DIED = "model runner has unexpectedly stopped"


@pytest.fixture
def plugins() -> list[type]:
    packages = (corral_engine, corral_gguf, corral_modelfile, corral_native_api)
    packages += (corral_store, corral_templates, corral_tokenizers)
    return [package.plugin.Plugin for package in packages]


@pytest.fixture
async def serve(make_kernel, plugins, settings, tmp_path):
    """`async with serve(num_parallel=2) as (client, kernel)`: the model "tiny" is there."""
    path = tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny_models.MODELS["llama"])

    @asynccontextmanager
    async def start(engine: dict[str, Any] | None = None, **keys: Any):
        tables = {"engine": {"kernels": "numpy", **(engine or {})}}
        keys = {**settings, "models": str(tmp_path / "models"), "store": "ollama", **keys}
        kernel = await make_kernel(plugins, tables, **keys)
        async with TestClient(TestServer(build_app(kernel))) as client:
            digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
            await client.post(f"/api/blobs/{digest}", data=path.read_bytes())
            made = await client.post(
                "/api/create", json={"model": "tiny", "files": {"t.gguf": digest}, "stream": False}
            )
            assert made.status == 200, await made.text()
            yield client, kernel

    return start


async def ask(client: Any, prompt: str, n: int = 12, **options: Any) -> list[dict[str, Any]]:
    """Every line of one streamed answer; a refusal is one line with its status."""
    options = {"temperature": 0, "num_predict": n, "num_ctx": 64, "ignore_eos": True, **options}
    body = {"model": "tiny", "prompt": prompt, "raw": True, "options": options}
    async with client.post("/api/generate", json=body) as response:
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
        return lines if response.status == 200 else [{**lines[0], "status": response.status}]


def text(lines: list[dict[str, Any]]) -> str:
    return "".join(line.get("response", "") for line in lines)


async def leave(client: Any, prompt: str) -> None:
    """A client that goes after the first line."""
    options = {"num_predict": 1000, "num_ctx": 64, "ignore_eos": True}
    body = {"model": "tiny", "prompt": prompt, "raw": True, "options": options}
    async with client.post("/api/generate", json=body) as response:
        await response.content.readline()


def stats(kernel: Any) -> Any:
    (resident,) = kernel.pool._residents.values()
    return resident.runner.stats()


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  there is no event: the condition is about the inside
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("isolation", ["thread", "process"])
async def test_company_leavers_and_contexts_change_nobodys_text(serve, isolation):
    async with serve(num_parallel=3, isolation=isolation) as (client, kernel):
        with structlog.testing.capture_logs() as logs:
            alone = [text(await ask(client, prompt)) for prompt in PROMPTS]
            for _ in range(2):
                asked = (ask(client, prompt, num_ctx=40 + 8 * i) for i, prompt in enumerate(PROMPTS))
                gone = (leave(client, prompt) for prompt in PROMPTS[::2])
                answers = (await asyncio.gather(*asked, *gone))[: len(PROMPTS)]
                assert [text(lines) for lines in answers] == alone
        assert [line["event"] for line in logs].count("model.loaded") == 1  # another num_ctx loads nothing
        await until(lambda: stats(kernel).active == stats(kernel).queued == stats(kernel).kv_tokens_used == 0)


async def test_the_queue_of_a_loaded_model_has_an_end(serve):
    async with serve(num_parallel=1, max_queue=2) as (client, kernel):
        await ask(client, "first")
        held = [asyncio.create_task(ask(client, prompt, n=60)) for prompt in PROMPTS[:3]]
        await until(lambda: stats(kernel).active + stats(kernel).queued == 3)
        (refused,) = await ask(client, "one too many")
        assert refused["status"] == 503
        assert refused["error"] == "server busy, please try again.  maximum pending requests exceeded"
        assert [lines[-1]["eval_count"] for lines in await asyncio.gather(*held)] == [60] * 3


async def test_the_second_turn_evaluates_only_what_is_new(serve):
    async with serve() as (client, _):
        bias = {"logit_bias": {"100": 100}}  # "a" again and again: random bytes would not survive as text
        first = await ask(client, "A long beginning of a talk.", num_ctx=128, **bias)
        with structlog.testing.capture_logs() as logs:
            second = await ask(client, "A long beginning of a talk." + text(first) + " Go on.", num_ctx=128)
        (line,) = [line for line in logs if line["event"] == "request.finished"]
        assert second[-1]["prompt_eval_count"] == line["prompt_tokens"]
        assert line["cached_tokens"] == first[-1]["prompt_eval_count"] + first[-1]["eval_count"] - 1
        assert line["cached_tokens"] < line["prompt_tokens"]


@pytest.mark.parametrize("isolation", ["thread", "process"])
async def test_ps_tells_what_a_model_does_and_did(serve, isolation):
    async with serve(isolation=isolation, num_parallel=1) as (client, kernel):
        whole = [await ask(client, prompt) for prompt in (PROMPTS[0], PROMPTS[0])]
        held = [asyncio.create_task(ask(client, prompt, n=60)) for prompt in PROMPTS[1:3]]
        await until(lambda: stats(kernel).active == stats(kernel).queued == 1)
        (row,) = (await (await client.get("/api/ps?verbose=1")).json())["models"]
        done = row["activity"]
        assert (done["active"], done["queued"]) == (1, 1)
        assert done["prompt_tokens"] == sum(lines[-1]["prompt_eval_count"] for lines in whole)
        assert done["eval_tokens"] == 24
        assert done["cached_tokens"] == whole[0][-1]["prompt_eval_count"] - 1
        assert {"queue_ms", "prompt_ms", "eval_ms"} <= done.keys()
        assert done["load_ms"] > 0
        (plain,) = (await (await client.get("/api/ps")).json())["models"]
        assert "activity" not in plain
        await asyncio.gather(*held)


async def test_a_killed_process_fails_its_own_requests_and_the_next_starts_another(serve):
    async with serve(isolation="process", num_parallel=4) as (client, kernel):
        await ask(client, "x")
        (resident,) = kernel.pool._residents.values()
        victims = [asyncio.create_task(ask(client, prompt, n=5000)) for prompt in PROMPTS[:3]]
        await until(lambda: stats(kernel).active == 3)
        os.kill(resident.runner.process_id, signal.SIGKILL)
        for lines in await asyncio.gather(*victims):
            assert DIED in lines[-1]["error"]
            assert "ended by SIGKILL" in lines[-1]["error"]
        assert len(text(await ask(client, "x"))) > 0
        (other,) = kernel.pool._residents.values()
        assert other is not resident
