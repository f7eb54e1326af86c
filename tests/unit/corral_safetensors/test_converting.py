"""How a conversion goes: types, memory, progress, stopping, and hyper-parameters that only some models have."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tiny_checkpoints import Files, checkpoint

from corral import CorralError, FormatError, Progress, Weights
from corral_gguf.loader import GgufLoader
from corral_safetensors.documents import Fields
from corral_safetensors.dtypes import encode, to_float32
from corral_safetensors.families import GEMMA2, GEMMA3
from corral_safetensors.hyperparameters import rotation
from corral_safetensors.plugin import SafetensorsConfig

Opened = Callable[..., Weights]
Convert = Callable[..., Any]


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_eight_bit_floats(dtype: str, reference: dict[str, NDArray[Any]]) -> None:
    found = to_float32(np.arange(256, dtype=np.uint8), dtype)
    assert np.array_equal(found, reference[dtype], equal_nan=True)


def test_rounding_to_bfloat16() -> None:
    values = np.array([1.0, 1 + 2**-9, 1 + 2**-8, 1 + 3 * 2**-8, -np.inf, 3.4e38, np.nan, 1e-40], np.float32)
    found = to_float32(encode(values, "BF16"), "BF16")
    assert found[:5].tolist() == [1.0, 1.0, 1.0, 1 + 2**-6, -np.inf]
    assert found[5] == np.inf
    assert np.isnan(found[6])
    assert found[7] == pytest.approx(1e-40, rel=0.01)


def test_types_of_tensors(opened: Opened) -> None:
    def types(name: str, **options: Any) -> set[tuple[int, str]]:
        return {(len(tensor.shape), tensor.type) for tensor in opened(name, **options).info.tensors}

    assert types("llama") == {(1, "F32"), (2, "F16")}
    assert types("mistral") == {(1, "F32"), (2, "BF16")}
    assert types("qwen2") == {(1, "F32"), (2, "F32")}
    assert types("qwen2", config=SafetensorsConfig(float32="F16")) == {(1, "F32"), (2, "F16")}
    assert opened("nf4").info.quantization == "F16"
    bert = {tensor.name: tensor.type for tensor in opened("bert").info.tensors}
    assert bert["position_embd.weight"] == bert["token_types.weight"] == "F32"
    assert bert["token_embd.weight"] == "BF16"


def rewritten(tmp_path: Path, change: Callable[[str, NDArray[Any]], dict[str, NDArray[Any]]], **config: Any) -> Files:
    """The Qwen 2 checkpoint with other tensors."""
    from safetensors.numpy import load_file

    files = checkpoint("qwen2")
    tensors: dict[str, NDArray[Any]] = {}
    for name, values in load_file(files["model.safetensors"]).items():
        tensors |= change(name, values)
    files["model.safetensors"] = tmp_path / "changed.safetensors"
    save_file(tensors, files["model.safetensors"])
    settings = {**json.loads(files["config.json"].read_text()), **config}
    files["config.json"] = tmp_path / "changed.json"
    files["config.json"].write_text(json.dumps(settings))
    return files


@pytest.mark.parametrize("layout", ["tiles", "rows", "one"])
def test_scaled_f8(layout: str, opened: Opened, tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 120, (48, 32), np.uint8)  # no NaN among them
    counts = {"tiles": (3, 2), "rows": (48, 1), "one": ()}[layout]
    scale = np.random.default_rng(1).uniform(0.5, 2.0, counts).astype(np.float32)
    suffix = "_scale_inv" if layout == "tiles" else "_scale"

    def change(name: str, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        if name.endswith("0.mlp.up_proj.weight"):
            return {name: codes, f"{name}{suffix}": scale, name.replace("weight", "input_scale"):
                    np.array([1.0], np.float32)}  # fmt: skip
        return {name: values}

    quantization = {"quant_method": "fp8", "weight_block_size": [16, 16]}
    files = rewritten(tmp_path, change, quantization_config=quantization)
    path = files["model.safetensors"]
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].replace(b'"U8"', b'"F8_E4M3"')
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    tensor = opened(files).tensor("blk.0.ffn_up.weight")
    assert tensor.info.type == "BF16"
    wide = np.kron(scale, np.ones((16, 16), np.float32)) if layout == "tiles" else scale
    expected = to_float32(codes, "F8_E4M3") * wide
    found = to_float32(np.frombuffer(tensor.data, "<u2"), "BF16").reshape(48, 32)
    np.testing.assert_allclose(found, expected, rtol=2**-8)


def test_a_tied_head_is_left_out(opened: Opened, tmp_path: Path) -> None:
    def change(name: str, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {name: values, "lm_head.weight": values} if "embed_tokens" in name else {name: values}

    assert "output.weight" not in {tensor.name for tensor in opened(rewritten(tmp_path, change)).info.tensors}
    untied = opened(rewritten(tmp_path, change, tie_word_embeddings=False)).info.tensors
    assert "output.weight" in {tensor.name for tensor in untied}


def test_a_text_model_inside_another(opened: Opened, convert: Convert, tmp_path: Path) -> None:
    """Gemma 3 with its vision tower: the text model alone is taken, and that is said."""
    from safetensors.numpy import load_file

    def change(name: str, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {f"model.language_model.{name.removeprefix('model.')}": values}

    files = rewritten(tmp_path, change)
    tensors = load_file(files["model.safetensors"])
    norms = {
        name.replace("post_attention_layernorm", new): values
        for name, values in tensors.items() if "post_attention_layernorm" in name
        for new in ("pre_feedforward_layernorm", "post_feedforward_layernorm")
    }  # fmt: skip
    heads = {
        name.replace("post_attention_layernorm", f"self_attn.{which}_norm"): np.ones(8, np.float32)
        for name in tensors if "post_attention_layernorm" in name for which in "qk"
    }  # fmt: skip
    vision = {
        "model.vision_tower.x.weight": np.ones(3, np.float32),
        "model.multi_modal_projector.y": np.ones(2, np.float32),
    }
    plain = {name: values for name, values in tensors.items() if not name.endswith("bias")}
    save_file({**plain, **norms, **heads, **vision}, files["model.safetensors"])
    inner = json.loads(files["config.json"].read_text())
    inner |= {"hidden_activation": "gelu_pytorch_tanh", "rope_parameters": None, "head_dim": 8}
    outer = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": {**inner, "architectures": None}}
    files["config.json"].write_text(json.dumps(outer))
    info = opened(files).info
    assert info.architecture == "gemma3"
    assert len(info.tensors) == 2 + 2 * 13
    assert info.metadata["gemma3.rope.freq_base"] == 1_000_000
    (warning,) = convert(files).warnings
    assert warning == "2 tensors that look at images are left out: the model will read text only"
    assert not convert("gemma3").warnings


# --- hyper-parameters ---------------------------------------------------------------------------------------------

SIZES = {
    "vocab_size": 8, "hidden_size": 64, "num_hidden_layers": 6, "intermediate_size": 8, "num_attention_heads": 4,
    "rms_norm_eps": 1e-5, "max_position_embeddings": 1000,
}  # fmt: skip


def config(**values: Any) -> Fields:
    return Fields("config.json", {**SIZES, **values})


def test_scaling_of_the_rotation() -> None:
    assert rotation(config(rope_theta=5.0)) == {"rope.freq_base": 5.0}
    assert rotation(config(rope_theta=5.0, rope_scaling={"type": "linear", "factor": 4})) == {
        "rope.freq_base": 5.0, "rope.scaling.type": "linear", "rope.scaling.factor": 4.0
    }  # fmt: skip
    assert rotation(config(rope_parameters={"rope_theta": 7.0, "rope_type": "dynamic", "factor": 2}))[
        "rope.freq_base"] == 7.0  # fmt: skip
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 100}
    assert rotation(config(rope_scaling=yarn))["rope.scaling.original_context_length"] == 100
    given = rotation(config(rope_scaling={**yarn, "attention_factor": 2.0}))
    assert given["rope.scaling.attn_factor"] == pytest.approx(2 / (0.1 * math.log(4) + 1))
    both = rotation(config(rope_scaling={**yarn, "mscale": 1.0, "mscale_all_dim": 1.0}))
    assert both["rope.scaling.attn_factor"] == pytest.approx(1 / (0.1 * math.log(4) + 1))


@pytest.mark.parametrize("theta", [0, -1.0])
def test_a_rotation_without_a_base(theta: float) -> None:
    with pytest.raises(FormatError, match=r"config\.json.*'rope_theta' = .*: expected a number above 0"):
        rotation(config(rope_theta=theta))


def test_attention_scales_that_do_not_follow_from_the_sizes() -> None:
    def keys(**values: Any) -> dict[str, Any]:
        return GEMMA2.keys(config(**values).over(GEMMA2.defaults))

    assert "attention.scale" not in keys(head_dim=256)
    assert keys(head_dim=128)["attention.scale"] == 1 / 16
    assert "attention.scale" not in keys(
        num_hidden_layers=46, hidden_size=4608, num_attention_heads=32, query_pre_attn_scalar=144, head_dim=128
    )


@pytest.mark.parametrize("scalar", [0, -1.5])
def test_an_attention_scale_that_cannot_be(scalar: float) -> None:
    for family in (GEMMA2, GEMMA3):
        with pytest.raises(FormatError, match=r"config\.json: 'query_pre_attn_scalar' = .*: expected a number above 0"):
            family.keys(config(query_pre_attn_scalar=scalar).over(family.defaults))


def test_windows() -> None:
    def keys(**values: Any) -> dict[str, Any]:
        return GEMMA3.keys(config(**values).over(GEMMA3.defaults))

    assert keys()["attention.sliding_window"] == 4096
    assert "attention.sliding_window_pattern" not in keys()
    assert keys(sliding_window_pattern=2)["attention.sliding_window_pattern"] == [True, False] * 3
    assert "attention.sliding_window" not in keys(layer_types=["full_attention"] * 6)


# --- the work itself ----------------------------------------------------------------------------------------------


def test_progress_and_stopping(convert: Convert, tmp_path: Path) -> None:
    told: list[Progress] = []
    convert("mistral", progress=told.append)
    assert {step.status for step in told} == {"converting model"}
    done = [step.completed_bytes for step in told]
    assert done == sorted(done)
    assert told[-1].completed_bytes == told[-1].total_bytes > 0
    with pytest.raises(CorralError, match="converting was stopped"):
        convert("mistral", should_stop=lambda: True)
    assert not [path for path in tmp_path.rglob("*.gguf*") if path.parent.name != "converted-0"]


def test_the_same_files_give_the_same_bytes(convert: Convert) -> None:
    first, second = (convert("llama").weights[0].read_bytes() for _ in range(2))
    assert first == second


MEASURE = """
import resource, sys
from pathlib import Path
from corral_safetensors.plugin import SafetensorsConfig, SafetensorsConverter
files = {path.name: path for path in Path(sys.argv[1]).iterdir()}
convert = SafetensorsConverter(SafetensorsConfig()).convert
convert(files, Path(sys.argv[2]), base=None, progress=lambda _: None, should_stop=lambda: False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    """A checkpoint of 200 MB, its largest tensor 131 MB, is converted in less memory than that tensor takes."""
    sizes = []
    for number, width in enumerate((32, 2048)):
        folder, out = tmp_path / f"in-{number}", tmp_path / f"out-{number}"
        folder.mkdir()
        out.mkdir()
        layer = "model.layers.0"
        shapes = {
            "model.embed_tokens.weight": (64 * width // 4, width),
            "model.norm.weight": (width,),
            f"{layer}.input_layernorm.weight": (width,),
            f"{layer}.post_attention_layernorm.weight": (width,),
            **{f"{layer}.self_attn.{name}_proj.weight": (width, width) for name in "qkvo"},
            **{f"{layer}.mlp.{name}_proj.weight": (width // 8, width) for name in ("gate", "up")},
            f"{layer}.mlp.down_proj.weight": (width, width // 8),
        }
        save_file({name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, folder / "model.safetensors")
        settings = {
            **SIZES, "architectures": ["LlamaForCausalLM"], "hidden_size": width, "num_hidden_layers": 1,
            "intermediate_size": width // 8, "vocab_size": 64 * width // 4, "tie_word_embeddings": True,
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(settings))
        (folder / "vocab.txt").write_text("[UNK]")
        command = [sys.executable, "-c", MEASURE, str(folder), str(out)]
        sizes.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        GgufLoader().open(out / "model.gguf").close()
    assert (folder / "model.safetensors").stat().st_size > 160e6
    assert sizes[1] - sizes[0] < 100 * 1024, sizes
