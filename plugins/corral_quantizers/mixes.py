"""Which storage type each tensor of a model gets: the mixes that file types such as Q4_K_M stand for.

The rules are llama.cpp's, so that a file made here has the types of one made by llama-quantize.  Tensors that hurt most
when rounded (the output, attention values, some layers' ffn_down) get more bits than the rest.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from corral import ModelInfo, TensorInfo
from corral_quantizers.file_types import FileType, parse_file_type
from corral_quantizers.formats import FORMATS

# Fragments of names of weights that are too small or too sensitive to quantize.
_KEPT = (
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
)
_KEPT_NAMES = frozenset({"position_embd.weight", "token_types.weight"})
_EMBEDDED = ("v.", "mm.", "a.", "mtp.")  # vision, audio and prediction heads inside a text model: carried over
# Ollama's additions, for the K file types it makes: (architecture, fragments of names, storage type).
_SENSITIVE: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("qwen35", ("nextn.eh_proj",), "Q8_0"),
    ("gemma3n", ("per_layer_token_embd",), "F16"),
    ("deepseek2", ("attn_k_b", "attn_q_a", "attn_q_b", "attn_v_b", "attn_kv_a_mqa"), "Q8_0"),
    ("glm4", ("token_embd", "output.weight"), "F16"),
    ("glmocr", ("token_embd", "output.weight"), "F16"),
)
_SENSITIVE_FILE_TYPES = ("Q4_K_S", "Q4_K_M")
_FALLBACKS: Mapping[str, str] = {
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    "IQ4_XS": "IQ4_NL",
}
_EIGHT_EXPERT_OUTPUT = ("Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M", "IQ4_NL", "IQ4_XS")
_LARGE_LAYERS: Mapping[str, int] = {"llama": 80, "qwen2": 80, "deci": 80, "olmo": 80, "jais2": 68}
_BLOCK = re.compile(r"blk\.(\d+)\.")


def choose(info: ModelInfo, file_type: str, *, pure: bool = False) -> dict[str, str]:
    """The storage type of every tensor of `info`, by name, in the file's order.

    `pure` gives every quantized tensor the base type.  Raises BadRequest when there is no file type of that name.
    """
    chosen = _Mix(info, parse_file_type(file_type), pure=pure).types()
    return {tensor.name: chosen[tensor.name] for tensor in info.tensors}


def more_bits(i: int, n: int) -> bool:
    """Whether the i-th of n layers gets more bits: the first and last eighth, and every third between."""
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def is_quantized(tensor: TensorInfo, architecture: str = "") -> bool:
    """Whether a tensor takes part at all; the others keep the type they have."""
    n_dims = len(tensor.shape) - next((i for i, size in enumerate(tensor.shape) if size > 1), len(tensor.shape))
    name = tensor.name
    if n_dims < 2 or not name.endswith("weight") or name in _KEPT_NAMES:
        return False
    embedded = architecture not in ("clip", "mmproj") and name.startswith(_EMBEDDED)
    return not embedded and not any(fragment in name for fragment in _KEPT)


class _Mix:
    """One walk over a model's tensors.  Layers are counted in the order of (block, name), as the rules expect."""

    def __init__(self, info: ModelInfo, file_type: FileType, *, pure: bool) -> None:
        self.info, self.file_type, self.pure = info, file_type, pure
        self.falcon = info.architecture == "falcon"
        self.n_layers = self._hyper_parameter("block_count")
        self.n_experts = self._hyper_parameter("expert_count")
        n_heads = self._hyper_parameter("attention.head_count")
        n_kv_heads = self._hyper_parameter("attention.head_count_kv", n_heads)
        self.n_gqa = n_heads // n_kv_heads if n_kv_heads else 0
        self.is_large = _LARGE_LAYERS.get(info.architecture) == self.n_layers and (
            info.architecture != "llama" or n_heads != n_kv_heads
        )
        self.is_tied = all(tensor.name != "output.weight" for tensor in info.tensors)
        self.n_values = sum(_is_value(tensor.name) for tensor in info.tensors)
        self.i_value = self.i_down = 0

    def types(self) -> dict[str, str]:
        return {tensor.name: self._type(tensor) for tensor in sorted(self.info.tensors, key=_order)}

    def _type(self, tensor: TensorInfo) -> str:
        base = self.file_type.base
        if not is_quantized(tensor, self.info.architecture):
            return tensor.type
        if FORMATS[base].block_size == 1:
            return base
        wanted = base if self.pure else self._sensitive(tensor.name) or self._wanted(tensor)
        return _fallback(wanted, tensor.shape[-1])

    def _sensitive(self, name: str) -> str | None:
        if self.file_type.name in _SENSITIVE_FILE_TYPES:
            for architecture, fragments, kind in _SENSITIVE:
                matches = self.info.architecture.removesuffix("moe") == architecture
                if matches and any(fragment in name for fragment in fragments):
                    return kind
        return None

    def _wanted(self, tensor: TensorInfo) -> str:
        name, base, mix = tensor.name, self.file_type.base, self.file_type.name
        is_embedding = name in ("token_embd.weight", "per_layer_token_embd.weight")
        if name == "output.weight" or (self.is_tied and is_embedding):
            ragged = tensor.shape[-1] % FORMATS[base].block_size != 0
            return "Q8_0" if mix == "MXFP4_MOE" or self.falcon or ragged or base == "Q8_0" else "Q6_K"
        if mix == "MXFP4_MOE":
            return "MXFP4" if len(tensor.shape) > 2 and tensor.shape[-3] > 1 else "Q8_0"
        if is_embedding:
            return base
        if _is_value(name):
            self.i_value += 1
            return self._value(self.i_value - 1)
        if "attn_k.weight" in name:
            return "Q8_0" if self.n_experts == 8 else base
        if "attn_q.weight" in name:
            return base
        if "attn_output.weight" in name:
            return self._attention_output()
        if "ffn_down" in name and "ffn_up" not in name and "ffn_gate" not in name:
            self.i_down += 1
            return self._down(self._layer(name, self.i_down - 1))
        return base

    def _value(self, i: int) -> str:
        """The projections whose output is the attention's value."""
        wanted, mix = self.file_type.base, self.file_type.name
        if mix == "Q2_K":
            wanted = "Q4_K" if self.n_gqa >= 4 else "Q3_K"
        elif mix == "Q3_K_M":
            wanted = "Q5_K" if i < 2 else "Q4_K"
        elif mix == "Q3_K_L" or (mix in ("IQ4_NL", "IQ4_XS") and self.n_gqa >= 4) or (mix == "Q4_K_S" and i < 4):
            wanted = "Q5_K"
        elif mix in ("Q4_K_M", "Q5_K_M") and more_bits(i, self.n_values):
            wanted = "Q6_K"
        if self.is_large and wanted in ("Q3_K", "Q4_K"):
            wanted = "Q5_K"  # eight heads share it: small, and worth it
        return "Q8_0" if self.n_experts == 8 else wanted

    def _attention_output(self) -> str:
        base, mix = self.file_type.base, self.file_type.name
        if self.falcon:
            return "Q4_K" if mix == "Q3_K_L" else base
        if self.n_experts == 8:
            return "Q5_K" if mix in _EIGHT_EXPERT_OUTPUT else base
        return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(mix, base)

    def _down(self, i: int) -> str:
        """The projection back from the feed-forward layer."""
        base, mix, n = self.file_type.base, self.file_type.name, self.n_layers
        more = more_bits(i, n)
        if mix == "Q2_K":
            return "Q3_K"
        if mix == "Q3_K_M":
            return "Q5_K" if i < n // 16 else "Q3_K" if self.falcon and not more else "Q4_K"
        if mix == "Q3_K_L":
            return "Q4_K" if self.falcon else "Q5_K"
        if mix == "Q4_K_M" and self.falcon:
            return "Q6_K" if i < n // 16 else "Q5_K" if more else "Q4_K"
        if mix in ("Q4_K_M", "Q5_K_M") and more:
            return "Q6_K"
        if i < n // 8 and (mix in ("IQ4_NL", "IQ4_XS") or (mix == "Q4_K_S" and not self.falcon)):
            return "Q5_K"
        return base

    def _layer(self, name: str, counted: int) -> int:
        """With experts, several such tensors lie in one block: the name tells which."""
        match = _BLOCK.match(name)
        return int(match[1]) if self.n_experts > 1 and match else counted

    def _hyper_parameter(self, suffix: str, default: int = 0) -> int:
        """An integer of the architecture; of a per-layer list the first."""
        value: Any = self.info.metadata.get(f"{self.info.architecture}.{suffix}", default)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value):
            value = value[0]
        return value if isinstance(value, int) else default


def _is_value(name: str) -> bool:
    return any(part in name for part in ("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight"))


def _order(tensor: TensorInfo) -> tuple[int, bytes]:
    match = _BLOCK.match(tensor.name)
    return int(match[1]) if match else -1, tensor.name.encode()


def _fallback(wanted: str, n_columns: int) -> str:
    """`wanted`, or a type of smaller blocks when rows cannot be divided into its own."""
    for kind in (wanted, _FALLBACKS.get(wanted, "F16")):
        if n_columns % FORMATS[kind].block_size == 0:
            return kind
    return "F16"
