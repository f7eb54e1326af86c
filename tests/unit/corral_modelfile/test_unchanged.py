"""A create that fails, is left or is killed changes nothing: no manifest, no blob, no folder."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any

import pytest

from corral import CorralError, Layer
from corral.config import Config, KernelSettings
from corral.kernel import Kernel
from corral_modelfile import CreateRequest

from .conftest import PLUGINS, Fails, Gguf, Make, everything, found, lora

WEIGHTS = ("blk.0.ffn_up.weight", "token_embd.weight")


async def refuse(*_: Any, **__: Any) -> Any:
    raise CorralError("the disk is full", code="store_error")


async def test_a_failure_while_saving_takes_everything_out_again(
    kernel: Kernel, make: Make, gguf: Gguf, error: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [gguf("m.gguf", tensors=WEIGHTS)]
    await make("other", files=files, system="shared")
    fields = {"files": files, "quantize": "Q8_0", "system": "shared", "template": "{{ .Prompt }}", "licenses": ("MIT",)}
    monkeypatch.setattr(kernel.store, "save", refuse)
    assert await error(CorralError, **fields) == "the disk is full"
    monkeypatch.undo()
    put, n_left = kernel.store.put, 1

    async def put_once(chunks: AsyncIterable[bytes], *, digest: str | None = None) -> Layer:
        nonlocal n_left
        n_left -= 1
        layer = await (put(chunks, digest=digest) if n_left >= 0 else refuse())
        assert isinstance(layer, Layer)
        return layer

    monkeypatch.setattr(kernel.store, "put", put_once)
    assert await error(CorralError, **fields) == "the disk is full"
    assert kernel.find("other").system == "shared"


async def test_a_late_refusal_leaves_no_merged_or_quantized_file(gguf: Gguf, error: Fails, tmp_path: Path) -> None:
    shards = [
        gguf(f"m-0000{n}-of-00002.gguf", {"split.no": n - 1, "split.count": 2, "split.tensors.count": 2}, (name,))
        for n, name in ((1, "a.weight"), (2, "b.weight"))
    ]
    stranger = lora(tmp_path / "lora.gguf", {"x.weight.lora_a": (4, 32), "x.weight.lora_b": (64, 4)})
    assert "no tensor x.weight" in await error(files=shards, adapters=[stranger])


async def test_a_client_that_leaves_at_any_status_leaves_nothing(kernel: Kernel, gguf: Gguf) -> None:
    digest = (await kernel.store.adopt(gguf("m.gguf", tensors=WEIGHTS))).digest
    request = CreateRequest(
        ref=kernel.parse_ref("m"), files={"m.gguf": digest}, quantize="Q8_0", system="s", licenses=("MIT",)
    )
    before = everything(kernel)
    for count in range(1, 100):
        steps = kernel.service("corral_model_builder").create(request)
        told = [(await anext(steps)).status for _ in range(count)]
        await steps.aclose()
        if told[-1] == "success":
            assert count > 6
            return
        assert everything(kernel) == before, told
        assert not list((kernel.store.root / "work").glob("*"))
    raise AssertionError("it never came to its end")


PROGRAM = """
import asyncio, importlib, os, sys
from pathlib import Path
from corral.config import Config, KernelSettings
from corral.kernel import Kernel
from corral.plugins import Found
from corral_modelfile import CreateRequest

left = int(sys.argv[3])

def dying(call):
    def wrapper(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return call(*args, **kwargs)
    return wrapper

def found(name):
    return Found(name, "test", lambda: importlib.import_module(f"corral_{name}.plugin").Plugin, built_in=True)

async def main():
    settings = KernelSettings(models=sys.argv[1])
    plugins = {"quantizers": {"compiled": False}}
    async with Kernel(Config(kernel=settings, plugins=plugins), map(found, sys.argv[4].split())).live() as kernel:
        os.fsync, os.replace = dying(os.fsync), dying(os.replace)
        for method in ("replace", "unlink", "write_bytes", "mkdir", "rmdir"):
            setattr(Path, method, dying(getattr(Path, method)))
        request = CreateRequest(
            ref=kernel.parse_ref("m"), files={"m.gguf": sys.argv[2]}, quantize="Q8_0", system="new", template="x"
        )
        async for _ in kernel.service("corral_model_builder").create(request):
            pass

asyncio.run(main())
"""


async def test_killed_anywhere_the_next_start_finds_the_old_store_or_the_new(gguf: Gguf, tmp_path: Path) -> None:
    path, results = gguf("m.gguf", tensors=WEIGHTS), set()
    for nth in (2, 9, 15, 20, 100):
        settings = KernelSettings(models=str(tmp_path / str(nth)))
        plugins = [found(name) for name in PLUGINS]
        async with Kernel(Config(kernel=settings), plugins).live() as kernel:
            digest = (await kernel.store.adopt(path)).digest
            builder = kernel.service("corral_model_builder")
            request = CreateRequest(ref=kernel.parse_ref("m"), files={"m.gguf": digest}, system="old")
            async for _ in builder.create(request):
                pass
            before = everything(kernel)
        code = subprocess.run(  # noqa: ASYNC221  nothing else is to run meanwhile
            [sys.executable, "-c", PROGRAM, settings.models, digest, str(nth), " ".join(PLUGINS)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
            stdout=subprocess.DEVNULL,
        ).returncode
        assert code == (0 if nth == 100 else 9)
        async with Kernel(Config(kernel=settings), plugins).live() as kernel:
            assert not list((kernel.store.root / "work").glob("*")), "what the dead worked on is gone at once"
        long_ago = time.time() - 2 * 3600
        for file in Path(settings.models).rglob("*"):
            os.utime(file, (long_ago, long_ago))
        async with Kernel(Config(kernel=settings), plugins).live() as kernel:
            model = kernel.find("m")
            results.add(model.system)
            if model.system == "old":
                assert everything(kernel) == before
            assert await kernel.store.prune() == 0
            assert not list((kernel.store.root / "work").glob("*"))
    assert results == {"old", "new"}
