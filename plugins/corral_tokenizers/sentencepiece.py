"""SentencePiece's BPE ("llama"): merge the pair whose concatenation is the token with the best score.

The `tokenizers` library ranks pairs, not results, so every way to split a token in two becomes a merge, ranked by the
token's score.  Characters that only occur inside longer tokens get ids beyond the vocabulary while merging and their
bytes afterwards.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from corral import FormatError, Vocab
from corral_tokenizers.pieces import SPACE
from corral_tokenizers.rust import Merges, bpe_model, run, split_pairs

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Pipeline

_INNER_SPACE = re.compile(f"[^{SPACE}\0]{SPACE}")
_WORD_START = f"(?<=[^{SPACE}])(?={SPACE})"


class SentencePieceSegmenter:
    """Ids of plain text for a vocabulary with scores."""

    def __init__(self, vocab: Vocab, index: dict[str, int], unknown_id: int, *, space_prefix: bool) -> None:
        self._n_tokens = len(vocab.tokens)
        self._space_prefix = space_prefix
        self._unknown_id = unknown_id
        extended, self._characters = _with_all_characters(index, self._n_tokens)
        self._bytes = [_byte_id(index, byte, unknown_id) for byte in range(256)]
        merges = split_pairs(vocab.merges) if vocab.merges else _merges_by_score(index, extended, vocab.scores)
        self._pipeline = _pipeline(extended, merges, vocab.tokens, unknown_id)

    def segment(self, text: str, *, after_special: bool) -> list[int]:
        """`after_special`: the text begins the input or follows a special token, so a space is put before it."""
        if after_special and self._space_prefix:
            text = " " + text
        ids = run(self._pipeline, text.replace(" ", SPACE))
        if not self._characters or max(ids, default=0) < self._n_tokens:
            return ids
        return [known for token_id in ids for known in self._known(token_id)]

    def _known(self, token_id: int) -> Sequence[int]:
        if token_id < self._n_tokens:
            return (token_id,)
        return [self._bytes[byte] for byte in self._characters[token_id - self._n_tokens].encode()]


def pre_tokenize_words(pipeline: "Pipeline", tokens: Sequence[str]) -> None:
    """Cut before each word, which lets words be cached.  Exact if no token has a space after another character."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    if _INNER_SPACE.search("\0".join(tokens)) is None:
        pipeline.pre_tokenizer = Split(Regex(_WORD_START), "isolated")


def _pipeline(index: dict[str, int], merges: Merges, tokens: Sequence[str], unknown_id: int) -> "Pipeline":
    from tokenizers import Tokenizer as Pipeline

    pipeline = Pipeline(bpe_model(index, merges, byte_fallback=True, unknown=tokens[unknown_id]))
    pre_tokenize_words(pipeline, tokens)
    return pipeline


def _with_all_characters(index: dict[str, int], n_tokens: int) -> tuple[dict[str, int], list[str]]:
    """The vocabulary, and after it the characters of its tokens that are no tokens themselves."""
    missing = sorted(
        character for character in set("".join(index)) - index.keys() if not "\ud800" <= character <= "\udfff"
    )
    return index | {character: n_tokens + place for place, character in enumerate(missing)}, missing


def _byte_id(index: dict[str, int], byte: int, unknown_id: int) -> int:
    named = index.get(f"<0x{byte:02X}>")
    return named if named is not None else index.get(chr(byte), unknown_id) if byte < 0x80 else unknown_id


def _merges_by_score(index: dict[str, int], extended: dict[str, int], scores: Sequence[float]) -> Merges:
    if not scores:
        scores = [0.0] * (1 + max(index.values()))
    if len(scores) <= max(index.values()):
        raise FormatError(f"the vocabulary has {1 + max(index.values())} tokens, but {len(scores)} scores")
    best_first = sorted(index, key=lambda text: (-scores[index[text]], index[text]))
    return [
        (text[:place], text[place:])
        for text in best_first
        for place in range(len(text) - 1, 0, -1)
        if text[:place] in extended and text[place:] in extended
    ]
