"""What a family of models is called and made of, as data: `Family` says it, the converter follows it.

A description covers only what a family has of its own; third parties add theirs through the hook
`corral_safetensors_families`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from corral_safetensors.documents import Fields

Keys = dict[str, Any]
EMBEDDING = "token_embd"
_HEAD = re.compile(r"(For[A-Z]\w*|Model)$")

DECODER_TOP = {"embed_tokens": EMBEDDING, "norm": "output_norm", "lm_head": "output"}
ATTENTION = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
}
GATED = {"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
PRE_NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
DECODER_LAYER = {**PRE_NORMS, **ATTENTION, **GATED}


def no_tensors(config: Fields) -> Mapping[str, list[float]]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One GGUF architecture and the Hugging Face classes that become it.

    `keys` makes the hyper-parameters from config.json, without the architecture's prefix.  `top` and `layer` map module
    paths to GGUF names; `model.` and the like are cut off before, and a layer's modules come after `layers.N.`.
    `permuted` are tensors whose rows, head by head, go from two halves to pairs, with the key of their head count.
    `tensors` makes tensors that only the configuration holds.
    """

    architecture: str
    classes: tuple[str, ...]
    keys: Callable[[Fields], Keys]
    top: Mapping[str, str] = field(default_factory=lambda: DECODER_TOP)
    layer: Mapping[str, str] = field(default_factory=lambda: DECODER_LAYER)
    layers: str = "layers"
    skipped: tuple[str, ...] = ()  # beginnings of modules that the architecture does not have
    vision: tuple[str, ...] = ()  # beginnings of modules for images: left out too, and whoever converts is told
    activations: tuple[str, ...] = ("silu",)
    defaults: Mapping[str, Any] = field(default_factory=dict)  # config.json may leave out what its class has anyway
    permuted: Mapping[str, str] = field(default_factory=dict)
    norm_shift: float = 0.0  # checkpoints hold norm weights less this
    fused_gate: bool = False  # ffn_up holds gate and up
    has_head: bool = True
    tensors: Callable[[Fields], Mapping[str, list[float]]] = no_tensors
    trims_vocabulary: bool = False  # rows of the embedding beyond the tokenizer's are padding
    space_prefix: bool | None = None  # whether SentencePiece puts a space before the text, if the files do not say

    def has_class(self, name: str) -> bool:
        """Whether a class, also one with another head, has this family's layers: LlamaForTokenClassification."""
        stems = {_HEAD.sub("", known).lower() for known in self.classes}
        return any(re.match(rf"(?i:{re.escape(stem)})(?![a-z0-9])", name) for stem in stems)
