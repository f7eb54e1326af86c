"""A live kernel with a store in a temporary folder, and small weight files."""

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from corral import Progress, TensorInfo
from corral.config import Config, KernelSettings
from corral.kernel import Kernel
from corral.plugins import Found
from corral_gguf.writer import TensorSource, write_gguf
from corral_modelfile import CreateRequest

PLUGINS = ("gguf", "modelfile", "quantizers", "store", "templates")
METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.file_type": 1,
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": 32,
}
N_VALUES = 64 * 32


def found(name: str) -> Found:
    return Found(name, "test", lambda: importlib.import_module(f"corral_{name}.plugin").Plugin, built_in=True)


@pytest.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Kernel]:
    settings = KernelSettings(models=str(tmp_path / "models"))
    async with Kernel(Config(kernel=settings), [found(name) for name in PLUGINS]).live() as live:
        yield live


def write(path: Path, metadata: Mapping[str, Any] = {}, tensors: tuple[str, ...] = ("token_embd.weight",)) -> Path:
    """A small file of F16 tensors (64, 32)."""

    def source(index: int, name: str) -> TensorSource:
        data = bytes([index + 1, 0x3C]) * N_VALUES
        return TensorSource(TensorInfo(name=name, type="F16", shape=(64, 32), size_bytes=len(data)), lambda: [data])

    sources = [source(index, name) for index, name in enumerate(tensors)]
    write_gguf(path, {**METADATA, **metadata}, sources)
    return path


@pytest.fixture
def gguf(tmp_path: Path) -> Callable[..., Path]:
    """Write a file: `gguf("name.gguf", {key: value}, (tensor, …))`."""

    def make(name: str, metadata: Mapping[str, Any] = {}, tensors: tuple[str, ...] = ("token_embd.weight",)) -> Path:
        return write(tmp_path / name, metadata, tensors)

    return make


@pytest.fixture
def make(kernel: Kernel) -> Callable[..., Awaitable[list[Progress]]]:
    """Make a model: `await make("name", files=[paths], base=…, …)`; all statuses."""

    async def make(name: str, **fields: Any) -> list[Progress]:
        for key in ("files", "adapters", "draft_files"):
            if isinstance(fields.get(key), list):
                fields[key] = {path.name: (await kernel.store.adopt(path)).digest for path in fields[key]}
        builder = kernel.service("corral_model_builder")
        return [step async for step in builder.create(CreateRequest(ref=kernel.parse_ref(name), **fields))]

    return make
