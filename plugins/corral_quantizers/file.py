"""Quantizing a whole file: planning it, then streaming it tensor by tensor, chunk by chunk."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corral import CorralError, FormatError, ModelInfo, Progress, TensorInfo, Weights
from corral_quantizers.file_types import FILE_TYPES, parse_file_type
from corral_quantizers.formats import FORMATS
from corral_quantizers.hookspecs import PlannedTensor, QuantizationPlan, QuantizationStopped, QuantizedFile
from corral_quantizers.mixes import choose
from corral_quantizers.provider import Machine
from corral_quantizers.sources import TensorReader
from corral_quantizers.threads import in_order, thread_pool

if TYPE_CHECKING:
    from corral_quantizers.reference import Codes

QUANTIZATION_VERSION = 2  # of the block layouts, as GGUF counts them
DEFAULT_ALIGNMENT = 32
COPY_BYTES = 1 << 22
_PLAIN = frozenset({"F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64"})


def dry_run(info: ModelInfo, file_type: str, *, pure: bool = False) -> QuantizationPlan:
    """What `quantize_file` would write.  Raises BadRequest for an unknown file type."""
    chosen = choose(info, file_type, pure=pure)
    tensors = tuple(
        PlannedTensor(source=tensor, type=chosen[tensor.name], size_bytes=_size(tensor, chosen[tensor.name]))
        for tensor in info.tensors
    )
    name = parse_file_type(file_type).name
    alignment = info.metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    parts = [_header_bytes(_Metadata(info.metadata, name), info.tensors), *(tensor.size_bytes for tensor in tensors)]
    return QuantizationPlan(
        file_type=name,
        tensors=tensors,
        tensor_bytes=sum(tensor.size_bytes for tensor in tensors),
        file_bytes=sum(-(-part // alignment) * alignment for part in parts),
        requantizes=any(_is_rounded_again(tensor) for tensor in tensors),
    )


class GgufFileQuantizer:
    """The `FileQuantizer` of this plugin."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def file_types(self) -> Sequence[str]:
        return tuple(FILE_TYPES)

    def plan(self, info: ModelInfo, file_type: str, *, pure: bool = False) -> QuantizationPlan:
        """See `dry_run`."""
        return dry_run(info, file_type, pure=pure)

    def quantize(
        self,
        weights: Weights,
        path: Path,
        file_type: str,
        *,
        pure: bool = False,
        progress: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> QuantizedFile:
        """See `hookspecs.FileQuantizer.quantize`."""
        return quantize_file(
            weights, path, file_type, self._machine, pure=pure, progress=progress, should_stop=should_stop
        )


def quantize_file(
    weights: Weights,
    path: Path,
    file_type: str,
    machine: Machine,
    *,
    pure: bool = False,
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> QuantizedFile:
    """See `hookspecs.FileQuantizer.quantize`.  Memory: a few chunks a thread, never a whole tensor."""
    from corral_gguf.writer import TensorSource, write_gguf

    plan = dry_run(weights.info, file_type, pure=pure)
    status = f"quantizing {weights.info.quantization or 'unknown'} model to {plan.file_type}"
    written = 0

    def watched(chunks: Iterator[memoryview]) -> Iterator[memoryview]:
        nonlocal written
        for chunk in chunks:
            if should_stop is not None and should_stop():
                raise QuantizationStopped(f"quantizing to {path.name} was stopped")
            yield chunk
            written += chunk.nbytes
            if progress is not None:
                progress(Progress(status=status, total_bytes=plan.tensor_bytes, completed_bytes=written))

    def chunks_of(tensor: PlannedTensor) -> Iterator[memoryview]:
        return watched(_chunks(weights, tensor, machine, pool))

    try:
        with thread_pool(machine.n_threads) as pool:
            sources = [TensorSource(_target(tensor), partial(chunks_of, tensor)) for tensor in plan.tensors]
            size_bytes = write_gguf(path, _Metadata(weights.info.metadata, plan.file_type), sources)
    except OSError as err:
        raise CorralError(f"cannot write {path}: {err.strerror or err}") from err
    return QuantizedFile(path=path, file_type=plan.file_type, size_bytes=size_bytes, requantized=plan.requantizes)


class _Metadata(dict[str, Any]):
    """A file's metadata with the keys that quantizing changes; `types` are the value types the source file used."""

    def __init__(self, source: Mapping[str, Any], file_type: str) -> None:
        super().__init__({key: source[key] for key in source if not key.startswith("split.")})
        changed = {
            "general.file_type": FILE_TYPES[file_type].type_id,
            "general.quantization_version": QUANTIZATION_VERSION,
        }
        self.update(changed)
        types: Mapping[str, Any] = getattr(source, "types", {})
        self.types = {key: types[key] for key in self if key in types and key not in changed}


def _chunks(
    weights: Weights, tensor: PlannedTensor, machine: Machine, pool: ThreadPoolExecutor
) -> Iterator[memoryview]:
    """The bytes of a tensor in its new type, in order."""
    source, data = tensor.source, weights.tensor(tensor.source.name).data
    if tensor.type == source.type:
        for start in range(0, data.nbytes, COPY_BYTES):
            yield data[start : start + COPY_BYTES]
        return
    from corral_quantizers.codecs import encode

    backend = machine.backend
    reader = TensorReader(source, data, backend)
    block_size = FORMATS[tensor.type].block_size

    def work(start: int, stop: int) -> "Codes":
        return encode(tensor.type, reader.read(start, stop).reshape(-1, block_size), backend)

    try:
        for blocks in in_order(work, math.prod(source.shape), pool, machine.n_threads):
            yield blocks.data.cast("B")
    except FormatError as err:
        raise FormatError(f"tensor {source.name!r}: {err.message}") from err


def _target(tensor: PlannedTensor) -> TensorInfo:
    source = tensor.source
    return TensorInfo(name=source.name, type=tensor.type, shape=source.shape, size_bytes=tensor.size_bytes)


def _size(tensor: TensorInfo, kind: str) -> int:
    return tensor.size_bytes if kind == tensor.type else FORMATS[kind].size_bytes(math.prod(tensor.shape))


def _is_rounded_again(tensor: PlannedTensor) -> bool:
    return tensor.type != tensor.source.type and tensor.source.type not in _PLAIN


def _header_bytes(metadata: Mapping[str, Any], tensors: Sequence[TensorInfo]) -> int:
    """The bytes before the first tensor: GGUF's counts, metadata and tensor table."""
    size = 24 + sum(len(tensor.name.encode()) + 24 + 8 * len(tensor.shape) for tensor in tensors)
    return size + sum(12 + len(key.encode()) + _value_bytes(value) for key, value in metadata.items())


def _value_bytes(value: object) -> int:
    """The bytes of a metadata value: lazy arrays know theirs (`raw`), other numbers are taken to be 32 bits wide."""
    if isinstance(value, bool):
        return 1
    if isinstance(value, str):
        return 8 + len(value.encode("utf-8", "surrogateescape"))
    raw = value if isinstance(value, bytes) else getattr(value, "raw", None)
    if raw is not None:
        return 12 + len(raw)
    if isinstance(value, Sequence):
        return 12 + sum(map(_value_bytes, value))
    return 4
