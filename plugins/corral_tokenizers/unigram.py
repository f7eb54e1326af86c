"""SentencePiece's Unigram ("t5"): the segmentation with the best sum of scores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from corral import FormatError, Vocab
from corral_tokenizers.charsmap import CharacterMap
from corral_tokenizers.pieces import SPACE
from corral_tokenizers.roles import NORMAL, UNUSED, USER_DEFINED
from corral_tokenizers.rust import run
from corral_tokenizers.sentencepiece import pre_tokenize_words

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Pipeline

_NEVER = "\U0010fffe"  # a noncharacter begins the text of tokens that must not be found


class UnigramSegmenter:
    """Ids of plain text for a vocabulary of log-probabilities."""

    def __init__(self, vocab: Vocab, types: Sequence[int], unknown_id: int) -> None:
        self._characters = CharacterMap(vocab.precompiled_charsmap)
        self._merge_spaces = bool(vocab.remove_extra_whitespaces)
        self._space_prefix = bool(vocab.add_space_prefix)
        self._pipeline = _pipeline(vocab, types, unknown_id)

    def segment(self, text: str, *, after_special: bool) -> list[int]:
        """`after_special` does not matter: the prefix is part of the normalisation of every text."""
        normalized = self._characters.normalize(text)
        if self._merge_spaces:
            normalized = "".join(SPACE + word for word in normalized.split(" ") if word)
        else:
            content = normalized.lstrip(" ")
            leading = SPACE * (len(normalized) - len(content))
            prefix = SPACE if content and self._space_prefix else ""
            normalized = leading + prefix + content.replace(" ", SPACE)
        return run(self._pipeline, normalized.replace(_NEVER, "\ufffd"))


def _pipeline(vocab: Vocab, types: Sequence[int], unknown_id: int) -> "Pipeline":
    from tokenizers import Tokenizer as Pipeline
    from tokenizers.models import Unigram

    if len(vocab.scores) != len(vocab.tokens):
        raise FormatError(f"the vocabulary has {len(vocab.tokens)} tokens, but {len(vocab.scores)} scores")
    normal = [score for score, kind in zip(vocab.scores, types, strict=True) if kind == NORMAL]
    best = max(normal, default=0.0)
    pieces: list[tuple[str, float]] = []
    for token_id, (text, score, kind) in enumerate(zip(vocab.tokens, vocab.scores, types, strict=True)):
        if kind in (NORMAL, UNUSED) and text:
            pieces.append((text, score))
        elif kind == USER_DEFINED and text:
            pieces.append((text, 0.0))
        else:
            pieces.append((f"{_NEVER}{token_id}", best))
    pipeline = Pipeline(Unigram(pieces, unk_id=unknown_id, byte_fallback=False))
    pre_tokenize_words(pipeline, vocab.tokens)
    return pipeline
