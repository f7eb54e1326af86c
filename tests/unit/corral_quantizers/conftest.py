"""Models as lists of tensors, weights to quantize, and both ways to compute."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from corral import ModelInfo, TensorInfo
from corral.testing.fixtures import *  # noqa: F403  fixtures are found by name
from corral_gguf.loader import GgufLoader
from corral_gguf.weights import GgufWeights
from corral_gguf.writer import TensorSource, write_gguf
from corral_quantizers.provider import Machine

Floats = np.ndarray[Any, np.dtype[np.float32]]


class Shape(NamedTuple):
    """A decoder's sizes, in the order hidden, feed-forward, layers, heads, kv heads, head size, vocabulary."""

    architecture: str
    hidden: int
    feed_forward: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab_size: int
    tied: bool = True
    n_experts: int = 0

    @property
    def metadata(self) -> dict[str, Any]:
        keys: dict[str, Any] = {
            "block_count": self.n_layers,
            "embedding_length": self.hidden,
            "attention.head_count": self.n_heads,
            "attention.head_count_kv": self.n_kv_heads,
        }
        if self.n_experts:
            keys["expert_count"] = self.n_experts
        named = {f"{self.architecture}.{key}": value for key, value in keys.items()}
        return {"general.architecture": self.architecture, "general.file_type": 1, **named}

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name to shape, outermost first."""
        hidden, width, kv = self.hidden, self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {
            "token_embd.weight": (self.vocab_size, hidden),
            "output_norm.weight": (hidden,),
        }
        if not self.tied:
            shapes["output.weight"] = (self.vocab_size, hidden)
        for i in range(self.n_layers):
            block = {"attn_norm": (hidden,), "ffn_norm": (hidden,), "attn_output": (hidden, width)}
            if self.architecture == "falcon":
                block |= {"attn_qkv": (width + 2 * kv, hidden)}
                block |= {"ffn_up": (self.feed_forward, hidden), "ffn_down": (hidden, self.feed_forward)}
            else:
                block |= {"attn_q": (width, hidden), "attn_k": (kv, hidden), "attn_v": (kv, hidden)}
            if self.n_experts:
                n, wide = self.n_experts, self.feed_forward
                block |= {"ffn_gate_inp": (n, hidden), "ffn_down_exps": (n, hidden, wide)}
                block |= {"ffn_gate_exps": (n, wide, hidden), "ffn_up_exps": (n, wide, hidden)}
            elif self.architecture != "falcon":
                block |= {"ffn_gate": (self.feed_forward, hidden), "ffn_up": (self.feed_forward, hidden)}
                block |= {"ffn_down": (hidden, self.feed_forward)}
            shapes |= {f"blk.{i}.{name}.weight": shape for name, shape in block.items()}
        return shapes

    def info(self, kind: str = "F16") -> ModelInfo:
        """A file of these tensors: matrices of type `kind`, vectors and routers F32."""
        tensors = tuple(
            TensorInfo(
                name=name, type="F32" if len(shape) == 1 or "gate_inp" in name else kind, shape=shape, size_bytes=0
            )
            for name, shape in self.tensors.items()
        )
        return ModelInfo(architecture=self.architecture, metadata=self.metadata, tensors=tensors)


SHAPES: Mapping[str, Shape] = {
    "smollm2-135m": Shape("llama", 576, 1536, 30, 9, 3, 64, 49152),
    "llama-1b": Shape("llama", 2048, 8192, 16, 32, 8, 64, 128256),
    "llama-70b": Shape("llama", 8192, 28672, 80, 64, 8, 128, 32000, tied=False),
    "mixtral": Shape("llama", 4096, 14336, 32, 32, 8, 128, 32000, tied=False, n_experts=8),
    "falcon": Shape("falcon", 4544, 18176, 32, 71, 1, 64, 65024, tied=False),
    "odd": Shape("llama", 1000, 2736, 12, 10, 10, 100, 1000, tied=False),
    "tiny": Shape("llama", 256, 512, 2, 4, 2, 64, 96),
}


@pytest.fixture(scope="session")
def shapes() -> Mapping[str, Shape]:
    return SHAPES


@pytest.fixture(scope="session", params=["compiled", "plain"])
def machine(request: pytest.FixtureRequest) -> Machine:
    return Machine(2, compiled=request.param == "compiled")


@pytest.fixture(scope="session")
def hard_rows() -> Floats:
    """Rows of 512 that are awkward: zeros, constants, one sign, single spikes, tiny, large, plain, heavy-tailed."""
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((40, 512), dtype=np.float32)
    rows[0] = 0
    rows[1] = 0.125
    rows[2] = 2.5
    rows[3] = -1.5
    rows[4] = np.abs(rows[4])
    rows[5] = -np.abs(rows[5])
    rows[6] = 0
    rows[6, ::67] = 1
    rows[7] *= np.float32(1e-8)
    rows[8] *= np.float32(1e-20)
    rows[9] *= np.float32(1e4)
    rows[10, 5] = 3e4
    rows[11] = np.where(np.arange(512) % 2, 1, -1)  # every weight is the largest
    rows[12, 32:64] = 0
    rows[13, ::2] = 0
    rows[14:] = rng.laplace(size=(26, 512)).astype(np.float32) * np.float32(0.02)
    return rows


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[..., GgufWeights]:
    """`make_file(shape, kind)`: an open GGUF of seeded Gaussian weights, matrices in F16, BF16 or F32."""

    def make(shape: Shape, kind: str = "F16", name: str = "source.gguf", broken: str = "") -> GgufWeights:
        rng = np.random.default_rng(3)
        sources = []
        for info in shape.info(kind).tensors:
            values = rng.standard_normal(info.shape, dtype=np.float32) * np.float32(0.05)
            if info.name == broken:
                values.reshape(-1)[values.size // 2] = np.nan
            if info.type == "BF16":
                data = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
            else:
                data = values.astype(np.float16 if info.type == "F16" else np.float32).tobytes()
            sources.append(TensorSource(info, lambda data=data: (data,)))  # type: ignore[misc]  # a default argument
        write_gguf(tmp_path / name, shape.metadata, sources)
        return GgufLoader().open(tmp_path / name)

    return make
