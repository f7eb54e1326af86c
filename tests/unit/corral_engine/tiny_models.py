"""Seeded random models of every architecture, a few dozen kilobytes each, as GGUF files.

A tensor's values follow from its name and the seed alone, so that the generator of the reference logits
(`tests/fixtures/make_reference_logits.py`) and the tests build the same model.  Values that have defaults are all set
to something else.
"""

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

V, E, H, K, F = 256, 64, 4, 2, 96
CONTEXT = 128
SHORT = tuple(int(i) for i in np.random.default_rng(1).integers(3, V, 8))
LONG = tuple(int(i) for i in np.random.default_rng(2).integers(3, 40, 64))
KEPT = 8  # positions of LONG, from the end, whose logits are kept

LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}


@dataclass(frozen=True)
class Tiny:
    """A model: GGUF keys (the architecture's prefix is added) and tensor shapes, outermost first."""

    name: str
    architecture: str
    keys: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, Array] = field(default_factory=dict)  # tensors that are not random
    seed: int = 7

    def tensors(self) -> dict[str, Array]:
        random = {name: values(name, shape, self.seed) for name, shape in self.shapes.items()}
        return {**random, **self.constants}


def values(name: str, shape: tuple[int, ...], seed: int) -> Array:
    """Random weights: norms around 1, biases small, matrices scaled by their inputs."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    normal = rng.standard_normal(shape).astype(np.float32)
    if "norm" in name and name.endswith("weight"):
        return np.float32(1) + np.float32(0.2) * normal
    if len(shape) == 1:
        return np.float32(0.1) * normal
    return normal * np.float32(1.5 / math.sqrt(shape[-1]))


def _shapes(
    n_layers: int,
    head_dim: int,
    *,
    layer: Callable[[int], Mapping[str, tuple[int, ...]]],
    extra: Mapping[str, tuple[int, ...]],
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (V, E), "output_norm.weight": (E,), **extra}
    for i in range(n_layers):
        block = {
            "attn_norm.weight": (E,),
            "attn_q.weight": (H * head_dim, E),
            "attn_k.weight": (K * head_dim, E),
            "attn_v.weight": (K * head_dim, E),
            "attn_output.weight": (E, H * head_dim),
            "ffn_norm.weight": (E,),
            "ffn_gate.weight": (F, E),
            "ffn_up.weight": (F, E),
            "ffn_down.weight": (E, F),
            **layer(head_dim),
        }
        shapes.update({f"blk.{i}.{name}": shape for name, shape in block.items() if shape})
    return shapes


def _keys(n_layers: int, head_dim: int, **more: Any) -> dict[str, Any]:
    return {
        "block_count": n_layers,
        "context_length": CONTEXT,
        "embedding_length": E,
        "feed_forward_length": F,
        "attention.head_count": H,
        "attention.head_count_kv": K,
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "attention.layer_norm_rms_epsilon": 1e-4,
        "rope.freq_base": 5000.0,
        **{name.replace("__", "."): value for name, value in more.items()},
    }


def _qk_norms(head_dim: int) -> dict[str, tuple[int, ...]]:
    return {"attn_q_norm.weight": (head_dim,), "attn_k_norm.weight": (head_dim,)}


def _sandwich(head_dim: int) -> dict[str, tuple[int, ...]]:
    return {"post_attention_norm.weight": (E,), "post_ffw_norm.weight": (E,)}


def _qkv_biases(head_dim: int) -> dict[str, tuple[int, ...]]:
    return {"attn_q.bias": (H * head_dim,), "attn_k.bias": (K * head_dim,), "attn_v.bias": (K * head_dim,)}


def _fused(head_dim: int) -> dict[str, tuple[int, ...]]:
    nothing: tuple[int, ...] = ()
    return {
        "attn_qkv.weight": ((H + 2 * K) * head_dim, E),
        "ffn_up.weight": (2 * F, E),
        "attn_q.weight": nothing,
        "attn_k.weight": nothing,
        "attn_v.weight": nothing,
        "ffn_gate.weight": nothing,
    }


def _nothing(head_dim: int) -> dict[str, tuple[int, ...]]:
    return {}


def llama3_factors(head_dim: int, theta: float) -> Array:
    """The `rope_freqs` tensor that a converter writes for Llama 3.1."""
    factors = []
    original, low, high = (
        float(LLAMA3[key]) for key in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
    )
    for i in range(head_dim // 2):
        wavelength = 2 * math.pi * theta ** (2 * i / head_dim)
        smooth = (original / wavelength - low) / (high - low)
        factor = 1 / ((1 - smooth) / LLAMA3["factor"] + smooth)
        factors.append(
            1.0 if wavelength < original / high else LLAMA3["factor"] if wavelength > original / low else factor
        )
    return np.array(factors, np.float32)


OUTPUT = {"output.weight": (V, E)}
SHORT_FACTORS = np.array([1.0, 1.1, 1.3, 1.7, 2.0, 2.5], np.float32)
LONG_FACTORS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 8.0], np.float32)
LONGROPE_MAGNITUDE = math.sqrt(1 + math.log(CONTEXT / 32) / math.log(32))


def _wide() -> Tiny:
    """A Llama whose rows are whole blocks of 256 weights, for the types that need them."""
    tiny, wider = _tiny("wide", "llama", head_dim=64), {E: 256, F: 256}
    shapes = {name: tuple(wider.get(size, size) for size in shape) for name, shape in tiny.shapes.items()}
    keys = {**tiny.keys, "embedding_length": 256, "feed_forward_length": 256}
    return Tiny("wide", "llama", keys, shapes)


def _bert() -> Tiny:
    keys = {
        "block_count": 2,
        "context_length": CONTEXT,
        "embedding_length": E,
        "feed_forward_length": F,
        "attention.head_count": H,
        "attention.layer_norm_epsilon": 1e-9,
        "attention.causal": False,
        "pooling_type": 1,
    }
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (V, E),
        "position_embd.weight": (CONTEXT, E),
        "token_types.weight": (2, E),
        "token_embd_norm.weight": (E,),
        "token_embd_norm.bias": (E,),
    }
    sizes = {"attn_q": (E, E), "attn_k": (E, E), "attn_v": (E, E), "attn_output": (E, E)}
    sizes |= {"ffn_up": (F, E), "ffn_down": (E, F)}
    for i in range(2):
        for name, shape in sizes.items():
            shapes |= {f"blk.{i}.{name}.weight": shape, f"blk.{i}.{name}.bias": shape[:1]}
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes |= {f"blk.{i}.{name}.weight": (E,), f"blk.{i}.{name}.bias": (E,)}
    return Tiny("bert", "bert", keys, shapes)


def _tiny(
    name: str,
    architecture: str,
    head_dim: int = 16,
    n_layers: int = 2,
    layer: Callable[[int], Mapping[str, tuple[int, ...]]] = _nothing,
    extra: Mapping[str, tuple[int, ...]] = OUTPUT,
    constants: Mapping[str, Array] | None = None,
    **keys: Any,
) -> Tiny:
    shapes = _shapes(n_layers, head_dim, layer=layer, extra=extra)
    return Tiny(name, architecture, _keys(n_layers, head_dim, **keys), shapes, constants or {})


MODELS: dict[str, Tiny] = {
    tiny.name: tiny
    for tiny in (
        _tiny("llama", "llama"),
        _tiny("llama_linear", "llama", extra={}, rope__scaling__type="linear", rope__scaling__factor=4.0),
        _tiny("llama3", "llama", extra={}, constants={"rope_freqs.weight": llama3_factors(16, 5000.0)}),
        _tiny("mistral", "llama", head_dim=24, rope__dimension_count=24),
        _tiny("qwen2", "qwen2", layer=_qkv_biases),
        _tiny(
            "qwen2_yarn",
            "qwen2",
            layer=_qkv_biases,
            rope__scaling__type="yarn",
            rope__scaling__factor=4.0,
            rope__scaling__original_context_length=32,
        ),
        _tiny("qwen3", "qwen3", head_dim=24, layer=_qk_norms, extra={}),
        _tiny("gemma", "gemma", head_dim=24, extra={}),
        _tiny(
            "gemma2",
            "gemma2",
            layer=_sandwich,
            extra={},
            attention__sliding_window=8,
            attn_logit_softcapping=5.0,
            final_logit_softcapping=3.0,
        ),
        _tiny(
            "gemma3",
            "gemma3",
            n_layers=6,
            layer=lambda d: {**_sandwich(d), **_qk_norms(d)},
            extra={},
            attention__sliding_window=8,
            rope__freq_base_swa=700.0,
            rope__scaling__type="linear",
            rope__scaling__factor=8.0,
        ),
        _tiny("phi3", "phi3", layer=_fused),
        _tiny(
            "phi3_longrope",
            "phi3",
            layer=_fused,
            constants={"rope_factors_short.weight": SHORT_FACTORS, "rope_factors_long.weight": LONG_FACTORS},
            rope__dimension_count=12,
            rope__scaling__type="longrope",
            rope__scaling__original_context_length=32,
            rope__scaling__attn_factor=LONGROPE_MAGNITUDE,
        ),
        _bert(),
    )
}

OTHERS: dict[str, Tiny] = {"wide": _wide()}
"""Models that have no reference logits."""

_INTEGER = (int, np.integer)


def write_gguf(
    path: Path,
    tiny: Tiny,
    *,
    storage: str = "F32",
    keys: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Array] | None = None,
    n_tokens: int = V,
) -> Path:
    """Write the file.  `keys` replace or (None) remove keys, `tensors` replaces the tensors.

    With another `storage`, matrices whose rows are whole blocks are quantized.
    """
    writer = gguf.GGUFWriter(path, tiny.architecture)
    for key, value in {**tiny.keys, **(keys or {})}.items():
        full = f"{tiny.architecture}.{key}"
        if isinstance(value, bool):
            writer.add_bool(full, value)
        elif isinstance(value, _INTEGER):
            writer.add_uint64(full, int(value)) if value > 0xFFFFFFFF else writer.add_uint32(full, int(value))
        elif isinstance(value, float):
            writer.add_float32(full, value)
        elif isinstance(value, str):
            writer.add_string(full, value)
        elif value is not None:
            writer.add_array(full, list(value))
    _write_vocabulary(writer, n_tokens)
    kind = gguf.GGMLQuantizationType[storage]
    for name, array in (tiny.tensors() if tensors is None else tensors).items():
        if array.ndim == 2 and storage != "F32" and array.shape[1] % gguf.GGML_QUANT_SIZES[kind][0] == 0:
            writer.add_tensor(name, _quantize(array, storage), raw_dtype=kind)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _quantize(array: Array, storage: str) -> NDArray[Any]:
    """By the `gguf` package where it can, else by Corral's own quantizers."""
    kind = gguf.GGMLQuantizationType[storage]
    try:
        return gguf.quants.quantize(array, kind)
    except NotImplementedError:
        from corral_quantizers.formats import FORMATS
        from corral_quantizers.provider import BlockQuantizer, Machine

        return BlockQuantizer(FORMATS[storage], Machine(1, compiled=False)).quantize(array)


def _write_vocabulary(writer: gguf.GGUFWriter, n_tokens: int) -> None:
    """Byte tokens behind three control tokens; token 2 ends a generation."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(n_tokens - 3))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * n_tokens)
    writer.add_token_types([2, 3, 3, *([6] * (n_tokens - 3))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
