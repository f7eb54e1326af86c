"""File types give each tensor the type that llama-quantize gives it.

`golden_mixes.json` was written from the output of `llama-quantize --dry-run` on files of these shapes: storage type by
tensor, for tensors of a block the type of all layers or the layers of each type.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from corral import BadRequest, TensorInfo
from corral_quantizers.file_types import FILE_TYPES, parse_file_type
from corral_quantizers.mixes import choose, more_bits

GOLDEN = json.loads(Path(__file__).with_name("golden_mixes.json").read_text(encoding="utf-8"))
CASES = [(model, file_type) for model, types in GOLDEN.items() for file_type in types]


def test_the_golden_file_covers_every_file_type() -> None:
    assert all(set(types) == set(FILE_TYPES) for types in GOLDEN.values())
    assert {"smollm2-135m", "llama-1b", "mixtral", "falcon"} <= set(GOLDEN)


@pytest.mark.parametrize(("model", "file_type"), CASES)
def test_types_equal_those_of_llama_quantize(model: str, file_type: str, shapes: Mapping[str, Any]) -> None:
    chosen = choose(shapes[model].info(), file_type)
    expected = GOLDEN[model][file_type]
    for name, kind in chosen.items():
        if "norm" in name:
            assert kind == "F32"
            continue
        match = re.match(r"blk\.(\d+)\.(.*)\.weight", name)
        wanted = expected[match[2] if match else name.removesuffix(".weight")]
        if isinstance(wanted, dict):
            assert match
            wanted = next(kind for kind, layers in wanted.items() if match[1] in layers.split(","))
        assert kind == wanted, name


def test_choose_keeps_the_order_of_the_file(shapes: Mapping[str, Any]) -> None:
    info = shapes["smollm2-135m"].info()
    shuffled = replace(info, tensors=tuple(reversed(info.tensors)))
    assert list(choose(shuffled, "Q4_K_M")) == [tensor.name for tensor in shuffled.tensors]
    assert choose(shuffled, "Q4_K_M") == choose(info, "Q4_K_M")


def test_pure_gives_one_type_and_its_fallback(shapes: Mapping[str, Any]) -> None:
    assert set(choose(shapes["llama-1b"].info(), "Q4_K_M", pure=True).values()) == {"F32", "Q4_K"}
    assert set(choose(shapes["smollm2-135m"].info(), "Q4_K_M", pure=True).values()) == {"F32", "Q4_K", "Q5_0"}


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (16, [0, 1, 4, 7, 10, 13, 14, 15]),
        (30, [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 26, 27, 28, 29]),
        (32, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]),
        (80, [*range(10), *range(12, 70, 3), *range(70, 80)]),
    ],
)
def test_which_layers_get_more_bits(n: int, expected: list[int]) -> None:
    assert [i for i in range(n) if more_bits(i, n)] == expected


@pytest.mark.parametrize(
    "name",
    [
        "blk.0.attn_norm.weight",
        "blk.0.attn_q.bias",
        "blk.0.ffn_gate_inp.weight",
        "position_embd.weight",
        "token_types.weight",
        "blk.0.ssm_conv1d.weight",
        "blk.0.time_mix_w1.weight",
        "per_layer_model_proj.weight",
        "v.blk.0.attn_q.weight",
        "mm.0.weight",
    ],
)
def test_what_is_never_quantized_keeps_its_type(name: str, shapes: Mapping[str, Any]) -> None:
    info = shapes["llama-1b"].info()
    for kind in ("F32", "BF16", "Q5_1"):
        kept = TensorInfo(name=name, type=kind, shape=(64, 2048), size_bytes=0)
        assert choose(replace(info, tensors=(*info.tensors, kept)), "Q4_K_M")[name] == kind


def test_vectors_in_a_row_are_not_matrices(shapes: Mapping[str, Any]) -> None:
    info = shapes["llama-1b"].info()
    flat = TensorInfo(name="blk.0.scale.weight", type="F32", shape=(1, 2048), size_bytes=0)
    assert choose(replace(info, tensors=(*info.tensors, flat)), "Q8_0")["blk.0.scale.weight"] == "F32"


@pytest.mark.parametrize(
    ("architecture", "name", "kind"),
    [
        ("deepseek2", "blk.1.attn_k_b.weight", "Q8_0"),
        ("deepseek2", "blk.1.attn_kv_a_mqa.weight", "Q8_0"),
        ("gemma3n", "per_layer_token_embd.weight", "F16"),
        ("glm4", "token_embd.weight", "F16"),
        ("qwen35moe", "blk.1.nextn.eh_proj.weight", "Q8_0"),
        ("llama", "blk.1.attn_k_b.weight", "Q4_K"),
    ],
)
def test_sensitive_tensors_of_some_architectures(
    architecture: str, name: str, kind: str, shapes: Mapping[str, Any]
) -> None:
    info = shapes["llama-1b"].info()
    others = tuple(tensor for tensor in info.tensors if tensor.name != name)
    extra = TensorInfo(name=name, type="F16", shape=(512, 2048), size_bytes=0)
    changed = replace(info, architecture=architecture, tensors=(*others, extra))
    assert choose(changed, "Q4_K_M")[name] == kind


def test_per_layer_head_counts_use_the_first(shapes: Mapping[str, Any]) -> None:
    info = shapes["llama-1b"].info()
    lists = {**info.metadata, "llama.attention.head_count": [32] * 16, "llama.attention.head_count_kv": [8] * 16}
    assert choose(replace(info, metadata=lists), "Q2_K") == choose(info, "Q2_K")
    assert choose(info, "Q2_K")["blk.0.attn_v.weight"] == "Q4_K"


@pytest.mark.parametrize(
    ("text", "name"), [("q4_k_m", "Q4_K_M"), ("Q4_K", "Q4_K_M"), (" f16 ", "F16"), ("iq4_xs", "IQ4_XS")]
)
def test_file_types_are_read_in_any_case(text: str, name: str) -> None:
    assert parse_file_type(text).name == name


@pytest.mark.parametrize("text", ["q9_z", "", "IQ1_S", "Q4_K_"])
def test_an_unknown_file_type_lists_the_known(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_file_type(text)
    message = caught.value.message
    assert message.startswith(f"unsupported quantization type {text.strip().upper()} - supported types are F32, F16, ")
    assert all(name in message for name in FILE_TYPES)
