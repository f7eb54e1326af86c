"""Whether a vocabulary could be used, asked before a model is stored."""

from collections.abc import Mapping

from corral import CorralError, TokenizerKind, Weights


class VocabularyCheck:
    """A `corral_modelfile.ModelCheck` that builds the tokenizer."""

    def __init__(self, kinds: Mapping[str, TokenizerKind]) -> None:
        self._kinds = kinds

    def check(self, weights: Weights, larger: Weights | None = None) -> str:
        """What is wrong with the vocabulary; "" without one, or for a kind that another plugin builds."""
        if "tokenizer.ggml.model" not in weights.info.metadata:
            return ""
        vocab = weights.vocab()
        try:
            if kind := self._kinds.get(vocab.model):
                kind.build(vocab)
        except CorralError as err:
            return err.message
        return ""
