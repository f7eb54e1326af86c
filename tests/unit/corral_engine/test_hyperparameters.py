"""Files that lie about themselves are refused, naming the key or tensor."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import tiny_models

from corral import CorralError, FormatError, OutOfMemory, RunnerSettings, Unsupported, Weights
from corral_engine.engine import CorralEngine
from corral_engine.plugin import EngineConfig

Write = Callable[..., Weights]


def load(weights: Weights, **settings: Any) -> None:
    CorralEngine(EngineConfig(kernels="numpy")).load(weights, RunnerSettings(**{"kv_tokens": 128, **settings})).close()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("attention.head_count", 0, "attention.head_count"),
        ("attention.head_count", None, "attention.head_count is missing"),
        ("attention.head_count", "four", "attention.head_count"),
        ("attention.head_count", [4], "attention.head_count"),
        ("attention.head_count_kv", 3, "attention.head_count_kv = 3"),
        ("attention.head_count_kv", 0, "attention.head_count_kv"),
        ("attention.key_length", 32, "rope.dimension_count"),
        ("attention.key_length", 0, "attention.key_length"),
        ("block_count", 0, "block_count"),
        ("block_count", 3, "tensor blk.2"),
        ("block_count", 1 << 20, "block_count"),
        ("context_length", 1 << 40, "context_length"),
        ("context_length", None, "context_length is missing"),
        ("context_length", 0, "context_length"),
        ("embedding_length", 32, "token_embd.weight has shape"),
        ("feed_forward_length", 95, "ffn_gate.weight has shape"),
        ("rope.freq_base", math.nan, "rope.freq_base"),
        ("rope.freq_base", -1.0, "rope.freq_base"),
        ("rope.dimension_count", 7, "rope.dimension_count"),
        ("rope.dimension_count", 999, "rope.dimension_count"),
        ("rope.scaling.type", "magic", "rope.scaling.type"),
        ("rope.scaling.factor", -2.0, "rope.scaling.factor"),
        ("attention.layer_norm_rms_epsilon", None, "layer_norm_rms_epsilon is missing"),
        ("attention.layer_norm_rms_epsilon", math.inf, "layer_norm_rms_epsilon"),
        ("attention.causal", 1, "attention.causal"),
    ],
)
def test_a_bad_key_is_named(write: Write, key: str, value: object, said: str) -> None:
    keys = {"rope.dimension_count": 16, key: value} if key == "attention.key_length" else {key: value}
    with pytest.raises(FormatError, match=said.replace(".", r"\.")):
        load(write("llama", keys=keys))


def test_a_missing_and_a_misshapen_tensor_are_named(write: Write) -> None:
    tensors = tiny_models.MODELS["llama"].tensors()
    missing = {name: array for name, array in tensors.items() if name != "blk.1.attn_k.weight"}
    with pytest.raises(FormatError, match=r"blk\.1\.attn_k\.weight is missing"):
        load(write("llama", tensors=missing))
    wrong = {**tensors, "blk.0.ffn_norm.weight": tensors["blk.0.ffn_norm.weight"][:63]}
    with pytest.raises(FormatError, match=r"blk\.0\.ffn_norm\.weight has shape \(63,\), expected \(64,\)"):
        load(write("llama", tensors=wrong))


def test_more_tokens_than_embeddings_is_refused(write: Write) -> None:
    tensors = tiny_models.MODELS["llama"].tensors()
    for name in ("token_embd.weight", "output.weight"):
        tensors[name] = tensors[name][:250]
    with pytest.raises(FormatError, match="256 tokens"):
        load(write("llama", tensors=tensors))


def test_weights_of_a_type_that_nobody_decodes_are_named(write: Write) -> None:
    tensors = tiny_models.MODELS["llama"].tensors()
    tensors["blk.1.attn_q.weight"] = tensors["blk.1.attn_q.weight"].astype("int32")
    with pytest.raises(Unsupported, match=r"tensor blk\.1\.attn_q\.weight: weights of type I32"):
        load(write("llama", tensors=tensors))


def test_rope_factors_must_be_numbers(write: Write) -> None:
    tensors = tiny_models.MODELS["llama3"].tensors()
    tensors["rope_freqs.weight"] = tensors["rope_freqs.weight"] * 0
    with pytest.raises(FormatError, match="rope_freqs"):
        load(write("llama3", tensors=tensors))


def test_arrays_with_an_entry_a_layer_are_read(write: Write) -> None:
    load(write("llama", keys={"attention.head_count": [4, 4], "attention.head_count_kv": [2, 2]}))
    load(write("llama", keys={"feed_forward_length": [96, 96]}))


def test_optional_keys_have_defaults(write: Write) -> None:
    load(write("llama", keys={"attention.key_length": None, "attention.value_length": None, "rope.freq_base": None}))


def test_unknown_architectures_and_experts_are_unsupported(write: Write) -> None:
    with pytest.raises(Unsupported, match="mixture of experts"):
        load(write("llama", keys={"expert_count": 8}))


@pytest.mark.parametrize("settings", [{"memory_bytes": 1 << 20}, {"kv_tokens": 1 << 40}])
def test_too_little_memory_is_told_in_numbers(write: Write, settings: dict[str, int]) -> None:
    with pytest.raises(OutOfMemory, match=r"needs \d+ bytes .* \d+ bytes are available"):
        load(write("llama"), **settings)


def test_unknown_cache_types_are_refused(write: Write) -> None:
    with pytest.raises(CorralError, match="q3_0"):
        load(write("llama"), kv_type_k="q3_0")
