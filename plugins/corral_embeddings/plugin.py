"""Offers the embedder to the dialects."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from corral import Settings, hookimpl
from corral_embeddings import Embedder, EmbedderHooks

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Plugin:
    """The plugin "embeddings"."""

    class Config(Settings, frozen=True):
        """No keys."""

    def __init__(self, config: Config) -> None:
        self._embedder: Embedder | None = None

    @hookimpl
    def corral_hookspecs(self) -> Iterable[type]:
        """The hook dialects call."""
        return [EmbedderHooks]

    @hookimpl
    def corral_lifespan(self, kernel: "Kernel") -> AbstractAsyncContextManager[None]:
        """The embedder needs the live kernel's pool."""

        @asynccontextmanager
        async def life() -> AsyncIterator[None]:
            from corral_embeddings.embedder import PoolEmbedder

            self._embedder = PoolEmbedder(kernel)
            yield
            self._embedder = None

        return life()

    @hookimpl
    def corral_embedder(self) -> Embedder | None:
        """None before the kernel is live."""
        return self._embedder
