"""Adapters trained with PEFT (or MLX) → a GGUF LoRA file for one base model.

A runtime scales every pair of a GGUF adapter by alpha / rank.  Where training used another factor for a module (rsLoRA,
per-module alphas), the quotient is multiplied into B, so the file means the same.
Sources: Hu et al. 2021 (LoRA); Kalajdzievski 2023 (rsLoRA).
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corral import FormatError, ModelInfo, TensorInfo, Unsupported
from corral_gguf.writer import TensorSource, write_gguf
from corral_modelfile.hookspecs import Converted
from corral_safetensors.checkpoint import open_checkpoint
from corral_safetensors.converter import ADAPTER_CONFIG, CONFIG, FILE_TYPES, Pace, ShouldStop, Tell, documents_of
from corral_safetensors.documents import Documents, Fields
from corral_safetensors.dtypes import Float32, encode
from corral_safetensors.family import EMBEDDING, Family
from corral_safetensors.header import StoredTensor
from corral_safetensors.naming import Names, stem_of
from corral_safetensors.plan import FloatType, to_pairs
from corral_safetensors.rows import Plain

_PEFT = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_(embedding_)?([AB])(?:\.\w+)?(?:\.weight)?")
_MLX = re.compile(r"(.+)\.lora_([ab])")
_COPIED = ("attention.head_count", "attention.head_count_kv")
_REFUSED = {
    "use_dora": "DoRA adapters",
    "fan_in_fan_out": "adapters of transposed layers",
    "lora_bias": "adapters with biases of their own",
    "megatron_config": "Megatron adapters",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A and B of one module as training stores them: A (r, in), B (out, r)."""

    module: str
    a: StoredTensor
    b: StoredTensor
    is_mlx: bool
    is_lookup: bool  # the embedding, read by row

    def read(self) -> tuple[Float32, Float32]:
        """Raises FormatError when the two do not belong together."""
        a, b = (Plain(tensor).read(0, Plain(tensor).shape[0]) for tensor in (self.a, self.b))
        if a.ndim != 2 or b.ndim != 2:
            raise self.a.wrong(f"A {list(a.shape)} and B {list(b.shape)} must be matrices")
        if self.is_mlx:
            a, b = a.T, b.T
        if a.shape[0] != b.shape[1] or not a.shape[0]:
            raise self.a.wrong(f"A {list(a.shape)} and B {list(b.shape)} have no rank in common")
        return a, b


class Scaling:
    """What each module's product is multiplied by."""

    def __init__(self, config: Fields) -> None:
        mlx = config.child("lora_parameters")
        self._factor = mlx.number("scale") if mlx.has("scale") else None
        self.alpha = mlx.number("alpha") if mlx.has("alpha") else config.number("lora_alpha", "alpha", default=0.0)
        self._rank_stabilized = config.flag("use_rslora")
        patterns = config.child("alpha_pattern")
        self._alphas = [(end, patterns.number(key)) for key in patterns.values for end in _endings(config, key)]
        if self._factor is None and not self.alpha > 0:
            raise FormatError(f"{config.file}: 'lora_alpha' must be a number above 0")
        self.alpha = self.alpha or 1.0

    def of(self, module: str, rank: int) -> float:
        """PEFT's rule: a pattern is a module's path or an end of it, and the first that fits counts."""
        if self._factor is not None:
            return self._factor
        fitting = (alpha for end, alpha in self._alphas if f".{module}".endswith(f".{end}"))
        return next(fitting, self.alpha) / (math.sqrt(rank) if self._rank_stabilized else rank)


def _endings(config: Fields, pattern: str) -> list[str]:
    """A pattern as the ends of paths it stands for.  Patterns come from outside, so they are never run.

    Raises Unsupported for a regular expression of more than dots and alternatives.
    """
    endings = [part.removeprefix("^").removesuffix("$").replace("\\.", ".") for part in pattern.split("|")]
    if any(re.search(r"[][\\*+?(){}^$]", ending) for ending in endings):
        raise Unsupported(f"{config.file}: {pattern!r:.80} in alpha_pattern: only names of modules can be read")
    return endings


def convert_adapter(
    files: Mapping[str, Path],
    folder: Path,
    families: Sequence[Family],
    base: ModelInfo,
    tell: Tell,
    should_stop: ShouldStop,
) -> Converted:
    """Write `adapter.gguf` into `folder`.  Raises FormatError naming the tensor, Unsupported; Stopped."""
    documents = documents_of(files, ADAPTER_CONFIG)
    config = documents.object(ADAPTER_CONFIG)
    _check_config(config)
    fitting = [family for family in reversed(families) if family.architecture == base.architecture]
    if not fitting:
        raise Unsupported(f'unsupported architecture "{base.architecture}" of the base model')
    _check_classes(documents, config, fitting)
    scaling = Scaling(config)
    pairs = find_pairs(open_checkpoint(documents))
    total = sum(pair.a.size_bytes + pair.b.size_bytes for pair in pairs)
    pace = Pace("converting adapter", total, tell, should_stop)
    target = Target(fitting[0], base)
    sources: list[TensorSource] = []
    kind: FloatType = "F32"
    for pair in pairs:
        pace.advance(pair.a.size_bytes + pair.b.size_bytes)
        for name, values in target.tensors(pair, scaling):
            kind = "F16" if pair.a.dtype == "F16" and pair.b.dtype == "F16" else "F32"
            sources.append(_source(name, values, kind))
    if not sources:
        raise FormatError(f"{ADAPTER_CONFIG}: there are no LoRA tensors beside it")
    metadata: dict[str, Any] = {
        "general.architecture": base.architecture,
        "general.type": "adapter",
        "general.version": "v0.2",
        "general.file_type": FILE_TYPES[kind],
        "adapter.type": "lora",
        "adapter.lora.alpha": float(scaling.alpha),
        **{f"{base.architecture}.{key}": base.metadata[f"{base.architecture}.{key}"] for key in _COPIED
           if f"{base.architecture}.{key}" in base.metadata},
    }  # fmt: skip
    path = folder / "adapter.gguf"
    write_gguf(path, metadata, sources)
    return Converted(weights=(path,), name=f"the adapter of {ADAPTER_CONFIG}")


def _check_config(config: Fields) -> None:
    kind = config.text("peft_type", "fine_tune_type", default="LORA")
    if kind.upper() != "LORA":
        raise Unsupported(f"{config.file}: adapters of type {kind!r:.40} cannot be converted, only LoRA")
    for key, what in _REFUSED.items():
        if config.values.get(key):
            raise Unsupported(f"{config.file}: {what} cannot be converted ({key} is set)")


def _check_classes(documents: Documents, config: Fields, fitting: Sequence[Family]) -> None:
    """What the files say the adapter was trained for must become the base's architecture; most say nothing.

    Raises FormatError.
    """
    told = {config.file: config.child("auto_mapping").text("base_model_class")}
    told |= {CONFIG: str(next(iter(documents.object(CONFIG).array("architectures")), ""))}
    for file, name in told.items():
        if name and not any(family.has_class(name) for family in fitting):
            classes = [known for family in fitting for known in family.classes]
            raise FormatError(
                f"{file}: the adapter is for a {json.dumps(name[:80])}, the base model is {fitting[0].architecture} "
                f"({', '.join(classes[:1])}): use its own base, or take the class out of the file if it is wrong"
            )


def find_pairs(tensors: Mapping[str, StoredTensor]) -> list[Pair]:
    """The halves put together.  Raises FormatError for one without its counterpart, Unsupported for anything else."""
    halves: dict[tuple[str, bool, bool], dict[str, StoredTensor]] = {}
    for name, tensor in tensors.items():
        if mlx := _MLX.fullmatch(name):
            halves.setdefault((mlx[1], True, False), {})[mlx[2]] = tensor
        elif peft := _PEFT.fullmatch(name):
            halves.setdefault((peft[1], False, bool(peft[2])), {})[peft[3].lower()] = tensor
        elif ".base_layer." not in name:
            raise Unsupported(
                f"{tensor.file}: tensor {name!r:.100}: not a part of a LoRA pair; an adapter that replaces "
                "whole tensors cannot be run beside its base: merge the two"
            )
    pairs = []
    for (module, is_mlx, is_lookup), found in sorted(halves.items()):
        if len(found) != 2:
            raise next(iter(found.values())).wrong("it has no counterpart")
        pairs.append(Pair(module, found["a"], found["b"], is_mlx, is_lookup))
    return pairs


class Target:
    """The base model an adapter is for."""

    def __init__(self, family: Family, base: ModelInfo) -> None:
        self._family, self._base = family, base
        n_layers = base.metadata.get(f"{base.architecture}.block_count", 0)
        self._names = Names(family, n_layers)
        self._shapes = {tensor.name: tensor.shape for tensor in base.tensors}
        self._taken: dict[str, Pair] = {}

    def tensors(self, pair: Pair, scaling: Scaling) -> list[tuple[str, Float32]]:
        """The two tensors of the file for a pair.  Raises FormatError when the base has nothing it could change."""
        name = self._name(pair)
        a, b = pair.read()
        shape = self._shapes[name]
        wanted = (shape[1], shape[0]) if pair.is_lookup else shape
        if (b.shape[0], a.shape[1]) != wanted:
            raise pair.a.wrong(
                f"a change of shape {[b.shape[0], a.shape[1]]} does not fit {name} of the base model, which is "
                f"{list(wanted)}: the adapter is for another base"
            )
        rank = a.shape[0]
        stem = stem_of(name)
        if stem in self._family.permuted:
            key = f"{self._base.architecture}.{self._family.permuted[stem]}"
            heads = self._base.metadata.get(
                key, self._base.metadata.get(f"{self._base.architecture}.attention.head_count")
            )
            b = to_pairs(np.ascontiguousarray(b), int(heads))
        quotient = scaling.of(pair.module, rank) * rank / scaling.alpha
        if not math.isclose(quotient, 1.0, rel_tol=1e-9):
            b = b * np.float32(quotient)
        return [(f"{name}.lora_a", a.T if pair.is_lookup else a), (f"{name}.lora_b", b)]

    def _name(self, pair: Pair) -> str:
        """The base's tensor.  A head that is the embedding is changed there, as a product."""
        try:
            module = self._names.module(pair.module)
        except FormatError as err:
            raise pair.a.wrong(f"{err.message}: the adapter is for another base") from err
        name = f"{module}.weight"
        if module == "output" and name not in self._shapes:
            name = f"{EMBEDDING}.weight"
        if module == EMBEDDING and not pair.is_lookup:
            raise pair.a.wrong("a product with the embedding cannot be adapted, only its look-up")
        if len(self._shapes.get(name, ())) != 2:
            raise pair.a.wrong(f"the base model has no matrix {name or pair.module}: the adapter is for another base")
        if name in self._taken:
            other = self._taken[name].module
            raise pair.a.wrong(f"it changes {name}, as does {other}: a shared embedding cannot be adapted twice")
        self._taken[name] = pair
        return name


def _source(name: str, values: Float32, kind: FloatType) -> TensorSource:
    data = np.ascontiguousarray(encode(values, kind)).tobytes()
    info = TensorInfo(name=name, type=kind, shape=values.shape, size_bytes=len(data))
    return TensorSource(info, lambda: (data,))
