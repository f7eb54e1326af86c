"""Whether this engine could run a model, from its header and tensor table: asked before the model is stored."""

from corral import CorralError, Weights
from corral_engine.build import build
from corral_engine.engine import CorralEngine
from corral_engine.hyperparameters import MissingKey, read_hyperparameters
from corral_engine.tensors import map_tensors, vector_reader


class FitnessCheck:
    """The engine's `corral_modelfile.ModelCheck`."""

    def __init__(self, engine: CorralEngine) -> None:
        self._engine = engine

    def check(self, weights: Weights, larger: Weights | None = None) -> str:
        """What would keep the model from running, "" when nothing would or another engine is to say.

        Raises FormatError for hyper-parameters that no model can have, Unsupported.  Nothing is read but small vectors
        and, for a draft, both vocabularies.
        """
        info = weights.info
        if larger is not None and self._engine.fits(larger.info) and "tokenizer.ggml.model" in larger.info.metadata:
            self._engine.require_draft(larger.vocab(), weights)
        if not self._engine.fits(info) or not info.tensors:
            return ""
        architecture = self._engine.architectures()[info.architecture]
        try:
            read_hyperparameters(info, architecture.norm)
        except MissingKey as err:
            return err.message
        try:
            map_tensors(build(architecture, info, vector_reader(weights), 0)[0], weights)
        except CorralError as err:
            return err.message
        return ""
