"""Offers generation to the kernel's pipeline."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from corral import Generation, Settings, hookimpl
from corral_generation import GenerationHooks

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Plugin:
    """The plugin "generation"."""

    class Config(Settings, frozen=True):
        """`isolate_clients`: what was computed for one client's prompt is never used for another's."""

        isolate_clients: bool = False

    def __init__(self, config: Config) -> None:
        self._config = config
        self._generation: Generation | None = None

    @hookimpl
    def corral_hookspecs(self) -> Iterable[type]:
        """The hook the pipeline calls."""
        return [GenerationHooks]

    @hookimpl
    def corral_lifespan(self, kernel: "Kernel") -> AbstractAsyncContextManager[None]:
        """Options and templates are the live kernel's."""

        @asynccontextmanager
        async def life() -> AsyncIterator[None]:
            from corral_generation.generate import PromptGeneration

            self._generation = PromptGeneration(kernel, isolate_clients=self._config.isolate_clients)
            yield
            self._generation = None

        return life()

    @hookimpl
    def corral_generation(self) -> Generation | None:
        """None before the kernel is live."""
        return self._generation
