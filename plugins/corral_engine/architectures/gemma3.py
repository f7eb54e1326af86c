"""Gemma 3: head norms on queries and keys, five sliding layers to one full, their own rotation base.

Gemma Team 2025.  Full layers may be scaled linearly, sliding layers never.
"""

import math

from corral_engine.architecture import Architecture, inverse_root_of_head, root_of_width
from corral_engine.hyperparameters import Hyperparameters

_LAYERS_27B = 62


def attention_scale(hyper: Hyperparameters) -> float:
    """1 / sqrt(D); the 27B model alone uses E / H instead of D."""
    if hyper.n_layers == _LAYERS_27B:
        return 1 / math.sqrt(hyper.hidden_size / hyper.n_heads[0])
    return inverse_root_of_head(hyper)


GEMMA3 = Architecture(
    name="gemma3",
    skeleton="sandwich",
    rope="neox",
    qk_norm="head",
    activation="gelu",
    embedding_scale=root_of_width,
    attention_scale=attention_scale,
    window_period=6,
    window_rope_theta=10000.0,
)
