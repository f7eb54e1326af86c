"""One matrix product on the native kernels, for the tests: seeded random blocks of any storage type, random rows.

Run as a program it writes the results of every case of the named types to a file, so that a test can force another
SIMD variant by its environment variable: `python products.py FILE.npz TYPE…`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from corral_engine.batching import NO_ADAPTERS, Feed, make_batch
from corral_engine.dequantize import block_layout, row_bytes
from corral_engine.kv_storage import KVStorage
from corral_engine.native.catalog import FORMATS
from corral_engine.native.executor import NativeExecutor
from corral_engine.program import Buffer, Embed, Linear, Program, SelectRows, Weight

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]

BLOCKS = [name for name, form in FORMATS.items() if form.weights > 1]
DECODED = (
    *("F64", "Q2_0", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "TQ1_0", "TQ2_0", "NVFP4"),
)  # types without kernels
COUNTS = (1, 2, 5, 9)  # of tokens: one, and ragged ends of tiles of four
ROWS = (1, 13, 40)  # ragged ends of groups of eight, and of chunks

# Where a block keeps its float16 scales, so that random blocks hold reasonable ones.
_HALVES = {
    "Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,),
    "TQ1_0": (52,), "TQ2_0": (64,),
    **dict.fromkeys(("Q2_0", "IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"), (0,)),
    **dict.fromkeys(("Q4_0", "Q5_0", "Q8_0", "IQ4_NL", "IQ4_XS"), (0,)),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2)),
}  # fmt: skip


def random_weights(storage: str, n_rows: int, columns: int) -> Bytes:
    """Blocks in which every bit is random but those of the scales, which lie within ±0.1."""
    rng = np.random.default_rng([n_rows, columns, *storage.encode()])
    weights, size = block_layout(storage)
    if weights == 1:
        x = rng.standard_normal((n_rows, columns), np.float32)
        if storage == "F64":
            return x.astype(np.float64).view(np.uint8).reshape(-1)
        kind = gguf.GGMLQuantizationType[storage]
        return gguf.quants.quantize(x, kind).view(np.uint8).reshape(-1)
    data = rng.integers(0, 256, (n_rows * columns // weights, size), dtype=np.uint8)
    if storage == "Q8_0":
        data[data == 128] = 127  # the code -128, which no quantizer writes, counts as -127
    for at in _HALVES.get(storage, ()):
        halves = rng.uniform(-0.1, 0.1, len(data)).astype(np.float16)
        data[:, at : at + 2] = halves[:, None].view(np.uint8)
    if storage == "IQ1_M":
        data[:, 55] = data[:, 55] & 0x0F | 0x20  # the highest four bits of its scattered scale
    if storage == "MXFP4":
        data[:, 0] = rng.integers(110, 130, len(data))
    return data.reshape(-1)


def random_rows(count: int, columns: int) -> Array:
    """Activations with a few large ones, as models have, and a row of zeros."""
    rng = np.random.default_rng([count, columns])
    x = rng.standard_normal((count, columns), np.float32)
    x[:, ::37] *= 20
    x[count // 2] *= count == 1
    return x


def product(storage: str, data: Bytes, x: Array, n_rows: int, n_threads: int = 2) -> Array:
    """x (T, K) times the weights → (T, n_rows)."""
    with_weights = Products(storage, data, x, n_rows, n_threads)
    try:
        return with_weights.run(range(len(x)))
    finally:
        with_weights.close()


class Products:
    """Rows of `x` times one tensor of weights, as a program of one product.  The token ids are the rows of x."""

    def __init__(self, storage: str, data: Bytes, x: Array, n_rows: int, n_threads: int = 2) -> None:
        columns = x.shape[1]
        assert data.nbytes == n_rows * row_bytes(storage, columns)
        table, weight = Weight("x", "F32", x.shape), Weight("w", storage, (n_rows, columns))
        source, out, selected = Buffer("x", columns), Buffer("y", n_rows), Buffer("selected", n_rows)
        ops = (Embed(table, source), Linear(weight, source, out), SelectRows(out, selected))
        program = Program(ops, selected, selected, (), len(x), columns)
        tensors = {"x": np.ascontiguousarray(x).view(np.uint8).reshape(-1), "w": data}
        self.executor = NativeExecutor(program, tensors, KVStorage((), 1, "f32", "f32"), n_threads)

    def run(self, rows: Sequence[int]) -> Array:
        batch = make_batch([Feed(tuple(rows), 0, [0], len(rows), NO_ADAPTERS)])
        return self.executor.run(batch).copy()

    def close(self) -> None:
        self.executor.close()


def cases(storage: str) -> list[tuple[int, int, int]]:
    """(rows, columns, tokens)."""
    block = max(block_layout(storage)[0], 32)
    return [(n_rows, block * (1 + i), count) for i, n_rows in enumerate(ROWS) for count in COUNTS]


def results(storage: str) -> dict[str, Array]:
    """Every case of a type, by a name."""
    found = {}
    for n_rows, columns, count in cases(storage):
        x = random_rows(count, columns)
        data = random_weights(storage, n_rows, columns)
        found[f"{storage} {n_rows} {columns} {count}"] = product(storage, data, x, n_rows)
    return found


if __name__ == "__main__":
    together: dict[str, Array] = {}
    for name in sys.argv[2:]:
        together |= results(name)
    np.savez(Path(sys.argv[1]), **together)  # type: ignore[arg-type]
