"""What the plugin offers: a maker of models, and a hook for converters of other formats."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from corral import JSONObject, PluginError, Progress, Settings, StoredModel, hookimpl
from corral_modelfile.hookspecs import Converter, Hooks, ModelBuilder
from corral_modelfile.render import render
from corral_modelfile.request import CreateRequest

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Builder:
    """The `ModelBuilder` of this plugin.  `attach` gives it the kernel it works for."""

    def __init__(self) -> None:
        self._kernel: Kernel | None = None
        self._converters: Sequence[Converter] = ()

    def attach(self, kernel: "Kernel", converters: Sequence[Converter]) -> None:
        self._kernel, self._converters = kernel, converters

    async def create(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        """See `hookspecs.ModelBuilder.create`."""
        from corral_modelfile.build import Build
        from corral_modelfile.weights import Reader

        if self._kernel is None:
            raise PluginError("models are made while the kernel is live (`async with kernel.live()`)")
        build = Build(self._kernel, Reader(self._kernel, self._converters), request)
        async with aclosing(build.run()) as steps:
            async for step in steps:
                yield step

    def render(self, model: StoredModel, system: str | None = None, options: JSONObject | None = None) -> str:
        """See `hookspecs.ModelBuilder.render`."""
        return render(model, system, options)


class Plugin:
    """Reads and writes Modelfiles, and makes models of what they say."""

    class Config(Settings, frozen=True):
        """Nothing to set."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._builder = Builder()

    @hookimpl
    def corral_hookspecs(self) -> Iterable[type]:
        """`corral_model_builder` and `corral_model_converters`, for other plugins."""
        yield Hooks

    @hookimpl
    def corral_model_builder(self) -> ModelBuilder:
        """The maker of models."""
        return self._builder

    @hookimpl
    def corral_lifespan(self, kernel: "Kernel") -> AbstractAsyncContextManager[None]:
        """Collects the converters of all plugins."""
        return self._live(kernel)

    @asynccontextmanager
    async def _live(self, kernel: "Kernel") -> AsyncIterator[None]:
        converters = [converter for _, converter in kernel.plugins.offers("corral_model_converters")]
        kernel.plugins.require()
        self._builder.attach(kernel, converters)
        yield
