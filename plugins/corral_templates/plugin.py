"""What the plugin offers: the engines "go" and "jinja", and a hook for families of output parsers."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from corral import Settings, TemplateEngine, hookimpl
from corral_templates.faulty import FaultyEngine, Renderers
from corral_templates.go.engine import GoEngine
from corral_templates.jinja.engine import JinjaEngine, JinjaLimits
from corral_templates.output.families import BUILT_IN
from corral_templates.output.family import OutputFamily, OutputHooks

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Plugin:
    """Renders prompts and reads answers."""

    class Config(Settings, frozen=True):
        """Bounds on one Jinja rendering, which runs in a process of its own.

        `jinja_cpu_s`: processor time; `jinja_output_chars`: length of the prompt, and 16 times the conversation more;
        `jinja_memory_mb`: what the process may use, in MiB.
        """

        jinja_cpu_s: float = 0.5
        jinja_output_chars: int = 1 << 24
        jinja_memory_mb: int = 128

    def __init__(self, config: Config) -> None:
        self.config = config
        self._families: Sequence[OutputFamily] = BUILT_IN
        limits = JinjaLimits(config.jinja_cpu_s, config.jinja_output_chars, config.jinja_memory_mb)
        self._go = GoEngine(self.families)
        self._jinja = JinjaEngine(self.families, limits)

    def families(self) -> Sequence[OutputFamily]:
        """All output families: before serving begins only the built-in ones."""
        return self._families

    @hookimpl
    def corral_templates(self) -> Iterable[TemplateEngine]:
        """The two template languages, and what stands in where neither can render."""
        yield self._go
        yield self._jinja
        yield FaultyEngine(self._go)
        yield FaultyEngine(self._jinja)
        yield Renderers()

    @hookimpl
    def corral_hookspecs(self) -> Iterable[type]:
        """`corral_output_parsers`, for other plugins."""
        yield OutputHooks

    @hookimpl
    def corral_output_parsers(self) -> Iterable[OutputFamily]:
        """The built-in families."""
        return BUILT_IN

    @hookimpl
    def corral_lifespan(self, kernel: "Kernel") -> AbstractAsyncContextManager[None]:
        """Gathers the families of all plugins; ends the renderer's process."""
        return self._live(kernel)

    @asynccontextmanager
    async def _live(self, kernel: "Kernel") -> AsyncIterator[None]:
        offers = kernel.plugins.offers("corral_output_parsers")
        others = [family for _, family in offers if family not in BUILT_IN]
        self._families = (*others, *BUILT_IN)
        try:
            yield
        finally:
            self._jinja.close()
