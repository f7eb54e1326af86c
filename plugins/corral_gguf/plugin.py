"""What the plugin offers: one loader."""

from collections.abc import Iterable

from corral import Loader, Settings, hookimpl
from corral_gguf.loader import GgufLoader


class Plugin:
    """Loads GGUF files of versions 1 to 3, whole or split."""

    class Config(Settings, frozen=True):
        """`mmap`: map files instead of reading them into memory."""

        mmap: bool = True

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl
    def corral_loaders(self) -> Iterable[Loader]:
        """The loader of `*.gguf`."""
        yield GgufLoader(use_mmap=self.config.mmap)
