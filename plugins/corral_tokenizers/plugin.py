"""What the plugin offers: one tokenizer kind for each algorithm a vocabulary may name."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from corral import Settings, TokenizerKind, hookimpl
from corral_tokenizers.kinds import kinds

if TYPE_CHECKING:
    from corral_modelfile.hookspecs import ModelCheck


class Plugin:
    """Tokenizers for GGUF vocabularies and for tokenizer.json."""

    class Config(Settings, frozen=True):
        """`llama_cpp_patterns`: split as llama.cpp does where it differs from the patterns a model was trained with.

        Only gpt-4o, tekken and two more pre-tokenizers differ, on cased letters outside ASCII and on combining marks.
        """

        llama_cpp_patterns: bool = False

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl
    def corral_tokenizers(self) -> Iterable[TokenizerKind]:
        """The kinds "gpt2", "gemma4", "llama", "bert", "t5" and "none"."""
        return kinds(llama_cpp_patterns=self.config.llama_cpp_patterns)

    @hookimpl(optionalhook=True)
    def corral_model_checks(self) -> "Iterable[ModelCheck]":
        """For `create`: a vocabulary that cannot be used is told at once."""
        from corral_tokenizers.fitness import VocabularyCheck

        return [VocabularyCheck({kind.name: kind for kind in self.corral_tokenizers()})]
