"""The laws of every kind of provider, over all that is in the registry of a kernel as it boots, with the real model.

Providers of this project keep further cases in their own unit tests; here stands what an installation offers.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from corral import Engine, Quantizer, Runner, RunnerSettings, Store, Tokenizer, Weights
from corral.config import Config, KernelSettings
from corral.kernel import Kernel
from corral.testing.engine_contract import RunnerContract
from corral.testing.quantizer_contract import QuantizerContract
from corral.testing.store_contract import StoreContract
from corral.testing.tokenizer_contract import TokenizerContract

REGISTRY = Kernel(Config())


@pytest.fixture
def real_weights(smollm2_path: Path) -> Iterator[Weights]:
    """The real model, through whichever loader knows its first bytes."""
    head = smollm2_path.read_bytes()[:64]
    loader = next(loader for loader in REGISTRY.loaders.values() if loader.sniff(head))
    opened = loader.open(smollm2_path)
    yield opened
    opened.close()


class TestQuantizers(QuantizerContract):
    @pytest.fixture(params=list(REGISTRY.quantizers))
    def quantizer(self, request: pytest.FixtureRequest) -> Quantizer:
        return REGISTRY.quantizers[request.param]


class TestTokenizers(TokenizerContract):
    @pytest.fixture
    def tokenizer(self, real_weights: Weights) -> Tokenizer:
        vocab = real_weights.vocab()
        return REGISTRY.tokenizers[vocab.model].build(vocab)


class TestStores(StoreContract):
    @pytest.fixture(params=list(REGISTRY.stores))
    async def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
        settings = KernelSettings(store=request.param, models=str(tmp_path / "models"))
        async with Kernel(Config(kernel=settings)).live() as kernel:
            yield kernel.store


class TestEngines(RunnerContract):
    @pytest.fixture(params=list(REGISTRY.engines))
    def engine(self, request: pytest.FixtureRequest) -> Engine:
        return REGISTRY.engines[request.param]

    @pytest.fixture
    def weights(self, real_weights: Weights) -> Weights:
        return real_weights

    @pytest.fixture
    async def runner(self, engine: Engine, weights: Weights) -> AsyncIterator[Runner]:
        opened = await engine.open(weights, RunnerSettings(n_parallel=2, max_queue=2, kv_tokens=512))
        yield opened
        await opened.close()
