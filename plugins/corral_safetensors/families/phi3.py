"""Phi 3, 3.5 and 4: fused projections; long contexts come with two lists of rotation factors."""

import math

from corral import Unsupported
from corral_safetensors.documents import Fields
from corral_safetensors.family import PRE_NORMS, Family, Keys
from corral_safetensors.hyperparameters import decoder, head_dim, rope, rope_kind


def _original_context(config: Fields) -> int:
    context = config.integer("max_position_embeddings", low=1)
    here = config.integer("original_max_position_embeddings", default=context, low=1)
    return rope(config).integer("original_max_position_embeddings", default=here, low=1)


def _rope_dims(config: Fields) -> int:
    part = rope(config).number("partial_rotary_factor", default=config.number("partial_rotary_factor", default=1.0))
    dims = int(part * head_dim(config))
    if not 0 < dims <= head_dim(config) or dims % 2:
        raise config.wrong("partial_rotary_factor", "it must leave an even part of a head")
    return dims


def keys(config: Fields) -> Keys:
    original = _original_context(config)
    keys = decoder(config) | {
        "rope.dimension_count": _rope_dims(config),
        "rope.scaling.original_context_length": original,
        "attention.sliding_window": config.integer("sliding_window", default=0),
    }
    if rope_kind(config) in ("longrope", "su"):
        ratio = config.integer("max_position_embeddings") / original
        usual = math.sqrt(1 + math.log(ratio) / math.log(original)) if ratio > 1 < original else 1.0
        keys["rope.scaling.attn_factor"] = rope(config).number("attention_factor", default=usual)
    return keys


def factors(config: Fields) -> dict[str, list[float]]:
    """The divisors of the frequencies below and beyond the original context."""
    parameters, kind = rope(config), rope_kind(config)
    long, short = parameters.numbers("long_factor"), parameters.numbers("short_factor")
    if kind not in ("longrope", "su"):
        if kind != "default":
            raise Unsupported(f"{parameters.file}: rope scaling {kind!r:.40} of Phi 3 cannot be converted")
        return {}
    count = _rope_dims(config) // 2
    if not len(long) == len(short) == count:
        raise parameters.wrong("long_factor", f"expected {count} factors, as in short_factor")
    return {"rope_factors_long": long, "rope_factors_short": short}


PHI3 = Family(
    architecture="phi3",
    classes=("Phi3ForCausalLM",),
    keys=keys,
    layer={
        **PRE_NORMS,
        "self_attn.qkv_proj": "attn_qkv",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    },
    fused_gate=True,
    tensors=factors,
)
