"""One plugin that offers a stand-in for everything the kernel needs, so that a test of one part needs no other part."""

import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from corral import (
    Engine,
    Loader,
    ModelInfo,
    ModelRef,
    Settings,
    Source,
    Store,
    TemplateEngine,
    TokenizerKind,
    hookimpl,
)
from corral.testing.bytes_tokenizer import BytesTokenizers
from corral.testing.fake_weights import FakeLoader
from corral.testing.memory_store import MemoryStore, plain_ref
from corral.testing.plain_templates import PlainTemplates
from corral.testing.scripted_engine import ScriptedEngine
from corral.testing.scripted_source import ScriptedSource

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Plugin:
    """The plugin "doubles".  `offer` names the kinds to stand in for; the default is all of them.

    `kernel.plugins.manager.get_plugin("doubles")` is this object: its `engine`, `store` and `source` are the test's.
    """

    class Config(Settings, frozen=True):
        """A test that brings the real thing leaves its kind out."""

        offer: tuple[str, ...] = ("loader", "tokenizer", "template", "engine", "source", "store")

    def __init__(self, config: Config) -> None:
        self.offer = config.offer
        self.engine = ScriptedEngine()
        self.source = ScriptedSource()
        self.store = MemoryStore()

    @hookimpl
    def corral_loaders(self) -> Iterable[Loader]:
        """The loader "fake"."""
        return [FakeLoader()] if "loader" in self.offer else []

    @hookimpl
    def corral_tokenizers(self) -> Iterable[TokenizerKind]:
        """The kind "bytes"."""
        return [BytesTokenizers()] if "tokenizer" in self.offer else []

    @hookimpl
    def corral_templates(self) -> Iterable[TemplateEngine]:
        """A stand-in for the language "go"."""
        return [PlainTemplates()] if "template" in self.offer else []

    @hookimpl
    def corral_engines(self) -> Iterable[Engine]:
        """The engine "scripted"."""
        return [self.engine] if "engine" in self.offer else []

    @hookimpl
    def corral_sources(self) -> Iterable[Source]:
        """A stand-in for the source "registry"."""
        return [self.source] if "source" in self.offer else []

    @hookimpl
    def corral_stores(self) -> Iterable[Store]:
        """The store "memory"."""
        return [self.store] if "store" in self.offer else []

    @hookimpl(trylast=True)
    def corral_parse_ref(self, text: str) -> ModelRef | None:
        """The registry syntax, roughly."""
        return plain_ref(text) if "store" in self.offer else None

    @hookimpl
    def corral_capabilities(self, info: ModelInfo) -> Iterable[str]:
        """What the fake file claims."""
        claimed: tuple[str, ...] = info.metadata.get("capabilities", ())
        return claimed

    @hookimpl
    def corral_lifespan(self, kernel: "Kernel") -> AbstractAsyncContextManager[None]:
        """Gives the store a folder, and removes it at the end."""
        return self._lifespan()

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="corral-doubles-") as folder:
            self.store.root = Path(folder)
            yield
