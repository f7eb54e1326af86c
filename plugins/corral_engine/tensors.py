"""The tensors that a program names, as arrays of bytes over the mapped file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields

import numpy as np

from corral import FormatError, Unsupported, Weights
from corral_engine.dequantize import dequantize, row_bytes
from corral_engine.program import Program, Tensors, Weight


def weights_of(program: Program) -> Iterator[Weight]:
    """Every weight the program reads, in order of first use."""
    seen: set[str] = set()
    for op in program.ops:
        for field in fields(op):
            value = getattr(op, field.name)
            if isinstance(value, Weight) and value.name not in seen:
                seen.add(value.name)
                yield value


def map_tensors(program: Program, weights: Weights) -> Tensors:
    """Views, nothing is read.  Raises FormatError when a tensor's bytes do not fit its shape, Unsupported."""
    tensors = {}
    for weight in weights_of(program):
        data = np.frombuffer(weights.tensor(weight.name).data, np.uint8)
        try:
            expected = row_bytes(weight.type, weight.shape[-1]) * int(np.prod(weight.shape[:-1], dtype=np.int64))
        except Unsupported as err:
            raise Unsupported(f"tensor {weight.name}: {err.message}") from err
        if data.nbytes != expected:
            raise FormatError(f"tensor {weight.name} has {data.nbytes} bytes, expected {expected} for {weight.type}")
        tensors[weight.name] = data
    return tensors


def vector_reader(weights: Weights) -> Callable[[str], Sequence[float]]:
    """What reads a small tensor of `weights` by name, as numbers."""

    def read(name: str) -> Sequence[float]:
        tensor = weights.tensor(name)
        data = np.frombuffer(tensor.data, np.uint8)
        values: list[float] = dequantize(data, tensor.info.type, tensor.info.shape[-1]).reshape(-1).tolist()
        return values

    return read
