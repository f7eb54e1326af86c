"""Adapters of a model being made: which files belong together, and whether they fit the base model."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from corral import BadRequest, FormatError, ModelInfo, TensorInfo
from corral_modelfile.weights import WeightFile

_WEIGHTS = (".safetensors", ".gguf", ".bin")
_EMBEDDING = "token_embd.weight"


def grouped(files: Mapping[str, str]) -> list[dict[str, str]]:
    """The files of each adapter: GGUF files stand alone, a folder with other weights is one adapter.

    Folders without weights belong to the nearest one above that has some.
    """
    groups: dict[str, dict[str, str]] = {}
    companions = {}
    for name, digest in files.items():
        lone = name.lower().endswith(".gguf")
        if lone or name.lower().endswith(_WEIGHTS):
            groups.setdefault(name if lone else str(PurePosixPath(name).parent), {})[name] = digest
        else:
            companions[name] = digest
    if len(groups) < 2:
        return [dict(files)]
    for name, digest in companions.items():
        home = next((str(folder) for folder in PurePosixPath(name).parents if str(folder) in groups), None)
        if home is not None:
            groups[home][name] = digest
    return list(groups.values())


def check(file: WeightFile, base: ModelInfo) -> None:
    """Raises BadRequest, FormatError naming the file and the tensor when this is no adapter for `base`."""
    name, info = file.name, file.info
    if info.kind != "adapter":
        raise BadRequest(f"{name} is no adapter: it holds a {info.kind}")
    if info.architecture != base.architecture:
        raise BadRequest(f"{name} is an adapter for {info.architecture}, the base model is {base.architecture}")
    kind = info.metadata.get("adapter.type", "lora")
    if kind != "lora":
        raise BadRequest(f"{name} is an adapter of type {kind!r}: only lora can be applied")
    halves = {tensor.name: tensor for tensor in info.tensors}
    shapes = {tensor.name: tensor.shape for tensor in base.tensors}
    for tensor in info.tensors:
        target, _, half = tensor.name.rpartition(".lora_")
        if half not in ("a", "b"):
            if tensor.name in shapes:
                raise BadRequest(
                    f"{name}: it replaces the whole tensor {tensor.name}, which cannot be done beside its base: "
                    "merge the two, or leave that tensor out"
                )
            raise FormatError(f"{name}: tensor {tensor.name} is not a part of a LoRA pair")
        other = halves.get(f"{target}.lora_{'b' if half == 'a' else 'a'}")
        if other is None:
            raise FormatError(f"{name}: tensor {tensor.name} has no counterpart")
        if half == "a" and shapes:
            _check_pair(name, target, tensor, other, shapes.get(target))


def _check_pair(name: str, target: str, a: TensorInfo, b: TensorInfo, shape: tuple[int, ...] | None) -> None:
    """A (rank, in) and B (out, rank) for a base tensor (out, in); for the embedding A may be (vocab, rank)."""
    if shape is None:
        raise BadRequest(f"{name}: the base model has no tensor {target}")
    if len(a.shape) == len(b.shape) == len(shape) == 2:
        if a.shape[1] == shape[1] and b.shape[0] == shape[0] and a.shape[0] == b.shape[1]:
            return
        rows = a.shape[0] == shape[0] and b.shape[0] == shape[1] and a.shape[1] == b.shape[1]
        if target == _EMBEDDING and rows:
            return
    raise BadRequest(
        f"{name}: the adapter does not fit the base model: {target} is {_text(shape)}, "
        f"lora_a {_text(a.shape)}, lora_b {_text(b.shape)}"
    )


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
