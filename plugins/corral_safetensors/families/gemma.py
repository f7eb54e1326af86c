"""Gemma 1, 2 and the text half of 3: norm weights are stored less 1, the head is the embedding."""

import math

from corral import Unsupported
from corral_safetensors.documents import Fields
from corral_safetensors.families.qwen import HEAD_NORMS
from corral_safetensors.family import ATTENTION, GATED, Family, Keys
from corral_safetensors.hyperparameters import decoder, head_dim

_TANH = ("gelu_pytorch_tanh", "gelu_tanh", "gelu", "gelu_new")  # "gelu" in old files, which the code read as tanh
_SANDWICH = {
    **ATTENTION,
    **GATED,
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_BEFORE_3 = {"head_dim": 256, "rms_norm_eps": 1e-6, "max_position_embeddings": 8192}
_THETA_3, _WINDOW_THETA_3 = 1_000_000.0, 10_000.0
_LAYERS_27B = {"gemma2": 46, "gemma3": 62}


def _scale(config: Fields, architecture: str) -> Keys:
    """The attention scale, where it is not the one that follows from the sizes.  Raises FormatError."""
    scalar = config.number("query_pre_attn_scalar", default=head_dim(config))
    if scalar <= 0:
        raise config.wrong("query_pre_attn_scalar", "expected a number above 0")
    wanted = 1 / math.sqrt(scalar)
    divisor = float(head_dim(config))
    if config.integer("num_hidden_layers") == _LAYERS_27B[architecture]:
        divisor = config.integer("hidden_size") / config.integer("num_attention_heads", low=1)
    return {} if math.isclose(wanted, 1 / math.sqrt(divisor), rel_tol=1e-6) else {"attention.scale": wanted}


def _windows(config: Fields, period: int) -> Keys:
    """The sliding window, and which layers have it where that is not the family's habit."""
    n_layers = config.integer("num_hidden_layers", low=1)
    sliding = [kind == "sliding_attention" for kind in config.array("layer_types")]
    if not sliding:
        period_here = config.integer("sliding_window_pattern", "_sliding_window_pattern", default=period, low=1)
        sliding = [layer % period_here < period_here - 1 for layer in range(n_layers)]
    if not any(sliding) or not config.has("sliding_window"):
        return {}
    if len(sliding) != n_layers:
        raise config.wrong("layer_types", f"expected {n_layers} entries")
    keys: Keys = {"attention.sliding_window": config.integer("sliding_window", low=1)}
    if sliding != [layer % period < period - 1 for layer in range(n_layers)]:
        keys["attention.sliding_window_pattern"] = sliding
    return keys


def gemma2_keys(config: Fields) -> Keys:
    keys = decoder(config) | _scale(config, "gemma2") | _windows(config, 2)
    keys["attn_logit_softcapping"] = config.number("attn_logit_softcapping", default=0.0)
    keys["final_logit_softcapping"] = config.number("final_logit_softcapping", default=0.0)
    return keys


def gemma3_keys(config: Fields) -> Keys:
    if config.flag("use_bidirectional_attention"):
        raise Unsupported(f"{config.file}: Gemma 3 with bidirectional attention cannot be converted")
    if config.has("attn_logit_softcapping"):
        raise Unsupported(f"{config.file}: Gemma 3 with attn_logit_softcapping cannot be converted")
    keys = decoder(config) | _scale(config, "gemma3") | _windows(config, 6)
    sliding = config.child("rope_parameters").child("sliding_attention")
    local = config.number("rope_local_base_freq", default=_WINDOW_THETA_3)
    keys["rope.freq_base_swa"] = sliding.number("rope_theta", default=local)
    if config.has("final_logit_softcapping"):
        keys["final_logit_softcapping"] = config.number("final_logit_softcapping")
    return keys


GEMMA = Family(
    architecture="gemma",
    classes=("GemmaForCausalLM",),
    keys=decoder,
    activations=_TANH,
    defaults=_BEFORE_3,
    norm_shift=1.0,
    has_head=False,
    space_prefix=False,
)
GEMMA2 = Family(
    architecture="gemma2",
    classes=("Gemma2ForCausalLM",),
    keys=gemma2_keys,
    layer=_SANDWICH,
    activations=_TANH,
    defaults={
        **_BEFORE_3,
        "query_pre_attn_scalar": 256,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "sliding_window": 4096,
    },
    norm_shift=1.0,
    has_head=False,
    space_prefix=False,
)
GEMMA3 = Family(
    architecture="gemma3",
    classes=("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
    keys=gemma3_keys,
    layer={**_SANDWICH, **HEAD_NORMS},
    vision=("vision_tower.", "multi_modal_projector."),
    activations=_TANH,
    defaults={
        "head_dim": 256,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "vocab_size": 262208,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 131072,
        "query_pre_attn_scalar": 256,
        "rope_theta": _THETA_3,
        "sliding_window": 4096,
        "tie_word_embeddings": True,
    },
    norm_shift=1.0,
    trims_vocabulary=True,
    space_prefix=False,
)
