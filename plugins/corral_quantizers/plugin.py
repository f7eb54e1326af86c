"""What the plugin offers: a quantizer for every storage type, and one for whole files."""

from collections.abc import Iterable

from corral import Quantizer, Settings, hookimpl
from corral_quantizers.formats import FORMATS
from corral_quantizers.hookspecs import FileQuantizer, Hooks
from corral_quantizers.provider import BlockQuantizer, Machine


class Plugin:
    """Encodes weights in GGUF's block formats."""

    class Config(Settings, frozen=True):
        """`n_threads`: 0 uses every core of the process.  `compiled`: false runs plain numpy instead of Numba."""

        n_threads: int = 0
        compiled: bool = True

    def __init__(self, config: Config) -> None:
        self.config = config
        self._machine = Machine(config.n_threads, compiled=config.compiled)

    @hookimpl
    def corral_quantizers(self) -> Iterable[Quantizer]:
        """One for each storage type."""
        for kind in FORMATS.values():
            yield BlockQuantizer(kind, self._machine)

    @hookimpl
    def corral_hookspecs(self) -> Iterable[type]:
        """`corral_file_quantizer`, for whoever imports models."""
        yield Hooks

    @hookimpl
    def corral_file_quantizer(self) -> FileQuantizer:
        """The quantizer of whole files."""
        from corral_quantizers.file import GgufFileQuantizer

        return GgufFileQuantizer(self._machine)
