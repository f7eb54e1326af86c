"""Logits of every architecture equal those of Hugging Face transformers (float32, eager)."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from numpy.typing import NDArray

from corral_engine.batching import NO_ADAPTERS, Feed, make_batch
from corral_engine.embedding import Pooled
from corral_engine.model import Model

FIXTURE = Path(__file__).parents[2] / "fixtures" / "reference_logits.npz"
TOLERANCE = 1e-4  # of the standard deviation of a row, after its mean is taken off


@pytest.fixture(scope="module")
def reference() -> dict[str, NDArray[np.float32]]:
    with np.load(FIXTURE) as arrays:
        return dict(arrays)


def run(model: Model, ids: Sequence[int], chunks: Sequence[int], *, hidden: bool = False) -> NDArray[np.float32]:
    """All rows, fed in chunks of these sizes; the pages are taken from the end, out of order."""
    pages = [model.pool.n_pages - 1 - i for i in range(-(-len(ids) // 32))]
    rows, start = [], 0
    for size in chunks:
        feed = Feed(ids[start : start + size], start, pages, size, NO_ADAPTERS)
        rows.append(model.executor.run(make_batch([feed]), hidden=hidden).copy())
        start += size
    return np.concatenate(rows)


def centred(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    return rows - rows.mean(axis=-1, keepdims=True, dtype=np.float64)


DECODERS = [name for name in tiny_models.MODELS if name != "bert"]


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize(("label", "ids"), [("short", tiny_models.SHORT), ("long", tiny_models.LONG)])
def test_logits_equal_the_reference(
    name: str,
    label: str,
    ids: tuple[int, ...],
    reference: dict[str, NDArray[np.float32]],
    open_model: Callable[..., Model],
) -> None:
    context = 32 if label == "short" else 128  # longrope chooses its factors by the context
    model = open_model(name, kv_tokens=context)
    expected = centred(reference[f"{name}.{label}"])
    found = centred(run(model, ids, [len(ids)])[-tiny_models.KEPT :])
    assert np.abs(found - expected).max() / expected.std() < TOLERANCE
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize("name", DECODERS)
def test_any_chunking_gives_the_same_bits(name: str, open_model: Callable[..., Model]) -> None:
    model = open_model(name, kv_tokens=128)
    ids = tiny_models.LONG
    whole = run(model, ids, [64])
    assert np.array_equal(whole, run(model, ids, [7, 1, 1, 31, 24]))
    assert np.array_equal(whole, run(model, ids, [1] * 64))


@pytest.mark.parametrize("label", ["short", "long"])
def test_an_encoder_equals_the_reference(
    label: str, reference: dict[str, NDArray[np.float32]], open_model: Callable[..., Model]
) -> None:
    ids = tiny_models.SHORT if label == "short" else tiny_models.LONG
    model = open_model("bert")
    pooled = Pooled("mean")
    pooled.add(run(model, ids, [len(ids)], hidden=True))
    found = pooled.vector()
    expected = reference[f"bert.{label}"]
    assert np.abs(found - expected).max() / expected.std() < TOLERANCE
