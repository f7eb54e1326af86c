"""Qwen 2, 2.5 and 3."""

from corral_safetensors.family import DECODER_LAYER, Family
from corral_safetensors.hyperparameters import decoder

HEAD_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}

QWEN2 = Family(architecture="qwen2", classes=("Qwen2ForCausalLM", "Qwen2Model"), keys=decoder)
QWEN3 = Family(
    architecture="qwen3",
    classes=("Qwen3ForCausalLM", "Qwen3Model"),
    keys=decoder,
    layer={**DECODER_LAYER, **HEAD_NORMS},
    defaults={"head_dim": 128},
)
