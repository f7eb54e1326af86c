"""A small valid file for the tests of the GGUF plugin."""

from pathlib import Path
from typing import Any

import pytest

from corral import TensorInfo
from corral_gguf.writer import TensorSource, write_gguf

TOKENS = ["<unk>", "<s>", "</s>", "<0x41>", "▁a", "b", "▁ab"]
METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "tiny",
    "general.file_type": 7,
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": 32,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": [2],
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.scores": [0.0, 0.0, 0.0, 0.0, -1.0, -2.0, -0.5],
    "tokenizer.ggml.token_type": [2, 3, 3, 6, 1, 1, 1],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.chat_template": "{{ messages }}",
}


def source(name: str, kind: str, shape: tuple[int, ...], content: bytes) -> TensorSource:
    return TensorSource(TensorInfo(name=name, type=kind, shape=shape, size_bytes=len(content)), lambda: [content])


@pytest.fixture
def sources() -> list[TensorSource]:
    return [
        source("token_embd.weight", "Q8_0", (7, 32), bytes(range(7)) * 34),
        source("output_norm.weight", "F32", (32,), bytes(128)),
    ]


@pytest.fixture
def tiny_path(tmp_path: Path, sources: list[TensorSource]) -> Path:
    """A file with a vocabulary and two tensors; its last byte belongs to a tensor."""
    path = tmp_path / "tiny.gguf"
    write_gguf(path, METADATA, sources)
    return path


@pytest.fixture
def metadata() -> dict[str, Any]:
    """A fresh copy of the tiny file's keys."""
    return dict(METADATA)
