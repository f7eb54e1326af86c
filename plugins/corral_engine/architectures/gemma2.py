"""Gemma 2: norms before and after each branch, soft caps, every other layer sliding.  Gemma Team 2024."""

import math

from corral_engine.architecture import Architecture, inverse_root_of_head, root_of_width
from corral_engine.hyperparameters import Hyperparameters

_LAYERS_27B = 46


def attention_scale(hyper: Hyperparameters) -> float:
    """1 / sqrt(D); the 27B model alone uses E / H instead of D."""
    if hyper.n_layers == _LAYERS_27B:
        return 1 / math.sqrt(hyper.hidden_size / hyper.n_heads[0])
    return inverse_root_of_head(hyper)


GEMMA2 = Architecture(
    name="gemma2",
    skeleton="sandwich",
    rope="neox",
    activation="gelu",
    embedding_scale=root_of_width,
    attention_scale=attention_scale,
    attention_softcap=50.0,
    final_softcap=30.0,
    window=4096,
    window_period=2,
)
