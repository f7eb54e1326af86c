"""A model's hyper-parameters: GGUF metadata checked once and turned into a typed value.

Every key that is missing, of the wrong type or out of range is a FormatError that names it.
"""

import math
from collections.abc import Iterable
from typing import Literal

from corral import FormatError, ModelInfo, Unsupported, Value

Pooling = Literal["none", "mean", "cls", "last", "rank"]
POOLINGS: tuple[Pooling, ...] = ("none", "mean", "cls", "last", "rank")

MAX_LAYERS = 4096
MAX_HEADS = 1 << 16
MAX_WIDTH = 1 << 24
MAX_CONTEXT = 1 << 31


class RopeScaling(Value, frozen=True):
    """How rotary angles are stretched.  kind: "none", "linear", "yarn", "longrope"."""

    kind: str = "none"
    factor: float = 1.0
    original_context: int = 0
    attention_factor: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    extrapolation: float = 1.0


class Hyperparameters(Value, frozen=True):
    """Sizes and constants of one model.  Tuples have one entry a layer; `window` 0 means none."""

    n_layers: int
    hidden_size: int
    context_length: int
    n_heads: tuple[int, ...]
    n_kv_heads: tuple[int, ...]
    head_dim: int
    value_dim: int
    ffn_sizes: tuple[int, ...]
    norm_eps: float
    rope_theta: float
    rope_theta_window: float | None
    rope_dims: int
    rope_scaling: RopeScaling
    window: int
    window_layers: tuple[bool, ...] | None  # None: as the architecture says
    window_period: int  # 0: as the architecture says
    attention_scale: float  # 0: as the architecture says
    attention_softcap: float | None
    final_softcap: float | None
    embedding_scale: float
    residual_scale: float
    logit_scale: float
    causal: bool
    pooling: Pooling | None


class MissingKey(FormatError):
    """A key that every model has is not there."""


class Keys:
    """Reads the metadata of one architecture: `integer("block_count")` reads `llama.block_count`."""

    def __init__(self, info: ModelInfo) -> None:
        self.metadata, self.prefix = info.metadata, info.architecture

    def _raw(self, key: str) -> object:
        return self.metadata.get(f"{self.prefix}.{key}")

    def _fail(self, key: str, value: object, wanted: str) -> FormatError:
        shown = repr(value)
        return FormatError(f"invalid hyper-parameter {self.prefix}.{key} = {shown[:80]}: {wanted}")

    def _missing(self, key: str) -> MissingKey:
        return MissingKey(f"hyper-parameter {self.prefix}.{key} is missing")

    def integer(self, key: str, default: int | None = None, *, low: int = 0, high: int = MAX_WIDTH) -> int:
        """A whole number between `low` and `high`.  Without `default` the key is required."""
        value = self._raw(key)
        if value is None:
            if default is None:
                raise self._missing(key)
            return default
        return self._whole(key, value, low, high)

    def _whole(self, key: str, value: object, low: int, high: int) -> int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise self._fail(key, value, "expected a whole number")
        number = int(value.__index__())
        if not low <= number <= high:
            raise self._fail(key, value, f"expected {low} … {high}")
        return number

    def number(self, key: str, default: float | None = None, *, positive: bool = False) -> float:
        """A finite number, above zero if `positive`."""
        value = self._raw(key)
        if value is None:
            if default is None:
                raise self._missing(key)
            return default
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            raise self._fail(key, value, "expected a number")
        number = float(value)
        if not math.isfinite(number) or (positive and number <= 0):
            raise self._fail(key, value, "expected a finite number" + (" above 0" if positive else ""))
        return number

    def boolean(self, key: str, default: bool) -> bool:
        value = self._raw(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._fail(key, value, "expected true or false")
        return value

    def text(self, key: str, default: str) -> str:
        value = self._raw(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._fail(key, value, "expected text")
        return value

    def array(self, key: str) -> tuple[object, ...] | None:
        """The entries when the key holds an array, else None."""
        value = self._raw(key)
        if value is None or isinstance(value, str | bytes) or not isinstance(value, Iterable):
            return None
        return tuple(value)

    def per_layer(
        self, key: str, n_layers: int, default: tuple[int, ...] | None = None, *, high: int
    ) -> tuple[int, ...]:
        """A whole number for each layer; one number stands for all.  Every entry is at least 1."""
        entries = self.array(key)
        if entries is None:
            if default is not None and self._raw(key) is None:
                return default
            return (self.integer(key, low=1, high=high),) * n_layers
        if len(entries) < n_layers:
            raise self._fail(key, list(entries), f"expected one entry for each of {n_layers} layers")
        return tuple(self._whole(key, entry, 1, high) for entry in entries[:n_layers])


def read_hyperparameters(info: ModelInfo, norm: Literal["rms", "layer"]) -> Hyperparameters:
    """Raises FormatError naming the key, Unsupported for mixtures of experts."""
    keys = Keys(info)
    if keys.integer("expert_count", 0):
        raise Unsupported(f"{info.architecture} with a mixture of experts cannot be run by this engine")
    n_layers = keys.integer("block_count", low=1, high=MAX_LAYERS) - keys.integer("nextn_predict_layers", 0)
    if n_layers < 1:
        raise FormatError(f"invalid hyper-parameter {info.architecture}.nextn_predict_layers: it leaves no layer")
    hidden_size = keys.integer("embedding_length", low=1)
    n_heads = keys.per_layer("attention.head_count", n_layers, high=MAX_HEADS)
    n_kv_heads = keys.per_layer("attention.head_count_kv", n_layers, n_heads, high=MAX_HEADS)
    for heads, kv_heads in zip(n_heads, n_kv_heads, strict=True):
        if heads % kv_heads:
            raise FormatError(
                f"invalid hyper-parameter {info.architecture}.attention.head_count_kv = {kv_heads}: "
                f"it does not divide {heads} heads"
            )
    default_dim = hidden_size // n_heads[0] if hidden_size % n_heads[0] == 0 else None
    head_dim = keys.integer("attention.key_length", default_dim, low=1, high=MAX_HEADS)
    return Hyperparameters(
        n_layers=n_layers,
        hidden_size=hidden_size,
        context_length=keys.integer("context_length", low=1, high=MAX_CONTEXT),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        value_dim=keys.integer("attention.value_length", head_dim, low=1, high=MAX_HEADS),
        ffn_sizes=keys.per_layer("feed_forward_length", n_layers, high=MAX_WIDTH),
        norm_eps=keys.number("attention.layer_norm_rms_epsilon" if norm == "rms" else "attention.layer_norm_epsilon"),
        rope_theta=keys.number("rope.freq_base", 10000.0, positive=True),
        rope_theta_window=_optional_number(keys, "rope.freq_base_swa"),
        rope_dims=_rope_dims(keys, head_dim),
        rope_scaling=_rope_scaling(keys),
        window=keys.integer("attention.sliding_window", 0, high=MAX_CONTEXT),
        window_layers=_window_layers(keys, n_layers),
        window_period=_window_period(keys),
        attention_scale=keys.number("attention.scale", 0.0),
        attention_softcap=_optional_number(keys, "attn_logit_softcapping"),
        final_softcap=_optional_number(keys, "final_logit_softcapping"),
        embedding_scale=keys.number("embedding_scale", 0.0),
        residual_scale=keys.number("residual_scale", 0.0),
        logit_scale=keys.number("logit_scale", 0.0),
        causal=keys.boolean("attention.causal", True),
        pooling=_pooling(keys),
    )


def _optional_number(keys: Keys, key: str) -> float | None:
    value = keys.number(key, math.inf)
    return None if math.isinf(value) else value


def _rope_dims(keys: Keys, head_dim: int) -> int:
    dims = keys.integer("rope.dimension_count", head_dim, low=0, high=head_dim)
    if dims % 2:
        raise keys._fail("rope.dimension_count", dims, "expected an even number")
    return dims


def _rope_scaling(keys: Keys) -> RopeScaling:
    kind = keys.text("rope.scaling.type", "linear")
    if kind not in ("none", "linear", "yarn", "longrope"):
        raise keys._fail("rope.scaling.type", kind, "expected none, linear, yarn or longrope")
    factor = keys.number("rope.scaling.factor", 0.0) or keys.number("rope.scale_linear", 0.0) or 1.0
    if factor <= 0:
        raise keys._fail("rope.scaling.factor", factor, "expected a number above 0")
    context = keys.integer("context_length", low=1, high=MAX_CONTEXT)
    return RopeScaling(
        kind=kind,
        factor=1.0 if kind == "none" else factor,
        original_context=keys.integer("rope.scaling.original_context_length", context, low=1, high=MAX_CONTEXT),
        attention_factor=keys.number("rope.scaling.attn_factor", 1.0, positive=True),
        beta_fast=keys.number("rope.scaling.yarn_beta_fast", 32.0, positive=True),
        beta_slow=keys.number("rope.scaling.yarn_beta_slow", 1.0, positive=True),
        extrapolation=keys.number("rope.scaling.yarn_ext_factor", 1.0),
    )


def _window_layers(keys: Keys, n_layers: int) -> tuple[bool, ...] | None:
    entries = keys.array("attention.sliding_window_pattern")
    if entries is None:
        return None
    if len(entries) < n_layers:
        raise keys._fail("attention.sliding_window_pattern", list(entries), f"expected {n_layers} entries")
    return tuple(bool(entry) for entry in entries[:n_layers])


def _window_period(keys: Keys) -> int:
    if keys.array("attention.sliding_window_pattern") is not None:
        return 0
    return keys.integer("attention.sliding_window_pattern", 0, high=MAX_LAYERS)


def _pooling(keys: Keys) -> Pooling | None:
    number = keys.integer("pooling_type", -1, low=-1, high=len(POOLINGS) - 1)
    return POOLINGS[number] if number >= 0 else None
