"""The fifteen hooks a plugin may answer.

Hooks are plain functions that return things; the async lives in the providers' methods.  The eleven registries are
called once at boot on the main thread, before anything is served; their order means nothing except for middlewares and
interceptors (first is outermost), and a name offered twice stops the boot.
"""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from corral import hookspec, protocols, types

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Hooks(Protocol):
    """The specification; see the module's docstring for when and where they are called."""

    @hookspec
    def corral_loaders(self) -> Iterable[protocols.Loader]:
        """Weight formats.  A file is opened by the one loader whose `sniff` accepts its first bytes."""

    @hookspec
    def corral_quantizers(self) -> Iterable[protocols.Quantizer]:
        """Storage types that weights can be encoded in, by name ("Q4_K")."""

    @hookspec
    def corral_tokenizers(self) -> Iterable[protocols.TokenizerKind]:
        """Tokenizer algorithms, by `Vocab.model`."""

    @hookspec
    def corral_templates(self) -> Iterable[protocols.TemplateEngine]:
        """Template languages: "go" for Modelfile templates, "jinja" for chat templates inside weight files."""

    @hookspec
    def corral_engines(self) -> Iterable[protocols.Engine]:
        """Engines.  The first, in order of boot, whose `fits` accepts a model runs it."""

    @hookspec
    def corral_sources(self) -> Iterable[protocols.Source]:
        """Places models can be pulled from, by `ModelRef.source`."""

    @hookspec
    def corral_stores(self) -> Iterable[protocols.Store]:
        """Stores; `[kernel] store` picks one by name."""

    @hookspec
    def corral_routes(self) -> Iterable[protocols.Routes]:
        """HTTP dialects.  Two routes with one method and path stop the boot."""

    @hookspec
    def corral_middlewares(self) -> Iterable[protocols.Middleware]:
        """Wrappers of every HTTP exchange, outermost first: `tryfirst` moves out, `trylast` in."""

    @hookspec
    def corral_interceptors(self) -> Iterable[protocols.Interceptor]:
        """Wrappers of every typed generation request, outermost first, whichever dialect asked."""

    @hookspec
    def corral_commands(self) -> Iterable[protocols.Command]:
        """Subcommands of `corral`."""

    @hookspec(firstresult=True)
    def corral_parse_ref(self, text: str) -> types.ModelRef | None:
        """Read a model name as a user types it: "llama3.2:1b", "hf.co/org/repo:Q4_K_M".

        Called per request on the event loop, so string work only.  None means "not mine".  Third parties are asked
        before built-ins; the registry syntax is `trylast` because it accepts almost anything.  Raises BadRequest.
        """

    @hookspec
    def corral_capabilities(self, info: protocols.ModelInfo) -> Iterable[str]:
        """What a model can do beyond its template: "completion", "embedding", "vision" …  The union of all answers.

        Called on the event loop for every model that is shown or loaded.
        """

    @hookspec
    def corral_lifespan(self, kernel: "Kernel") -> AbstractAsyncContextManager[None]:
        """What a plugin opens before serving (before its `yield`) and closes after, on the event loop.

        Built-ins are entered first and left last.  Whatever happens, what was entered is left.
        """

    @hookspec
    def corral_hookspecs(self) -> Iterable[type]:
        """Specifications of hooks that this plugin offers to other plugins.  Asked before any other hook."""
