"""Many inputs in one step: each gets the vector it would get alone, whatever lies beside it in a tile of attention."""

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tiny_models

from corral import CorralError
from corral_engine.embedding import EmbedTask, Vector
from corral_engine.model import Model
from corral_engine.plugin import EngineConfig

LENGTHS = (1, 14, 1, 33, 2, 15, 1, 32, 40, 3, 16, 1, 7)
NUMBERS = random.Random(3)
INPUTS = [tuple(NUMBERS.randrange(tiny_models.V) for _ in range(n)) for n in LENGTHS]


def embedded(model: Model, inputs: Sequence[tuple[int, ...]]) -> tuple[Vector, ...]:
    results: list[tuple[Vector, ...] | CorralError] = []
    task = EmbedTask(inputs, results.append)
    while not model.embedder.step(task):
        pass
    assert isinstance(results[0], tuple)
    return results[0]


@pytest.mark.parametrize("kernels", ["native", "numpy"])
@pytest.mark.parametrize("most_rows", [512, 40])
def test_company_changes_no_bit(kernels: str, most_rows: int, open_model: Callable[..., Model]) -> None:
    config = EngineConfig(kernels=kernels, prefill_chunk=most_rows)  # type: ignore[arg-type]
    model = open_model("bert", config=config, kv_tokens=1024)
    together = embedded(model, INPUTS)
    assert together == tuple(vector for each in INPUTS for vector in embedded(model, [each]))


@pytest.mark.parametrize("storage", ["F32", "F16"])
def test_the_native_kernels_agree_with_numpy(storage: str, open_model: Callable[..., Model]) -> None:
    native, numpy = (
        np.array(embedded(open_model("bert", config=EngineConfig(kernels=kernels), storage=storage), INPUTS))  # type: ignore[arg-type]
        for kernels in ("native", "numpy")
    )
    cosines = (native * numpy).sum(axis=1) / np.linalg.norm(native, axis=1) / np.linalg.norm(numpy, axis=1)
    assert cosines.min() > 0.999999


def test_pages_are_given_back(open_model: Callable[..., Model]) -> None:
    model = open_model("bert", kv_tokens=128)
    free = model.pool.n_free
    assert len(embedded(model, INPUTS)) == len(INPUTS)
    assert model.pool.n_free == free
