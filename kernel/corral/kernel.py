"""The kernel: boot (find, configure, collect), live (lifespans and the model pool), down (in reverse)."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from corral import protocols
from corral.config import Config
from corral.errors import BadRequest, FormatError, ModelNotFound, Unsupported
from corral.plugins import Found, Plugins, discover
from corral.registry import Kind
from corral.types import ModelRef, Progress, StoredModel

if TYPE_CHECKING:
    from corral.pipeline import Pipeline
    from corral.pool import ModelPool


class Kernel:
    """One Corral in this process.  Everything it holds is frozen after boot, except what the pool loads."""

    pool: "ModelPool"
    pipeline: "Pipeline"

    def __init__(self, config: Config, found: Iterable[Found] | None = None) -> None:
        """Boot.  Raises nothing: `plugins.problems` lists what is wrong, and `live` refuses to go on with it."""
        self.config = config
        self.plugins = Plugins(config.plugins, discover() if found is None else found)
        self.loaders: Kind[protocols.Loader] = self._collect("loader", "corral_loaders")
        self.quantizers: Kind[protocols.Quantizer] = self._collect("quantizer", "corral_quantizers")
        self.tokenizers: Kind[protocols.TokenizerKind] = self._collect("tokenizer", "corral_tokenizers")
        self.templates: Kind[protocols.TemplateEngine] = self._collect("template engine", "corral_templates")
        self.engines: Kind[protocols.Engine] = self._collect("engine", "corral_engines")
        self.sources: Kind[protocols.Source] = self._collect("source", "corral_sources")
        self.stores: Kind[protocols.Store] = self._collect("store", "corral_stores")
        self.routes: Kind[protocols.Routes] = self._collect("dialect", "corral_routes")
        self.middlewares: Kind[protocols.Middleware] = self._collect("middleware", "corral_middlewares")
        self.interceptors: Kind[protocols.Interceptor] = self._collect("interceptor", "corral_interceptors")
        self.commands: Kind[protocols.Command] = self._collect("command", "corral_commands")

    def _collect(self, kind: str, hook: str) -> Kind[Any]:
        try:
            return Kind(kind, self.plugins.offers(hook), self.plugins.hint)
        except ValueError as err:
            self.plugins.problems.append(str(err))
            return Kind(kind)

    @property
    def store(self) -> protocols.Store:
        """The one store in use.  Raises Unsupported when its plugin is disabled."""
        return self.stores[self.config.kernel.store]

    def parse_ref(self, text: str) -> ModelRef:
        """A model name as typed → its full name.  Raises BadRequest("invalid model name")."""
        ref: ModelRef | None = self.plugins.manager.hook.corral_parse_ref(text=text.strip())
        if ref is None:
            raise BadRequest("invalid model name", code="invalid_name")
        return ref

    def find(self, text: str) -> StoredModel:
        """The stored model a user means.  Raises BadRequest (the name), ModelNotFound."""
        return self.store.get(self.store.resolve(self.parse_ref(text)))

    def open(self, model: StoredModel) -> protocols.Weights:
        """Map the model's weights; the caller closes them.  Raises Unsupported, FormatError, ModelNotFound."""
        if not model.weights:
            raise Unsupported(f'"{model.ref.name}" has no weights that Corral can run')
        path = model.weights[0]
        try:
            with path.open("rb") as file:
                head = file.read(64)
        except OSError as err:
            text = f"model '{model.ref.name}' not found: {path.name}: {err.strerror}; pull or create it again"
            raise (ModelNotFound if isinstance(err, FileNotFoundError) else FormatError)(text) from err
        for loader in self.loaders.values():
            if loader.sniff(head):
                return loader.open(path)
        raise Unsupported(f"no loader here reads {path.name} (there is {self.loaders.there_is})")

    def service(self, hook: str) -> Any:
        """The answer to a `firstresult` hook that a plugin publishes.  Raises Unsupported when nobody answers."""
        answer = getattr(self.plugins.manager.hook, hook, lambda: None)()
        if answer is None:
            word = hook.removeprefix("corral_").replace("_", " ")
            raise Unsupported(f"no {word} here{self.plugins.hint or ': is its plugin installed?'}")
        return answer

    async def pull(self, ref: ModelRef, *, insecure: bool = False) -> AsyncGenerator[Progress, None]:
        """Fetch a model from the source its name belongs to."""
        if ref.source not in self.sources:
            named = [f"; `corral pull {s.starter}` gets one" for s in self.sources.values() if hasattr(s, "starter")]
            missing = f"no source {ref.source!r} is enabled to pull from{self.sources.hint}{''.join(named)}"
            raise ModelNotFound(f"model '{ref.name}' not found, and {missing}")
        async with aclosing(self.sources[ref.source].pull(ref, self.store, insecure=insecure)) as updates:
            async for progress in updates:
                yield progress

    @asynccontextmanager
    async def live(self) -> AsyncIterator["Kernel"]:
        """Enter every lifespan, built-ins first; leave them in reverse, whatever happened.  Raises PluginError."""
        from corral.pipeline import Pipeline
        from corral.pool import ModelPool

        self.plugins.require()
        async with AsyncExitStack() as stack:
            self.pipeline, self.pool = Pipeline(self), ModelPool(self)
            stack.push_async_callback(self.pool.close)
            for _, lifespan in self.plugins.offers_of("corral_lifespan", kernel=self):
                await stack.enter_async_context(lifespan)
            yield self
