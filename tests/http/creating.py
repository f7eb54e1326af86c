"""For tests of `corral create`: small weight files, and the command line against a server."""

import asyncio
import contextlib
import hashlib
import io
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import corral_cli.plugin
import corral_engine.plugin
import corral_gguf.plugin
import corral_modelfile.plugin
import corral_native_api.plugin
import corral_quantizers.plugin
import corral_safetensors.plugin
import corral_store.plugin
import corral_templates.plugin
import corral_tokenizers.plugin
from corral import TensorInfo
from corral.__main__ import main
from corral.testing.fixtures import found
from corral_gguf.writer import TensorSource, write_gguf

CHECKPOINTS = Path(__file__).parents[1] / "fixtures" / "checkpoints"
E, F, H, K, V = 256, 512, 4, 2, 356
CHARACTERS = [chr(number) for number in range(33, 127)]
METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "small",
    "general.file_type": 1,
    "llama.block_count": 1,
    "llama.context_length": 256,
    "llama.embedding_length": E,
    "llama.feed_forward_length": F,
    "llama.attention.head_count": H,
    "llama.attention.head_count_kv": K,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.dimension_count": E // H,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": [
        "<unk>",
        "<s>",
        "</s>",
        "▁",
        *(f"<0x{i:02X}>" for i in range(256)),
        *CHARACTERS,
        "ab",
        "cd",
    ],
    "tokenizer.ggml.scores": [0.0] * V,
    "tokenizer.ggml.token_type": [2, 3, 3, 1, *[6] * 256, *[1] * 96],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
}
SHAPES = {
    "token_embd.weight": (V, E),
    "output_norm.weight": (E,),
    **{f"blk.0.attn_{part}.weight": (E, E) for part in ("q", "output")},
    **{f"blk.0.attn_{part}.weight": (E // H * K, E) for part in ("k", "v")},
    **{f"blk.0.{part}_norm.weight": (E,) for part in ("attn", "ffn")},
    **{f"blk.0.ffn_{part}.weight": (F, E) for part in ("gate", "up")},
    "blk.0.ffn_down.weight": (E, F),
}


def tensor(name: str, shape: tuple[int, ...], kind: str = "F16", scale: float = 0.08) -> TensorSource:
    rng = np.random.default_rng(list(name.encode()))
    values = rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)
    data = (values if kind == "F32" else values.astype(np.float16)).tobytes()
    return TensorSource(TensorInfo(name=name, type=kind, shape=shape, size_bytes=len(data)), lambda: [data])


def small_model(path: Path, metadata: Mapping[str, Any] = {}, names: tuple[str, ...] = tuple(SHAPES)) -> Path:
    """A Llama of one layer with seeded weights in F16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sources = [tensor(name, SHAPES[name], "F32" if len(SHAPES[name]) == 1 else "F16") for name in names]
    write_gguf(path, {**METADATA, **metadata}, sources)
    return path


def lora(path: Path, target: str = "blk.0.ffn_up.weight", rows: int = F, **metadata: Any) -> Path:
    """An adapter strong enough to change the answer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
    }
    halves = [tensor(f"{target}.lora_a", (4, E), "F32", 1.0), tensor(f"{target}.lora_b", (rows, 4), "F32", 1.0)]
    write_gguf(path, {**kind, **metadata}, halves)
    return path


@pytest.fixture
def plugins() -> list[type]:
    packages = (corral_engine, corral_gguf, corral_modelfile, corral_native_api, corral_quantizers, corral_store)
    packages += (corral_safetensors, corral_templates, corral_tokenizers)
    return [package.plugin.Plugin for package in packages]


@pytest.fixture
def tables() -> dict[str, dict[str, Any]]:
    return {"doubles": {"offer": []}}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {"store": "ollama", "models": str(tmp_path / "models")}


class Done(NamedTuple):
    code: int
    out: str
    err: str


Corral = Callable[..., Awaitable[Done]]


@pytest.fixture
def corral(client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corral:
    """`await corral("create", …)`: one command line in the folder `work`, against the server."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{client.port}")
    for name in ("CORRAL_HOST", "CORRAL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    packages = (corral_cli, corral_engine, corral_gguf, corral_modelfile, corral_quantizers, corral_safetensors)
    packages += (corral_templates, corral_tokenizers)
    local = found([package.plugin.Plugin for package in packages])
    monkeypatch.setattr("corral.kernel.discover", lambda: local)

    def call(argv: tuple[str, ...]) -> Done:
        monkeypatch.setattr("sys.argv", ["corral", *argv])
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = main()
        lines = [line for line in out.getvalue().splitlines(keepends=True) if "request.finished" not in line]
        return Done(code, "".join(lines), err.getvalue())  # the server's log goes to the same place

    async def corral(*argv: str) -> Done:
        return await asyncio.to_thread(call, argv)

    return corral


async def ask(client, model: str, **body: Any) -> Any:
    request = {"model": model, "stream": False, "options": {"temperature": 0, "num_predict": 8}, **body}
    response = await client.post("/api/generate", json=request)
    assert response.status == 200, await response.text()
    return await response.json()


async def show(client, model: str) -> Any:
    response = await client.post("/api/show", json={"model": model})
    assert response.status == 200, await response.text()
    return await response.json()


def files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }
