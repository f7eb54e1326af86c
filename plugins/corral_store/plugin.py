"""What the plugin offers: the store "ollama", the registry's name syntax, and the store's opening at start."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from corral import Command, ConfigError, CorralError, ModelRef, Settings, Store, Unsupported, hookimpl
from corral_store import names
from corral_store.commands import Export, Import, Prune
from corral_store.store import OllamaStore

if TYPE_CHECKING:
    from corral.kernel import Kernel
    from corral_cli.hookspecs import Check


class Plugin:
    """Keeps models in Ollama's layout.  The folder is the kernel's setting `models`, else `~/.ollama/models`."""

    class Config(Settings, frozen=True):
        """Nothing to set."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store = OllamaStore()

    @hookimpl
    def corral_stores(self) -> Iterable[Store]:
        """The store "ollama"."""
        yield self.store

    @hookimpl
    def corral_commands(self) -> Iterable[Command]:
        """`corral export`, `corral import` and `corral prune`."""
        yield Export(self._opened)
        yield Import(self._opened)
        yield Prune(self._opened)

    def _opened(self, kernel: "Kernel") -> OllamaStore:
        """The store for a command that needs nothing else of the kernel."""
        settings = kernel.config.kernel
        if settings.store != self.store.name:
            raise Unsupported(f"this command works on the store {self.store.name!r}, in use is {settings.store!r}")
        self.store.open(root_of(settings.models), noprune=settings.noprune)
        return self.store

    @hookimpl(trylast=True)
    def corral_parse_ref(self, text: str) -> ModelRef | None:
        """The syntax of registries, which accepts almost anything: so it is asked last."""
        return names.parse(text)

    @hookimpl(optionalhook=True)
    def corral_checks(self) -> "Iterable[Check]":
        """For `corral doctor`."""
        from corral_store.checks import StoreCheck

        return [StoreCheck(self.store)]

    @hookimpl
    def corral_lifespan(self, kernel: "Kernel") -> AbstractAsyncContextManager[None]:
        """Open the store, then tidy it: old blob names, and unless `noprune` what nothing refers to."""
        return self._lifespan(kernel)

    @asynccontextmanager
    async def _lifespan(self, kernel: "Kernel") -> AsyncIterator[None]:
        settings = kernel.config.kernel
        if settings.store == self.store.name:
            self.store.open(root_of(settings.models), noprune=settings.noprune)
            try:
                await self.store.migrate()
                if settings.noprune:
                    await self.store.sweep(blobs=False)
                removed = 0 if settings.noprune else await self.store.prune()
            except CorralError as err:
                self.store.log.warning("store.read_only", error=err.message)
            else:
                self.store.log.info("store.opened", root=str(self.store.root), pruned=removed)
        yield


def root_of(setting: str) -> Path:
    """The folder that the kernel's setting `models` means.  Raises ConfigError."""
    try:
        return Path(setting).expanduser().absolute() if setting else Path.home() / ".ollama" / "models"
    except RuntimeError as err:
        raise ConfigError(f"no home folder ({err}): set `models`, or OLLAMA_MODELS, to the store's folder") from err
