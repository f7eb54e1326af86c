"""The converter: which files it takes, and a whole checkpoint from its files to one GGUF file."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from corral import CorralError, FormatError, JSONObject, ModelInfo, Progress, Unsupported
from corral_gguf.writer import write_gguf
from corral_modelfile.hookspecs import Converted
from corral_safetensors import defaults, encoders
from corral_safetensors.checkpoint import open_checkpoint
from corral_safetensors.documents import Documents, Fields
from corral_safetensors.family import Family, Keys
from corral_safetensors.naming import sees
from corral_safetensors.plan import FloatType, Plan, file_keys, make_plan
from corral_safetensors.quantized import gather
from corral_safetensors.rows import Rows
from corral_safetensors.special_tokens import special_keys
from corral_safetensors.vocabulary import read_vocabulary

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
FILE_TYPES = {"F32": 0, "F16": 1, "BF16": 32}
Tell = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


class Stopped(CorralError):
    """Raised when `should_stop` answered yes; nobody waits for the result."""


class Pace:
    """Counts the bytes written, tells how far they are, and ends the work when it is no longer wanted."""

    def __init__(self, status: str, total_bytes: int, tell: Tell, should_stop: ShouldStop) -> None:
        self._status, self._total, self._tell, self._should_stop = status, total_bytes, tell, should_stop
        self._done = 0

    def advance(self, n_bytes: int) -> None:
        if self._should_stop():
            raise Stopped("converting was stopped")
        self._done += n_bytes
        self._tell(Progress(status=self._status, total_bytes=self._total, completed_bytes=self._done))


def documents_of(files: Mapping[str, Path], config: str) -> Documents:
    """The files named from the folder of the topmost `config`.  Raises FormatError when there is none."""
    tops = sorted((PurePosixPath(name).parent for name in files if PurePosixPath(name).name == config), key=_depth)
    if not tops:
        raise FormatError(f"{config} is missing beside {', '.join(sorted(files))[:200]}")
    inside = {name: path for name, path in files.items() if PurePosixPath(name).is_relative_to(tops[0])}
    return Documents({PurePosixPath(name).relative_to(tops[0]).as_posix(): path for name, path in inside.items()})


def _depth(folder: PurePosixPath) -> int:
    return len(folder.parts)


def choose_family(families: Sequence[Family], config: Fields) -> Family:
    """The family of a config.json.  Raises Unsupported naming the class."""
    classes = config.array("architectures")
    for family in reversed(families):
        if any(name in family.classes for name in classes):
            return family
    if not classes:
        raise FormatError(f"{config.file}: 'architectures' is missing")
    raise Unsupported(f"unsupported architecture {json.dumps(str(classes[0])[:80])} in {config.file}")


def settle_config(family: Family, config: Fields) -> Fields:
    """The text model's configuration with the defaults of its class.  Raises Unsupported for another activation."""
    inner = config.child("text_config")
    settled = Fields(config.file, {**config.values, **inner.values}).over(family.defaults)
    activation = settled.text("hidden_activation", "hidden_act", default=family.activations[0])
    if activation not in family.activations:
        raise Unsupported(
            f"{config.file}: {family.architecture} with activation {activation!r:.40} cannot be converted"
        )
    return settled


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder of weights, checked: its family, its hyper-parameters, and the tensors they become."""

    documents: Documents
    family: Family
    config: Fields
    keys: Keys
    plan: Plan
    n_tokens: int
    n_vision: int  # tensors for images, which are left out

    @property
    def is_encoder(self) -> bool:
        return self.keys.get("attention.causal") is False

    def metadata(self) -> dict[str, Any]:
        """All keys of the file; the vocabulary is read for them.  Raises FormatError, Unsupported."""
        return {
            **_general(self.family, self.config, self.plan),
            **file_keys(self.family, self.keys),
            **_tokenizer_keys(self.documents, self.family, self.config, self.n_tokens),
            **defaults.template_keys(self.documents),
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self.n_vision:
            return ()
        return (f"{self.n_vision} tensors that look at images are left out: the model will read text only",)


def read_checkpoint(files: Mapping[str, Path], families: Sequence[Family], float32: FloatType) -> Checkpoint:
    """Everything but the vocabulary; of the weights only headers are read.  Raises FormatError, Unsupported."""
    documents = documents_of(files, CONFIG)
    raw = documents.object(CONFIG)
    family = choose_family(families, raw)
    config = settle_config(family, raw)
    keys = family.keys(config)
    keys |= encoders.pooling_keys(documents, is_encoder=keys.get("attention.causal") is False)
    weights = gather(open_checkpoint(documents), config)
    size = _vocabulary_size(family, config, weights)
    plan = make_plan(family, keys, weights, float32, tied=config.flag("tie_word_embeddings"), n_tokens=size)
    made = {f"{name}.weight": np.array(values, np.float32) for name, values in family.tensors(config).items()}
    n_vision = sum(sees(family, name) for name in weights)
    return Checkpoint(documents, family, config, keys, Plan(plan.outputs, made), size, n_vision)


def describe_model(files: Mapping[str, Path], families: Sequence[Family], float32: FloatType) -> ModelInfo:
    """What `convert_model` would write.  Raises FormatError, Unsupported."""
    checkpoint = read_checkpoint(files, families, float32)
    tensors = tuple(source.info for source in checkpoint.plan.sources(lambda _: None))
    return ModelInfo(
        architecture=checkpoint.family.architecture,
        metadata=checkpoint.metadata(),
        tensors=tensors,
        parameter_count=sum(math.prod(tensor.shape) for tensor in tensors),
        quantization=checkpoint.plan.file_type,
    )


def convert_model(
    files: Mapping[str, Path],
    folder: Path,
    families: Sequence[Family],
    float32: FloatType,
    tell: Tell,
    should_stop: ShouldStop,
) -> Converted:
    """Write `model.gguf` into `folder`.  Raises FormatError, Unsupported; Stopped."""
    checkpoint = read_checkpoint(files, families, float32)
    documents, plan = checkpoint.documents, checkpoint.plan
    metadata = checkpoint.metadata()
    pace = Pace("converting model", plan.size_bytes, tell, should_stop)
    path = folder / "model.gguf"
    write_gguf(path, metadata, plan.sources(pace.advance))
    parameters: JSONObject = defaults.parameters(documents)
    if checkpoint.is_encoder:
        parameters |= encoders.length_parameter(documents, checkpoint.keys["context_length"])
    name = f"the model of {CONFIG}"
    return Converted(weights=(path,), name=name, parameters=parameters, warnings=checkpoint.warnings)


def _vocabulary_size(family: Family, config: Fields, weights: Mapping[str, Rows]) -> int:
    """How many tokens there are: the rows of the embedding.  0 when there is none, which the plan complains about."""
    modules = [path for path, name in family.top.items() if name == "token_embd"]
    for name, rows in weights.items():
        if name.removesuffix(".weight").endswith(tuple(modules)) and len(rows.shape) == 2:
            n_rows = rows.shape[0]
            wanted = config.integer("vocab_size", low=1)
            if n_rows < wanted or (n_rows > wanted and not family.trims_vocabulary):
                raise rows.stored.wrong(f"{n_rows} rows, but vocab_size is {wanted}")
            return wanted
    return 0


def _general(family: Family, config: Fields, plan: Plan) -> dict[str, Any]:
    name = config.text("_name_or_path").replace("\\", "/").rstrip("/").rpartition("/")[2]
    return {
        "general.architecture": family.architecture,
        "general.type": "model",
        **({"general.name": name} if name else {}),
        "general.file_type": FILE_TYPES[plan.file_type],
        "general.quantization_version": 2,
    }


def _tokenizer_keys(documents: Documents, family: Family, config: Fields, size: int) -> dict[str, Any]:
    vocabulary = read_vocabulary(documents, family, size)
    keys = vocabulary.keys() | special_keys(documents, config, vocabulary)
    if any(stem == "token_types" for stem in family.top.values()):
        keys["tokenizer.ggml.token_type_count"] = config.integer("type_vocab_size", default=1, low=1)
    return keys
