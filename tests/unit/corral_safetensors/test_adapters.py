"""PEFT and MLX adapters: what each module is multiplied by, where it goes, and which are refused."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tiny_checkpoints import CHECKPOINTS, Files

from corral import FormatError, Unsupported, Weights
from corral_engine.lora import read_adapter
from corral_gguf.loader import GgufLoader

Opened = Callable[..., Weights]
Convert = Callable[..., Any]
Float32 = NDArray[np.float32]
E, F, V = 32, 48, 320
PEFT = {"peft_type": "LORA", "r": 2, "lora_alpha": 6}
LAYER = "model.layers.1"


def adapter(tmp_path: Path, config: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]], seed: int = 0) -> Files:
    """An adapter with random tensors of these shapes."""
    random = np.random.default_rng(seed)
    folder = tmp_path / f"adapter-{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    values = {name: random.standard_normal(shape, np.float32) for name, shape in tensors.items()}
    save_file(values, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return {path.name: path for path in folder.iterdir()}


def pair(module: str, out: int, inner: int, rank: int = 2) -> dict[str, tuple[int, ...]]:
    """The two tensors PEFT stores for a module."""
    prefix = f"base_model.model.{module}"
    return {f"{prefix}.lora_A.weight": (rank, inner), f"{prefix}.lora_B.weight": (out, rank)}


@pytest.fixture
def changes(convert: Convert) -> Callable[[Files, Weights], dict[str, Float32]]:
    """What an adapter adds to each tensor of its base, scale included."""

    def run(files: Files, base: Weights) -> dict[str, Float32]:
        weights = GgufLoader().open(convert(files, base=base.info).weights[0])
        shapes = {tensor.name: tensor.shape for tensor in base.info.tensors}
        pairs = read_adapter("adapter", weights, base.info.architecture, shapes)
        weights.close()
        return {name: np.float32(found.scale) * (found.b @ found.a) for name, found in pairs.items()}

    return run


def product(files: Files, module: str) -> Float32:
    from safetensors.numpy import load_file

    tensors = load_file(files["adapter_model.safetensors"])
    prefix = f"base_model.model.{module}"
    result: Float32 = tensors[f"{prefix}.lora_B.weight"] @ tensors[f"{prefix}.lora_A.weight"]
    return result


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, 3.0),
        ({"use_rslora": True}, 6 / math.sqrt(2)),
        ({"alpha_pattern": {"up_proj": 10}}, 5.0),
        ({"alpha_pattern": {"layers.1.mlp.up_proj": 10}, "use_rslora": True}, 10 / math.sqrt(2)),
        ({"alpha_pattern": {"p_proj": 10, "layers.0.mlp.up_proj": 20}}, 3.0),
        ({"alpha_pattern": {r"^model\.layers\.1\.mlp\.up_proj$|down_proj": 10}}, 5.0),
        ({"alpha_pattern": {"up_proj": 10, "mlp.up_proj": 20}}, 5.0),  # the first that fits
        ({"rank_pattern": {"up_proj": 7}}, 3.0),  # the tensors say how large the rank is
    ],
)
def test_scales(
    config: dict[str, Any], scale: float, opened: Opened, changes: Callable[..., dict[str, Float32]], tmp_path: Path
) -> None:
    module = f"{LAYER}.mlp.up_proj"
    files = adapter(tmp_path, {**PEFT, **config}, pair(module, F, E))
    found = changes(files, opened("llama"))
    assert set(found) == {"blk.1.ffn_up.weight"}
    np.testing.assert_allclose(found["blk.1.ffn_up.weight"], scale * product(files, module), rtol=1e-5, atol=1e-6)


def test_rows_of_queries_and_keys_are_permuted(
    opened: Opened, changes: Callable[..., dict[str, Float32]], tmp_path: Path
) -> None:
    module = f"{LAYER}.self_attn.k_proj"
    files = adapter(tmp_path, PEFT, pair(module, 16, E))
    (found,) = changes(files, opened("llama")).values()
    halves = 3 * product(files, module).reshape(2, 2, 4, E)  # two heads of eight dimensions
    np.testing.assert_allclose(found, halves.swapaxes(1, 2).reshape(16, E), rtol=1e-5, atol=1e-6)
    (plain,) = changes(adapter(tmp_path, PEFT, pair(module, 16, E)), opened("qwen2")).values()
    np.testing.assert_allclose(plain, halves.reshape(16, E), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("parameters", "scale"), [({"scale": 20.0}, 20.0), ({"alpha": 8, "rank": 2}, 4.0)])
def test_mlx(
    parameters: dict[str, Any],
    scale: float,
    opened: Opened,
    changes: Callable[..., dict[str, Float32]],
    tmp_path: Path,
) -> None:
    module = f"{LAYER}.mlp.down_proj"
    shapes = {f"{module}.lora_a": (F, 2), f"{module}.lora_b": (2, E)}
    files = adapter(tmp_path, {"fine_tune_type": "lora", "lora_parameters": parameters}, shapes)
    from safetensors.numpy import load_file

    tensors = load_file(files["adapter_model.safetensors"])
    (found,) = changes(files, opened("llama")).values()
    expected = scale * (tensors[f"{module}.lora_a"] @ tensors[f"{module}.lora_b"]).T
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_head_that_is_the_embedding(
    opened: Opened, changes: Callable[..., dict[str, Float32]], tmp_path: Path
) -> None:
    files = adapter(tmp_path, PEFT, pair("lm_head", V, E))
    assert set(changes(files, opened("llama"))) == {"output.weight"}
    assert set(changes(files, opened("mistral"))) == {"token_embd.weight"}


EMBEDDING = {
    "base_model.model.model.embed_tokens.lora_embedding_A": (2, V),
    "base_model.model.model.embed_tokens.lora_embedding_B": (E, 2),
}
Q = f"base_model.model.{LAYER}.self_attn.q_proj"


@pytest.mark.parametrize(
    ("base", "tensors", "message"),
    [
        ("llama", pair(f"{LAYER}.self_attn.q_proj", 64, E), "a change of shape [64, 32] does not fit blk.1.attn_q"),
        ("llama", pair(f"{LAYER}.self_attn.q_proj", 32, 40), "a change of shape [32, 40] does not fit blk.1.attn_q"),
        ("llama", pair("model.layers.2.mlp.up_proj", F, E), "it belongs to layer 2, but there are 2 layers"),
        ("phi3", pair(f"{LAYER}.self_attn.q_proj", 32, E), "has no place for it: the adapter is for another base"),
        ("llama", pair("model.norm", E, E), "the base model has no matrix output_norm.weight"),
        ("llama", pair("model.embed_tokens", V, E), "a product with the embedding cannot be adapted"),
        ("llama", {f"{Q}.lora_A.weight": (2, E)}, "it has no counterpart"),
        ("llama", {f"{Q}.lora_A.weight": (2, E), f"{Q}.lora_B.weight": (E, 3)}, "have no rank in common"),
        ("llama", {f"{Q}.lora_A.weight": (E,), f"{Q}.lora_B.weight": (E, 3)}, "must be matrices"),
        ("mistral", {**EMBEDDING, **pair("lm_head", V, E)}, "a shared embedding cannot be adapted twice"),
        ("llama", {}, "there are no LoRA tensors"),
    ],
)
def test_adapters_for_another_base_are_refused(
    base: str, tensors: dict[str, tuple[int, ...]], message: str, opened: Opened, convert: Convert, tmp_path: Path
) -> None:
    with pytest.raises(FormatError) as caught:
        convert(adapter(tmp_path, PEFT, tensors), base=opened(base).info)
    assert message in caught.value.message
    if tensors:
        assert caught.value.message.startswith("adapter_model.safetensors: tensor ")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "adapters of type 'IA3'"),
        ({"use_dora": True}, "DoRA adapters cannot be converted"),
        ({"fan_in_fan_out": True}, "transposed layers"),
        ({"alpha_pattern": {"(a+)+b": 1}}, "only names of modules can be read"),
    ],
)
def test_other_kinds_are_refused(
    config: dict[str, Any], message: str, opened: Opened, convert: Convert, tmp_path: Path
) -> None:
    files = adapter(tmp_path, {**PEFT, **config}, pair(f"{LAYER}.mlp.up_proj", F, E))
    with pytest.raises(Unsupported, match=message):
        convert(files, base=opened("llama").info)


@pytest.mark.parametrize(
    ("name", "is_good"),
    [
        ("LlamaForCausalLM", True), ("LlamaForTokenClassification", True), ("MistralModel", True),
        ("LlamaGPTQForCausalLM", True), ("", True), (None, True),
        ("Llama4ForCausalLM", False), ("MixtralForCausalLM", False), ("GPT2LMHeadModel", False), ("llamas", False),
    ],
)  # fmt: skip
def test_the_class_of_the_base_is_that_of_the_adapter(
    name: str | None, is_good: bool, opened: Opened, convert: Convert, tmp_path: Path
) -> None:
    """PEFT says what it wrapped; some programs put the base's own configuration beside the adapter."""
    tensors, base = pair(f"{LAYER}.mlp.up_proj", F, E), opened("llama").info
    files = adapter(tmp_path, {**PEFT, "auto_mapping": {"base_model_class": name}}, tensors)
    beside = {**adapter(tmp_path, {**PEFT, "auto_mapping": None}, tensors), "config.json": tmp_path / "config.json"}
    beside["config.json"].write_text(json.dumps({"architectures": [name] if name else None}))
    for told, file in ((files, "adapter_config.json"), (beside, "config.json")):
        if is_good:
            assert convert(told, base=base).weights
            continue
        with pytest.raises(FormatError) as caught:
            convert(told, base=base)
        wanted = f'{file}: the adapter is for a "{name}", the base model is llama (LlamaForCausalLM): '
        assert caught.value.message.startswith(wanted)


def test_whole_tensors_are_refused(opened: Opened, convert: Convert, tmp_path: Path) -> None:
    files = adapter(tmp_path, PEFT, {"base_model.model.lm_head.weight": (V, E)})
    with pytest.raises(Unsupported, match=r"lm_head.weight': not a part of a LoRA pair"):
        convert(files, base=opened("llama").info)


@pytest.mark.parametrize("alpha", [None, 0, -1, "x", float("inf")])
def test_f13_alphas_that_lie(alpha: Any, opened: Opened, convert: Convert, tmp_path: Path) -> None:
    files = adapter(tmp_path, {**PEFT, "lora_alpha": alpha}, pair(f"{LAYER}.mlp.up_proj", F, E))
    with pytest.raises(FormatError, match="lora_alpha"):
        convert(files, base=opened("llama").info)


def test_an_adapter_keeps_what_its_base_says(opened: Opened, convert: Convert) -> None:
    weights = GgufLoader().open(convert("lora", base=opened("llama").info).weights[0])
    metadata = weights.info.metadata
    assert weights.info.kind == "adapter"
    assert (metadata["adapter.type"], metadata["adapter.lora.alpha"]) == ("lora", 6.0)
    assert (metadata["llama.attention.head_count"], metadata["llama.attention.head_count_kv"]) == (4, 2)
    assert len(weights.info.tensors) == 2 * 2 * 7
    weights.close()


def test_a_model_is_no_adapter_and_an_adapter_no_model(opened: Opened, convert: Convert) -> None:
    with pytest.raises(FormatError, match=r"adapter_config.json is missing beside"):
        convert("mistral", base=opened("llama").info)
    with pytest.raises(FormatError, match=r"config.json is missing beside adapter_config.json"):
        convert({path.name: path for path in (CHECKPOINTS / "lora").iterdir()})
