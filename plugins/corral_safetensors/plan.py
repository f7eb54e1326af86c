"""The tensors of the file to be written: where each comes from, and what is done to it on the way."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from corral import FormatError, TensorInfo
from corral_gguf.writer import TensorSource, tensor_size
from corral_safetensors.dtypes import Float32, Raw, encode
from corral_safetensors.family import EMBEDDING, Family, Keys
from corral_safetensors.naming import Names, stem_of
from corral_safetensors.rows import Plain, Rows
from corral_safetensors.shapes import expected_shape, expected_shapes, fits

CHUNK_BYTES = 16 << 20  # of float32 values held at once
FloatType = Literal["F32", "F16", "BF16"]
_KINDS: dict[str, FloatType] = {"F16": "F16", "BF16": "BF16", "F8_E4M3": "BF16", "F8_E5M2": "BF16"}
_ALWAYS_F32 = ("position_embd", "token_types")
Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor to write.  `heads` above 0: rows go from halves to pairs within each head; `shift` is added."""

    name: str
    kind: FloatType
    shape: tuple[int, ...]
    rows: Rows
    heads: int = 0
    shift: float = 0.0

    @property
    def info(self) -> TensorInfo:
        plain = TensorInfo(name=self.name, type=self.kind, shape=self.shape, size_bytes=0)
        return TensorInfo(name=self.name, type=self.kind, shape=self.shape, size_bytes=tensor_size(plain))

    def chunks(self) -> Iterator[memoryview]:
        """The bytes, some rows at a time."""
        n_rows = self.shape[0]
        per_row = 4 * int(np.prod(self.shape[1:], dtype=np.int64))
        unit = n_rows // self.heads if self.heads else 1
        step = max(1, CHUNK_BYTES // max(1, per_row * unit)) * unit
        for start in range(0, n_rows, step):
            part = self._part(start, min(start + step, n_rows))
            if self.heads:
                part = to_pairs(part, len(part) // unit)
            yield np.ascontiguousarray(part).view(np.uint8).reshape(-1).data

    def _part(self, start: int, stop: int) -> Raw:
        if isinstance(self.rows, Plain) and self.rows.dtype == self.kind and not self.shift:
            return self.rows.raw(start, stop)
        values: Float32 = self.rows.read(start, stop)
        return encode(values + np.float32(self.shift) if self.shift else values, self.kind)


def to_pairs(rows: Raw, heads: int) -> Raw:
    """Within each head, row i of the first half next to row i of the second: what NORM rotation turns together."""
    result: Raw = rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
    return result


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything of a model that is no metadata.  `made` are tensors that only the configuration holds."""

    outputs: Sequence[Output]
    made: Mapping[str, Float32] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(output.info.size_bytes for output in self.outputs)

    @property
    def file_type(self) -> FloatType:
        """The type of most weights."""
        sizes: dict[FloatType, int] = {}
        for output in self.outputs:
            if len(output.shape) > 1:
                sizes[output.kind] = sizes.get(output.kind, 0) + int(np.prod(output.shape, dtype=np.int64))
        return max(sizes, key=lambda kind: sizes[kind], default="F32")

    def sources(self, advance: Advance) -> list[TensorSource]:
        """What the writer takes; `advance` is called with the size of every chunk before it is written."""

        def told(output: Output) -> Iterator[memoryview]:
            for chunk in output.chunks():
                advance(chunk.nbytes)
                yield chunk

        made = [_made(name, values) for name, values in self.made.items()]
        return made + [TensorSource(output.info, lambda output=output: told(output)) for output in self.outputs]  # type: ignore[misc]


def _made(name: str, values: Float32) -> TensorSource:
    data = values.astype("<f4").tobytes()
    return TensorSource(TensorInfo(name=name, type="F32", shape=values.shape, size_bytes=len(data)), lambda: (data,))


def make_plan(
    family: Family, keys: Keys, weights: Mapping[str, Rows], float32: FloatType, *, tied: bool, n_tokens: int
) -> Plan:
    """Name, check and order all tensors.

    `float32` is what F32 weights become; `tied` drops a head that only repeats the embedding.
    Raises FormatError naming file and tensor: one without a place, of a wrong shape, missing, or there twice.
    """
    names, shapes = Names(family, keys["block_count"]), expected_shapes(family, keys)
    outputs: dict[str, Output] = {}
    for rows in weights.values():
        try:
            name = names.tensor(rows.name)
        except FormatError as err:
            raise rows.stored.wrong(err.message) from err
        if not name or (tied and name == "output.weight"):
            continue
        if name in outputs:
            raise rows.stored.wrong(f"it becomes {name}, as does {outputs[name].rows.name}")
        outputs[name] = _output(family, keys, name, rows, shapes, float32, n_tokens)
    _check_complete(family, outputs, keys["block_count"])
    return Plan(sorted(outputs.values(), key=_order))


def _output(
    family: Family,
    keys: Keys,
    name: str,
    rows: Rows,
    shapes: dict[str, tuple[int, ...]],
    float32: FloatType,
    n_tokens: int,
) -> Output:
    shape, stem = rows.shape, stem_of(name)
    wanted = expected_shape(shapes, name, keys["embedding_length"])
    if not fits(shape, wanted) or 0 in shape:
        raise rows.stored.wrong(f"shape {list(shape)}, expected {[size if size >= 0 else 'any' for size in wanted]}")
    if stem in (EMBEDDING, "output") and n_tokens:
        if shape[0] < n_tokens:
            raise rows.stored.wrong(f"{shape[0]} rows for a vocabulary of {n_tokens} tokens")
        if family.trims_vocabulary:
            shape = (n_tokens, *shape[1:])
    is_norm = stem.endswith("_norm")
    kind: FloatType = "F32"
    if len(shape) > 1 and name.endswith(".weight") and stem not in _ALWAYS_F32:
        kind = _KINDS.get(rows.dtype, float32)
    heads = int(keys[family.permuted[stem]]) if stem in family.permuted else 0
    if heads and shape[0] % (2 * heads):
        raise rows.stored.wrong(f"{shape[0]} rows cannot be halved for {heads} heads")
    return Output(name, kind, shape, rows, heads, family.norm_shift if is_norm else 0.0)


def _check_complete(family: Family, outputs: Mapping[str, Output], n_layers: int) -> None:
    """Every block has the tensors of the first, and the first has all weights of the family."""
    found = sorted({output.rows.stored.file for output in outputs.values()})
    where = f"in {', '.join(found[:3])}{' …' if len(found) > 3 else ''}" if found else "in the checkpoint"
    if f"{EMBEDDING}.weight" not in outputs:
        raise FormatError(f"tensor {EMBEDDING}.weight is missing: there is no embedding {where}")
    of_first = [name.removeprefix("blk.0.") for name in outputs if name.startswith("blk.0.")]
    of_first += [f"{stem}.weight" for stem in family.layer.values()]
    for layer in range(n_layers):
        for part in of_first:
            if f"blk.{layer}.{part}" not in outputs:
                raise FormatError(f"tensor blk.{layer}.{part} is missing {where}")
    for stem in family.top.values():
        if stem != "output" and f"{stem}.weight" not in outputs:
            raise FormatError(f"tensor {stem}.weight is missing {where}")


def _order(output: Output) -> tuple[int, int, str]:
    """The embedding first, then the blocks by number, then the rest."""
    parts = output.name.split(".")
    if parts[0] == "blk":
        return 1, int(parts[1]), output.name
    return (0 if parts[0] in (EMBEDDING, "position_embd", "token_types", "token_embd_norm") else 2), 0, output.name


def file_keys(family: Family, keys: Keys) -> dict[str, Any]:
    """Hyper-parameters with the architecture's prefix."""
    return {f"{family.architecture}.{key}": value for key, value in keys.items()}
