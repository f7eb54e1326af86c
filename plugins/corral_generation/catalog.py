"""What a stored model is and can do, without loading it: header, template, capabilities."""

import threading
from collections import OrderedDict

from corral import Description, ModelInfo, StoredModel, Template, Unsupported
from corral.kernel import Kernel

SENSES = {"vision", "audio", "image"}  # what a model's config or projector promises, an engine must be able to keep
_KEPT = 64  # descriptions kept: headers are small, tensors stay in the file


class Catalog:
    """Descriptions by manifest digest, least recently used first out."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._lock = threading.Lock()  # descriptions are made on worker threads
        self._kept: OrderedDict[str, Description] = OrderedDict()

    def describe(self, model: StoredModel) -> Description:
        """Read the header (blocking: some milliseconds), or remember it.  Raises FormatError, Unsupported."""
        with self._lock:
            if known := self._kept.get(model.digest):
                self._kept.move_to_end(model.digest)
                return known
        weights = self.kernel.open(model)
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
        template = self._template(model, info)
        claimed = (set(model.config.capabilities) | template.capabilities) - SENSES
        answers = self.kernel.plugins.manager.hook.corral_capabilities(info=info)
        return Description(model=model, info=info, template=template, capabilities=frozenset(claimed.union(*answers)))

    def _template(self, model: StoredModel, info: ModelInfo) -> Template:
        """Compile the template of the first engine that has one for this model.  Raises BadRequest, Unsupported."""
        preference = self.kernel.config.kernel.go_template
        for engine in self.kernel.templates.values():
            source = engine.source_of(model, info, preference)
            if source is not None:
                return engine.compile(source, model.config.parser)
        raise Unsupported(f'no template engine renders "{model.ref.name}" (there is {self.kernel.templates.there_is})')
