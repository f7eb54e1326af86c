"""config.json → GGUF hyper-parameters, as far as families share them."""

import math

from corral import Unsupported
from corral_safetensors.documents import Fields
from corral_safetensors.family import Keys

_THETA = 10000.0


def decoder(config: Fields) -> Keys:
    """Sizes, head counts, the norm's epsilon and the rotation of a llama-like decoder."""
    n_heads, eps = config.integer("num_attention_heads", low=1), config.number("rms_norm_eps")
    if eps < 0:
        raise config.wrong("rms_norm_eps", "expected a number from 0")
    keys: Keys = {
        "vocab_size": config.integer("vocab_size", low=1),
        "context_length": config.integer("max_position_embeddings", low=1),
        "embedding_length": config.integer("hidden_size", low=1),
        "block_count": config.integer("num_hidden_layers", low=1),
        "feed_forward_length": config.integer("intermediate_size", low=1),
        "attention.head_count": n_heads,
        "attention.head_count_kv": config.integer("num_key_value_heads", default=n_heads, low=1),
        "attention.layer_norm_rms_epsilon": eps,
    }
    if config.has("head_dim"):
        keys["attention.key_length"] = keys["attention.value_length"] = config.integer("head_dim", low=1)
    return keys | rotation(config)


def head_dim(config: Fields) -> int:
    """The dimensions of a head.  Raises FormatError."""
    n_heads, width = config.integer("num_attention_heads", low=1), config.integer("hidden_size", low=1)
    if not config.has("head_dim") and width % n_heads:
        raise config.wrong("num_attention_heads", f"it does not divide a hidden_size of {width}")
    return config.integer("head_dim", default=width // n_heads, low=1)


def rope(config: Fields) -> Fields:
    """The parameters of the rotation (of full layers, where sliding ones have their own), wherever they stand."""
    parameters = config.child("rope_parameters", "rope_scaling")
    if parameters.has("full_attention", "sliding_attention"):
        parameters = parameters.child("full_attention")
    return parameters.over({"rope_theta": config.values["rope_theta"]} if config.has("rope_theta") else {})


def rope_kind(config: Fields) -> str:
    return rope(config).text("rope_type", "type", default="default").lower()


def rotation(config: Fields) -> Keys:
    """Base and scaling of the rotation.  Raises Unsupported for a scaling no GGUF runtime knows, FormatError."""
    parameters, kind = rope(config), rope_kind(config)
    theta = parameters.number("rope_theta", default=_THETA)
    if theta <= 0:
        raise parameters.wrong("rope_theta", "expected a number above 0")
    keys: Keys = {"rope.freq_base": theta}
    match kind:
        case "linear":
            keys |= {"rope.scaling.type": "linear", "rope.scaling.factor": parameters.number("factor")}
        case "yarn":
            keys |= _yarn(config, parameters)
        case "longrope" | "su":
            keys["rope.scaling.type"] = "longrope"
        case "default" | "llama3" | "dynamic":  # llama3 becomes a tensor; dynamic begins beyond the context
            pass
        case _:
            raise Unsupported(f"{parameters.file}: rope scaling {kind!r:.40} cannot be converted")
    return keys


def _yarn(config: Fields, parameters: Fields) -> Keys:
    factor = parameters.number("factor")
    context = config.integer("max_position_embeddings", low=1)
    keys: Keys = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": factor,
        "rope.scaling.original_context_length": parameters.integer("original_max_position_embeddings", default=context),
    }
    for theirs, ours in (("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")):
        if parameters.has(theirs):
            keys[f"rope.scaling.{ours}"] = parameters.number(theirs)
    if parameters.has("attention_factor"):
        keys["rope.scaling.attn_factor"] = parameters.number("attention_factor") / _magnitude(factor, 1.0)
    elif parameters.has("mscale") and parameters.has("mscale_all_dim"):
        wanted = _magnitude(factor, parameters.number("mscale")) / _magnitude(
            factor, parameters.number("mscale_all_dim")
        )
        keys["rope.scaling.attn_factor"] = wanted / _magnitude(factor, 1.0)
    return keys


def _magnitude(factor: float, mscale: float) -> float:
    """What YaRN multiplies queries and keys by."""
    return 0.1 * mscale * math.log(factor) + 1 if factor > 1 else 1.0


def llama3_factors(config: Fields) -> dict[str, list[float]]:
    """The tensor `rope_freqs`: what each frequency is divided by in Llama 3.1 and later."""
    if rope_kind(config) != "llama3":
        return {}
    parameters, n_dims = rope(config), head_dim(config)
    theta = parameters.number("rope_theta", default=_THETA)
    factor = parameters.number("factor", default=8.0)
    low = parameters.number("low_freq_factor", default=1.0)
    high = parameters.number("high_freq_factor", default=4.0)
    original = parameters.number("original_max_position_embeddings", default=8192)
    if not (theta > 0 and factor > 0 and 0 < low < high and original > 0):
        raise parameters.wrong("factor", "llama3 scaling needs numbers above 0, low_freq_factor the smaller")

    def divisor(pair: int) -> float:
        turns: float = original / (2 * math.pi * theta ** (2 * pair / n_dims))
        if turns > high:
            return 1.0
        if turns < low:
            return factor
        smooth = (turns - low) / (high - low)
        return 1 / ((1 - smooth) / factor + smooth)

    return {"rope_freqs": [divisor(pair) for pair in range(n_dims // 2)]}
