"""Converted checkpoints compute what transformers, peft and bitsandbytes compute."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from corral import Weights
from corral_engine.embedding import Pooled

Opened = Callable[..., Weights]
Logits = Callable[..., NDArray[np.float32]]
Reference = dict[str, NDArray[Any]]
TOLERANCE = 1e-4  # of the standard deviation, after each row's mean is taken off
DECODERS = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "nf4", "fp4", "int8"]


def centred(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    return rows - rows.mean(axis=-1, keepdims=True, dtype=np.float64)


def assert_equal(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    wanted = centred(expected)
    assert np.abs(centred(found)[-len(wanted) :] - wanted).max() / wanted.std() < TOLERANCE


@pytest.mark.parametrize("name", DECODERS)
def test_logits(name: str, opened: Opened, logits: Logits, reference: Reference) -> None:
    assert_equal(logits(opened(name), reference["ids"].tolist()), reference[name])


def test_states_of_an_encoder(opened: Opened, logits: Logits, reference: Reference) -> None:
    pooled = Pooled("mean")
    pooled.add(logits(opened("bert"), reference["ids"].tolist(), hidden=True))
    found = pooled.vector()
    assert np.abs(np.array(found) - reference["bert"]).max() / reference["bert"].std() < TOLERANCE


@pytest.mark.parametrize("name", ["lora", "rslora"])
def test_an_adapter_beside_its_base_equals_the_two_merged(
    name: str, opened: Opened, convert: Callable[..., Any], logits: Logits, reference: Reference
) -> None:
    base = opened("llama")
    adapter = convert(name, base=base.info).weights[0]
    ids = reference["ids"].tolist()
    assert_equal(logits(base, ids, adapter), reference[name])
    assert np.abs(logits(base, ids)[-8:] - reference[name]).max() > 0.1
