"""Rotary position embedding: base, dimensions and scaling → inverse frequencies and a magnitude.

Sources: Su et al. 2021 (RoPE); Peng et al. 2023 (YaRN); Ding et al. 2024 (LongRoPE).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from corral_engine.hyperparameters import RopeScaling

_MIN_RAMP = 0.001


@dataclass(frozen=True, slots=True)
class Frequencies:
    """`inv_freq[i]` radians a position for pair i; cos and sin are multiplied by `magnitude`."""

    inv_freq: tuple[float, ...]
    magnitude: float = 1.0


def frequencies(theta: float, n_dims: int, scaling: RopeScaling, factors: Sequence[float] = ()) -> Frequencies:
    """Apply one scaling.

    `factors` (n_dims/2) divide the frequencies: llama 3's `rope_freqs`, longrope's short or long ones.
    """
    plain = [theta ** (-2 * i / n_dims) for i in range(n_dims // 2)]
    if factors:
        plain = [frequency / factor for frequency, factor in zip(plain, factors, strict=True)]
    if scaling.kind == "yarn":
        return Frequencies(_yarn(plain, theta, n_dims, scaling), _yarn_magnitude(scaling) * scaling.attention_factor)
    scale = 1 / scaling.factor if scaling.kind == "linear" else 1.0
    magnitude = scaling.attention_factor if scaling.kind != "none" else 1.0
    return Frequencies(tuple(frequency * scale for frequency in plain), magnitude)


def _yarn_magnitude(scaling: RopeScaling) -> float:
    return 0.1 * math.log(scaling.factor) + 1 if scaling.factor > 1 and scaling.extrapolation else 1.0


def _yarn(plain: list[float], theta: float, n_dims: int, scaling: RopeScaling) -> tuple[float, ...]:
    """Slow pairs are interpolated, fast ones kept, with a ramp between."""

    def dimension(turns: float) -> float:
        return n_dims * math.log(scaling.original_context / (2 * math.pi * turns)) / (2 * math.log(theta))

    low = max(0, math.floor(dimension(scaling.beta_fast)))
    high = min(n_dims - 1, math.ceil(dimension(scaling.beta_slow)))
    result = []
    for i, frequency in enumerate(plain):
        ramp = 1 - min(1.0, max(0.0, (i - low) / max(_MIN_RAMP, high - low)))
        ramp *= scaling.extrapolation
        result.append(frequency / scaling.factor * (1 - ramp) + frequency * ramp)
    return tuple(result)


def longrope_magnitude(context: int, original: int) -> float:
    """sqrt(1 + ln(context / original) / ln(original)) beyond the original context, else 1."""
    return math.sqrt(1 + math.log(context / original) / math.log(original)) if context > original > 1 else 1.0
