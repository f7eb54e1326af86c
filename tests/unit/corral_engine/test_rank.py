"""Rerankers: the head over the first token's state."""

from collections.abc import Callable

import numpy as np
import pytest
import tiny_models

from conftest import embed
from corral import FormatError, ModelInfo, RunnerSettings, Weights
from corral_engine.embedding import Vector
from corral_engine.engine import CorralEngine
from corral_engine.model import Model
from corral_engine.plugin import EngineConfig, Plugin
from corral_engine.rank import RankHead

E = tiny_models.E


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def test_both_layers() -> None:
    dense, bias, out, out_bias, state = values(E, E), values(E), values(1, E), values(1), values(E)
    found = RankHead(dense, bias, out, out_bias)(state)
    expected = out @ np.tanh(dense @ state + bias) + out_bias
    assert np.allclose(found, expected)


@pytest.mark.parametrize("with_bias", [True, False])
def test_one_layer(with_bias: bool) -> None:
    dense, bias, state = values(1, E), values(1) if with_bias else None, values(E)
    assert np.allclose(RankHead(dense, bias, None, None)(state), np.tanh(dense @ state + (0 if bias is None else bias)))
    assert np.allclose(RankHead(None, None, dense, bias)(state), dense @ state + (0 if bias is None else bias))


def test_a_model_that_scores(open_model: Callable[..., Model]) -> None:
    model = open_model("bert")
    state = np.array(embedded(model, (5, 6, 7), "cls"), np.float32)
    model.embedder.head = RankHead(None, None, values(1, E), None)
    assert np.allclose(embedded(model, (5, 6, 7), "cls"), values(1, E) @ state, atol=1e-5)


def embedded(model: Model, tokens: tuple[int, ...], pooling: str) -> Vector:
    model.embedder.pooling = pooling  # type: ignore[assignment]
    (vector,) = embed(model, [tokens])
    return vector


def test_a_file_that_pools_by_rank_has_a_head(write: Callable[..., Weights]) -> None:
    engine = CorralEngine(EngineConfig(kernels="numpy"))
    with pytest.raises(FormatError, match=r"neither cls.weight nor cls.output.weight"):
        engine.load(write("bert", keys={"pooling_type": 4}), RunnerSettings())


@pytest.mark.parametrize(("pooling", "able"), [(4, ["rerank"]), (1, ["embedding"]), (None, ["embedding"])])
def test_what_a_model_can_do(pooling: int | None, able: list[str]) -> None:
    metadata = {} if pooling is None else {"bert.pooling_type": pooling}
    info = ModelInfo(architecture="bert", metadata=metadata, tensors=())
    assert list(Plugin(EngineConfig()).corral_capabilities(info)) == able
