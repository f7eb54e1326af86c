"""What a transformer looks like, as data: `Architecture` describes a family, `corral_engine.build` compiles it.

A description says only in what a family differs; hyper-parameters come from the model's file.  Third parties add theirs
through the hook `corral_engine_architectures`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from corral_engine.hyperparameters import Hyperparameters, Pooling

Skeleton = Literal["pre", "sandwich", "post", "bert", "parallel"]


def no_scale(hyper: Hyperparameters) -> float:
    return 1.0


def root_of_width(hyper: Hyperparameters) -> float:
    """Gemma multiplies embeddings by sqrt(E)."""
    return math.sqrt(hyper.hidden_size)


def inverse_root_of_head(hyper: Hyperparameters) -> float:
    """1 / sqrt(D), the usual attention scale."""
    return 1 / math.sqrt(hyper.head_dim)


def every_layer(layer: int) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One family.  Keys that a file sets win over the numbers here; biases are used wherever the file has them.

    skeleton, with n1 n2 p1 p2 norms, A attention, F feed-forward:
        pre       h = x + A(n1 x); y = h + F(n2 h)
        sandwich  h = x + p1(A(n1 x)); y = h + p2(F(n2 h))
        post      h = x + p1(A x); y = h + p2(F h)
        bert      h = n1(x + A x); y = n2(h + F h)
        parallel  y = x + A(n1 x) + F(n2 x); n2 is n1 where the file has no ffn_norm
    """

    name: str
    norm: Literal["rms", "layer"] = "rms"
    skeleton: Skeleton = "pre"
    rope: Literal["norm", "neox", "none"] = "norm"
    rope_whole_head: bool = False  # a file whose rope covers only a part of the head is refused
    rope_layers: Callable[[int], bool] = every_layer
    qk_norm: Literal["none", "head", "row"] = "none"
    activation: Literal["silu", "gelu", "gelu_erf", "relu", "quick_gelu"] = "silu"
    ffn: Literal["gated", "plain", "fused"] = "gated"
    embedding_scale: Callable[[Hyperparameters], float] = no_scale
    attention_scale: Callable[[Hyperparameters], float] = inverse_root_of_head
    attention_softcap: float = 0.0
    final_softcap: float = 0.0
    logit_scale: Literal["multiply", "divide"] = "multiply"
    window: int = 0  # when the file has no key
    window_period: int = 0  # layer i is sliding if i % period < period - 1; 0: windows are ignored
    window_rope_theta: float | None = None  # sliding layers turn with this base and are never scaled
    causal: bool = True
    pooling: Pooling = "none"
    position_table: bool = False
    token_types: bool = False
    embedding_norm: bool = False
    output_norm: bool = True
    head: bool = True  # whether there are logits; an encoder has none
    shiftable: bool = True  # whether the context may be shifted while generating
    tensor_names: Mapping[str, str] = field(default_factory=dict)  # our name → the file's, where they differ
