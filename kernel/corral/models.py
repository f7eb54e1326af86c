"""What a stored model is and can do, without loading it: header, template, capabilities."""

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from corral.errors import FormatError, Unsupported
from corral.protocols import Loader, ModelInfo, Template, Weights
from corral.types import StoredModel, Value

if TYPE_CHECKING:
    from corral.kernel import Kernel

_KEPT = 64  # descriptions kept: headers are small, tensors stay in the file


class Description(Value, frozen=True):
    """A model's header, its compiled template and all it can do."""

    model: StoredModel
    info: ModelInfo
    template: Template
    capabilities: frozenset[str]


class Catalog:
    """Descriptions by manifest digest, least recently used first out."""

    def __init__(self, kernel: "Kernel") -> None:
        self.kernel = kernel
        self._lock = threading.Lock()  # descriptions are made on worker threads
        self._kept: OrderedDict[str, Description] = OrderedDict()

    def loader_for(self, model: StoredModel) -> Loader:
        """The loader that recognises the model's weights.  Raises Unsupported, FormatError."""
        if not model.weights:
            raise Unsupported(f'"{model.ref.name}" has no weights that Corral can run')
        path = model.weights[0]
        try:
            with path.open("rb") as file:
                head = file.read(64)
        except OSError as err:
            raise FormatError(f"{path.name}: {err.strerror}; pull or create {model.ref.name} again") from err
        for loader in self.kernel.loaders.values():
            if loader.sniff(head):
                return loader
        raise Unsupported(f"no loader here reads {path.name} (there is {self.kernel.loaders.there_is})")

    def open(self, model: StoredModel) -> Weights:
        """Map the model's weights; the caller closes them."""
        return self.loader_for(model).open(model.weights[0])

    def describe(self, model: StoredModel) -> Description:
        """Read the header (blocking: some milliseconds), or remember it.  Raises FormatError, Unsupported."""
        with self._lock:
            if known := self._kept.get(model.digest):
                self._kept.move_to_end(model.digest)
                return known
        weights = self.open(model)
        try:
            description = self._describe(model, weights.info)
        finally:
            weights.close()
        with self._lock:
            self._kept[model.digest] = description
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return description

    def _describe(self, model: StoredModel, info: ModelInfo) -> Description:
        template = self.template(model, info)
        capabilities = set(model.config.capabilities) | template.capabilities
        for answer in self.kernel.plugins.manager.hook.corral_capabilities(info=info):
            capabilities |= set(answer)
        if model.projectors:
            capabilities.add("vision")
        return Description(model=model, info=info, template=template, capabilities=frozenset(capabilities))

    def template(self, model: StoredModel, info: ModelInfo) -> Template:
        """Compile the template of the first engine that has one for this model.  Raises BadRequest, Unsupported."""
        preference = self.kernel.config.kernel.go_template
        for engine in self.kernel.templates.values():
            source = engine.source_of(model, info, preference)
            if source is not None:
                return engine.compile(source, model.config.parser)
        raise Unsupported(f'no template engine renders "{model.ref.name}" (there is {self.kernel.templates.there_is})')
