"""A live kernel with a store in a temporary folder, and small weight files."""

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from corral import BadRequest, CorralError, Progress, TensorInfo
from corral.config import Config, KernelSettings
from corral.kernel import Kernel
from corral.plugins import Found
from corral_gguf.writer import TensorSource, write_gguf
from corral_modelfile import CreateRequest

PLUGINS = ("generation", "gguf", "modelfile", "quantizers", "store", "templates")
Gguf = Callable[..., Path]
Make = Callable[..., Awaitable[list[Progress]]]
Fails = Callable[..., Awaitable[str]]
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


def statuses(steps: list[Progress]) -> list[str]:
    return [step.status.partition(" sha256:")[0] for step in steps]


def kinds(kernel: Kernel, name: str) -> list[str]:
    return [layer.media_type.rpartition(".")[2] for layer in kernel.find(name).layers]


def blobs(kernel: Kernel) -> set[str]:
    return {path.name for path in (kernel.store.root / "blobs").iterdir()}


def everything(kernel: Kernel) -> dict[str, bytes]:
    """Every file of the store, and its content."""
    root = kernel.store.root
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


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


Halves = dict[str, tuple[int, ...]]


def lora(path: Path, halves: Halves, metadata: Mapping[str, object] = {}) -> Path:
    """An adapter for the small model."""
    kind = {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 8.0}

    def source(name: str, shape: tuple[int, ...]) -> TensorSource:
        info = TensorInfo(name=name, type="F32", shape=shape, size_bytes=0)
        return TensorSource(info, lambda: [bytes(4 * shape[0] * shape[1])])

    sources = [source(name, shape) for name, shape in halves.items()]
    write_gguf(path, {"general.architecture": "llama", **kind, **metadata}, sources)
    return path


FITS: Halves = {"token_embd.weight.lora_a": (4, 32), "token_embd.weight.lora_b": (64, 4)}


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


@pytest.fixture
def error(kernel: Kernel, make: Make) -> Fails:
    """The message of a failing create, after which the store is as it was, but for the files that were uploaded."""

    async def error(kind: type[CorralError] = BadRequest, **fields: Any) -> str:
        for key in ("files", "adapters", "draft_files"):
            for path in fields[key] if isinstance(fields.get(key), list) else ():
                await kernel.store.adopt(path)
        before = everything(kernel)
        with pytest.raises(kind) as caught:
            await make("fails", **fields)
        assert everything(kernel) == before
        return caught.value.message

    return error
