"""Offers the engine, and the hooks through which others add architectures and constraints."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import chain
from typing import TYPE_CHECKING, Literal

from corral import Engine, ModelInfo, Settings, hookimpl
from corral_engine.engine import CorralEngine, Parts
from corral_engine.hookspecs import EngineHooks

if TYPE_CHECKING:
    from corral.kernel import Kernel
    from corral_cli.hookspecs import Check
    from corral_modelfile.hookspecs import ModelCheck


class EngineConfig(Settings, frozen=True):
    """0 and "" mean "decide from the machine and the model".  Counts in tokens, sizes in bytes."""

    n_threads: int = 0
    kernels: Literal["auto", "numpy", "native"] = "auto"
    kv_type_k: Literal["", "f32", "f16", "q8_0"] = ""
    kv_type_v: Literal["", "f32", "f16", "q8_0"] = ""
    kv_tokens: int = 0
    memory_bytes: int = 0
    prefill_chunk: int = 512
    step_s: float = 0.25  # a prompt chunk should not hold up running streams longer than this
    stall_s: float = 300.0  # a stream that nobody reads for so long is given up
    speculation: int = 8  # tokens guessed ahead at most; 0 switches prompt lookup off
    loop_tokens: int = 512  # an answer whose last so many tokens only go round in circles ends; 0: never


RANK = 4  # of the key `pooling_type`: the model scores pairs of texts


class Plugin:
    """See the package."""

    Config = EngineConfig

    def __init__(self, config: EngineConfig) -> None:
        self.engine = CorralEngine(config)

    @hookimpl
    def corral_hookspecs(self) -> Iterable[type]:
        return [EngineHooks]

    @hookimpl
    def corral_engines(self) -> Iterable[Engine]:
        return [self.engine]

    @hookimpl(optionalhook=True)
    def corral_checks(self) -> "Iterable[Check]":
        from corral_engine.checks import MachineCheck

        return [MachineCheck(self.engine.config)]

    @hookimpl(optionalhook=True)
    def corral_model_checks(self) -> "Iterable[ModelCheck]":
        """For `create`: a model that lies about itself is not made."""
        from corral_engine.fitness import FitnessCheck

        return [FitnessCheck(self.engine)]

    @hookimpl
    def corral_capabilities(self, info: ModelInfo) -> Iterable[str]:
        architecture = self.engine.architectures().get(info.architecture)
        if architecture is None or info.kind != "model":
            return []
        pooling = info.metadata.get(f"{info.architecture}.pooling_type")
        if pooling == RANK:
            return ["rerank"]
        if not architecture.head or pooling is not None:
            return ["embedding"]
        return ["completion"]

    @hookimpl
    def corral_lifespan(self, kernel: "Kernel") -> AbstractAsyncContextManager[None]:
        return self._live(kernel)

    @asynccontextmanager
    async def _live(self, kernel: "Kernel") -> AsyncIterator[None]:
        hook = kernel.plugins.manager.hook
        self.engine.parts = lambda: Parts(
            architectures=tuple(chain.from_iterable(hook.corral_engine_architectures())),
            compilers=tuple(chain.from_iterable(hook.corral_engine_constraints())),
            loaders=tuple(kernel.loaders.values()),
            tokenizers=tuple(kernel.tokenizers.values()),
        )
        yield
