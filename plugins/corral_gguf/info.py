"""From metadata to a `ModelInfo`: what kind of file it is, how large, how quantized."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corral import FormatError, ModelInfo, TensorInfo
from corral_gguf.constants import FILE_TYPES, GUESSED_FILE_TYPE
from corral_gguf.reader import wrong_type

_KINDS = {"adapter": "adapter", "projector": "projector", "mmproj": "projector"}
_LARGEST_SIZE = (1 << 31) - 1
# Sizes that every architecture divides by or allocates with: (key suffix, smallest value that makes sense).
_SIZES = (
    ("block_count", 0),
    ("context_length", 1),
    ("embedding_length", 1),
    ("feed_forward_length", 0),
    ("attention.head_count", 0),
    ("attention.head_count_kv", 0),
    ("attention.key_length", 1),
    ("attention.value_length", 1),
    ("rope.dimension_count", 0),
    ("vocab_size", 0),
    ("expert_count", 0),
    ("expert_used_count", 0),
)
_FINITE = (
    "rope.freq_base",
    "rope.scaling.factor",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
)


class Keys:
    """Typed look-ups that name the file and the key when a value has the wrong type."""

    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        self.path = path
        self.metadata = metadata

    def text(self, key: str, default: str = "") -> str:
        value = self.metadata.get(key, default)
        if not isinstance(value, str):
            raise wrong_type(self.path, key, "a string", value)
        return value

    def integer(self, key: str, default: int = 0) -> int:
        value = self.metadata.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(self.path, key, "an integer", value)
        return value

    def flag(self, key: str) -> bool | None:
        value = self.metadata.get(key)
        if value is not None and not isinstance(value, bool):
            raise wrong_type(self.path, key, "a bool", value)
        return value

    def invalid(self, key: str, reason: str) -> FormatError:
        value = self.metadata.get(key)
        return FormatError(f"{self.path.name}: invalid hyper-parameter {key!r} = {value!r:.60}: {reason}")


def model_info(path: Path, metadata: Mapping[str, Any], tensors: tuple[TensorInfo, ...]) -> ModelInfo:
    """Raises FormatError when a key every model needs is missing, of the wrong type or impossible."""
    keys = Keys(path, metadata)
    kind = keys.text("general.type", "model")
    architecture = keys.text("general.architecture")
    if not architecture and kind != "imatrix":
        raise FormatError(f"{path.name}: not a valid GGUF: key 'general.architecture' is missing")
    _check_hyper_parameters(keys, architecture, tensors)
    template = keys.text("tokenizer.chat_template")
    return ModelInfo(
        architecture=architecture,
        metadata=metadata,
        tensors=tensors,
        kind=_KINDS.get(kind) or _kind_by_content(keys, architecture),
        name=keys.text("general.name"),
        parameter_count=sum(math.prod(tensor.shape) for tensor in tensors),
        quantization=_quantization(keys, tensors),
        context_length=keys.integer(f"{architecture}.context_length"),
        embedding_length=keys.integer(f"{architecture}.embedding_length"),
        chat_template=template or None,
    )


def _kind_by_content(keys: Keys, architecture: str) -> str:
    n_layers = keys.metadata.get(f"{architecture}.block_count", 0)
    if n_layers == 0 and keys.integer(f"{architecture}.vision.block_count") > 0:
        return "projector"
    if architecture == "clip" and (keys.flag("clip.has_vision_encoder") or keys.flag("clip.has_audio_encoder")):
        return "projector"
    return "model"


def _quantization(keys: Keys, tensors: tuple[TensorInfo, ...]) -> str:
    """The file type's name; without one, the storage type that holds the most weights."""
    if "general.file_type" in keys.metadata:
        named = FILE_TYPES.get(keys.integer("general.file_type") & ~GUESSED_FILE_TYPE)
        if named is not None:
            return named
    weights: Counter[str] = Counter()
    for tensor in tensors:
        weights[tensor.type] += math.prod(tensor.shape)
    return weights.most_common(1)[0][0] if weights else ""


def _check_hyper_parameters(keys: Keys, architecture: str, tensors: tuple[TensorInfo, ...]) -> None:
    for suffix, least in _SIZES:
        key = f"{architecture}.{suffix}"
        value = keys.metadata.get(key, least)
        per_layer = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        for size in per_layer:
            if isinstance(size, bool) or not isinstance(size, int):
                raise wrong_type(keys.path, key, "an integer", size)
            if not least <= size <= _LARGEST_SIZE:
                raise keys.invalid(key, f"must be {least} to {_LARGEST_SIZE}")
    for suffix in _FINITE:
        key = f"{architecture}.{suffix}"
        number = keys.metadata.get(key, 1.0)
        if isinstance(number, bool | str) or not isinstance(number, int | float):
            raise wrong_type(keys.path, key, "a number", number)
        if not math.isfinite(number) or number < 0:
            raise keys.invalid(key, "must be finite and not negative")
    heads = f"{architecture}.attention.head_count"
    # A model without attention declares no heads, so zero is wrong only beside attention weights.
    if keys.metadata.get(heads) == 0 and any(".attn_q" in tensor.name for tensor in tensors):
        raise keys.invalid(heads, "the file has attention tensors")
