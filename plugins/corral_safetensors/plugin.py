"""What the plugin offers: a converter of Hugging Face folders and PEFT adapters, and a hook for further families."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from corral import FormatError, ModelInfo, Progress, Settings, hookimpl
from corral_safetensors.hookspecs import Hooks

if TYPE_CHECKING:
    from corral.kernel import Kernel
    from corral_modelfile.hookspecs import Converted, Converter
    from corral_safetensors.family import Family

_PICKLES = (".bin", ".pth", ".pt", ".ckpt", ".pkl", ".pickle")


class SafetensorsConfig(Settings, frozen=True):
    """`float32`: what weights stored as F32 become in the GGUF file; F16 and BF16 stay what they are."""

    float32: Literal["F32", "F16", "BF16"] = "F32"


class SafetensorsConverter:
    """The `Converter`.  `families` gives what other plugins add."""

    name = "safetensors"

    def __init__(self, config: SafetensorsConfig) -> None:
        self._config = config
        self.families: Callable[[], Iterable[Family]] = tuple

    def fits(self, files: Mapping[str, Path]) -> bool:
        """Safetensors, and pickles too: only to say why those are refused."""
        return any(name.lower().endswith((".safetensors", *_PICKLES)) for name in files)

    def convert(
        self,
        files: Mapping[str, Path],
        folder: Path,
        *,
        base: ModelInfo | None,
        progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> "Converted":
        """See `corral_modelfile.hookspecs.Converter.convert`."""
        from corral_safetensors.adapter import convert_adapter
        from corral_safetensors.converter import convert_model
        from corral_safetensors.families import BUILT_IN

        _refuse_pickles(files)
        families = (*BUILT_IN, *self.families())
        if base is not None:
            return convert_adapter(files, folder, families, base, progress, should_stop)
        return convert_model(files, folder, families, self._config.float32, progress, should_stop)

    def describe(self, files: Mapping[str, Path], kernel: "Kernel") -> ModelInfo:
        """See `corral_modelfile.hookspecs.Describer.describe`."""
        from corral_safetensors.converter import describe_model
        from corral_safetensors.families import BUILT_IN

        _refuse_pickles(files)
        added = (family for _, family in kernel.plugins.offers("corral_safetensors_families"))
        return describe_model(files, (*BUILT_IN, *added), self._config.float32)


def _refuse_pickles(files: Mapping[str, Path]) -> None:
    if not any(name.lower().endswith(".safetensors") for name in files):
        pickle = next(name for name in sorted(files) if name.lower().endswith(_PICKLES))
        raise FormatError(f"{pickle}: pickles can run code and are never read: save the weights as safetensors")


class Plugin:
    """See the package."""

    Config = SafetensorsConfig

    def __init__(self, config: SafetensorsConfig) -> None:
        self.config = config
        self._converter = SafetensorsConverter(config)

    @hookimpl
    def corral_hookspecs(self) -> Iterable[type]:
        """`corral_safetensors_families`, for other plugins."""
        yield Hooks

    @hookimpl(optionalhook=True)
    def corral_model_converters(self) -> Iterable["Converter"]:
        """The converter of safetensors.  Without the plugin that makes models nobody asks."""
        yield self._converter

    @hookimpl
    def corral_lifespan(self, kernel: "Kernel") -> AbstractAsyncContextManager[None]:
        """Tells the converter where further families come from."""
        return self._live(kernel)

    @asynccontextmanager
    async def _live(self, kernel: "Kernel") -> AsyncIterator[None]:
        hook = kernel.plugins.manager.hook
        self._converter.families = lambda: chain.from_iterable(hook.corral_safetensors_families())
        yield
