"""LoRA adapters: read from adapter files, checked against the base model, kept as float32 pairs.

Source: Hu et al. 2021; the GGUF form is the one llama.cpp's converters write (`<tensor>.lora_a`, `<tensor>.lora_b`).
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from corral import AdapterSpec, FormatError, Loader, ModelInfo, Tensor, Unsupported, Weights
from corral_engine.batching import NO_ADAPTERS
from corral_engine.dequantize import dequantize
from corral_engine.program import AdapterSet, Float32, LoraPair

_KEPT = 8  # adapter files, and combinations of them, kept in memory
_EMBEDDING = "token_embd.weight"

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class AdapterStore:
    """The adapters of one base model, read once."""

    def __init__(self, info: ModelInfo, loaders: Sequence[Loader]) -> None:
        self.info, self.loaders = info, loaders
        self._shapes = {tensor.name: tensor.shape for tensor in info.tensors}
        self._files: OrderedDict[str, dict[str, LoraPair]] = OrderedDict()
        self._sets: OrderedDict[tuple[AdapterSpec, ...], AdapterSet] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, specs: Sequence[AdapterSpec]) -> AdapterSet:
        """All adapters of one sequence; the same set for the same specs, as long as it is remembered.

        Raises FormatError naming file and tensor, Unsupported.
        """
        if not specs:
            return NO_ADAPTERS
        with self._lock:
            return _remembered(self._sets, tuple(specs), lambda: self._combine(specs))

    def _combine(self, specs: Sequence[AdapterSpec]) -> AdapterSet:
        pairs: dict[str, tuple[LoraPair, ...]] = {}
        for spec in specs:
            if not math.isfinite(spec.scale):
                raise FormatError(f"adapter {Path(spec.path).name}: its scale must be a finite number")
            for name, pair in self._file(spec.path).items():
                scaled = LoraPair(pair.a, pair.b, pair.scale * spec.scale)
                pairs[name] = (*pairs.get(name, ()), scaled)
        return AdapterSet(pairs)

    def _file(self, path: str) -> dict[str, LoraPair]:
        return _remembered(self._files, path, lambda: self._read(Path(path)))

    def _read(self, path: Path) -> dict[str, LoraPair]:
        weights = open_weights(path, self.loaders)
        try:
            return read_adapter(path.name, weights, self.info.architecture, self._shapes)
        finally:
            weights.close()


def _remembered(known: "OrderedDict[Key, Value]", key: Key, make: Callable[[], Value]) -> Value:
    """What stands under `key`, made if need be; the least recently used of more than `_KEPT` is forgotten."""
    if key not in known:
        known[key] = make()
        if len(known) > _KEPT:
            known.popitem(last=False)
    known.move_to_end(key)
    return known[key]


def open_weights(path: Path, loaders: Sequence[Loader]) -> Weights:
    """Open a file with the loader that recognises it.  Raises FormatError, Unsupported."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as err:
        raise FormatError(f"{path.name}: {err.strerror}") from err
    for loader in loaders:
        if loader.sniff(head):
            return loader.open(path)
    raise Unsupported(f"{path.name}: no loader here reads its format")


def _values(tensor: Tensor) -> Float32:
    rows = dequantize(np.frombuffer(tensor.data, np.uint8), tensor.info.type, tensor.info.shape[-1])
    return rows.reshape(tensor.info.shape)


def read_adapter(
    name: str, weights: Weights, architecture: str, shapes: "dict[str, tuple[int, ...]]"
) -> dict[str, LoraPair]:
    """A and B of every tensor; `scale` is alpha / r, or 1 when alpha is 0.  `name` is for messages.

    Raises FormatError; Unsupported for an adapter that is more than pairs: half applied it would be another model.
    """
    info = weights.info
    kind = info.metadata.get("adapter.type", "lora")
    if info.kind != "adapter" or kind != "lora":
        raise FormatError(f"{name} is no LoRA adapter (general.type {info.kind!r}, adapter.type {kind!r})")
    if info.architecture != architecture:
        raise FormatError(f"adapter {name} is for {info.architecture!r}, the model is {architecture!r}")
    alpha = info.metadata.get("adapter.lora.alpha", 0.0)
    if not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise FormatError(f"adapter {name}: adapter.lora.alpha must be a finite number")
    have = {tensor.name for tensor in info.tensors}
    pairs: dict[str, LoraPair] = {}
    for tensor in info.tensors:
        base, _, half = tensor.name.rpartition(".lora_")
        if half not in ("a", "b"):
            if tensor.name in shapes:
                raise Unsupported(
                    f"adapter {name}: it replaces the whole tensor {tensor.name}, which cannot be done beside "
                    "its base: merge the two, or leave that tensor out"
                )
            raise FormatError(f"adapter {name}: tensor {tensor.name} is not a part of a LoRA pair")
        if f"{base}.lora_{'b' if half == 'a' else 'a'}" not in have:
            raise FormatError(f"adapter {name}: {tensor.name} has no counterpart")
        if half == "b":
            continue
        a, b = _values(weights.tensor(f"{base}.lora_a")), _values(weights.tensor(f"{base}.lora_b"))
        pairs.update([_pair(name, base, a, b, float(alpha), shapes)])
    return pairs


def _pair(
    name: str, base: str, a: Float32, b: Float32, alpha: float, shapes: "dict[str, tuple[int, ...]]"
) -> tuple[str, LoraPair]:
    shape = shapes.get(base)
    if shape is None:
        raise FormatError(f"adapter {name}: the model has no tensor {base}")
    if a.ndim != 2 or b.ndim != 2:
        raise FormatError(f"adapter {name}: {base} has {a.ndim} and {b.ndim} dimensions, expected 2")
    key = base
    if base == _EMBEDDING and a.shape == (shape[0], b.shape[1]) and b.shape[0] == shape[1]:
        a, key = np.ascontiguousarray(a.T), f"{base}:rows"  # a row look-up instead of a product: (r, V) and (E, r)
    elif a.shape[1] != shape[1] or b.shape[0] != shape[0] or a.shape[0] != b.shape[1]:
        raise FormatError(f"adapter {name}: {base} has A {a.shape} and B {b.shape} for a tensor of {shape}")
    rank = b.shape[1]
    return key, LoraPair(np.ascontiguousarray(a), np.ascontiguousarray(b), alpha / rank if alpha else 1.0)
