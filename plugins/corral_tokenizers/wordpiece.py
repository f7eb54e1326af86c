"""WordPiece ("bert"): words by white space, punctuation and ideographs, then the longest tokens from the left.

This runs here and not in the `tokenizers` library, whose search is quadratic in the length of a word.  Text is
normalised as the models were trained (all base characters stay) or, if asked for, as llama.cpp does it: one base
character for each, so that Hangul syllables lose their ends, and every kind of mark is dropped.
"""

import re
import unicodedata
from collections.abc import Mapping

from corral_tokenizers.pieces import SPACE

_WHITE_SPACE = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | frozenset(
    map(chr, range(0x2000, 0x200B))
)
_CONTROL = ("Cc", "Cf", "Co", "Cs")
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
_CAPITAL_WORD = re.compile(f"^{SPACE}[A-Z]", re.MULTILINE)  # only cased vocabularies have such tokens
_CACHED_WORDS = 100_000
_LONGEST_CACHED = 64  # characters


class Normalizer(dict[int, str]):
    """A table for `str.translate`, filled as characters occur: words apart by spaces, control characters gone.

    `fold` also takes accents and capitals away; `single` leaves one character for each, as llama.cpp does.
    """

    def __init__(self, *, fold: bool, single: bool) -> None:
        super().__init__()
        self._fold, self._single = fold, single

    def __missing__(self, code: int) -> str:
        replacement = self[code] = self._normalized(chr(code))
        return replacement

    def _normalized(self, character: str) -> str:
        if character in _WHITE_SPACE:
            return " "
        if character in "\0\ufffd" or unicodedata.category(character) in _CONTROL:
            return ""
        if not self._fold:
            return _apart(character)
        base = unicodedata.normalize("NFD", character)
        if self._single:
            return "" if unicodedata.category(base[0])[0] == "M" else _apart(base[0].lower()[0])
        folded = "".join(part.lower() for part in base if unicodedata.category(part) != "Mn")
        return f" {folded} " if _is_ideograph(character) else "".join(map(_apart, folded))


def _apart(character: str) -> str:
    """Punctuation, ASCII's other symbols and ideographs are words of their own."""
    kind = unicodedata.category(character)[0]
    alone = kind == "P" or (kind == "S" and character < "\x7f") or _is_ideograph(character)
    return f" {character} " if alone else character


def _is_ideograph(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _IDEOGRAPHS)


class WordPieceSegmenter:
    """Ids of plain text for a vocabulary whose words begin with U+2581."""

    def __init__(self, index: Mapping[str, int], unknown_id: int, *, as_llama_cpp: bool = False) -> None:
        self._index = index
        self._unknown_id = unknown_id
        self._longest = max(map(len, index))
        self._normalizer = Normalizer(fold=_CAPITAL_WORD.search("\n".join(index)) is None, single=as_llama_cpp)
        self._words: dict[str, list[int]] = {}

    def segment(self, text: str, *, after_special: bool) -> list[int]:
        """`after_special` does not matter: every word begins with a space of its own."""
        ids: list[int] = []
        for word in text.translate(self._normalizer).split(" "):
            if word:
                ids += self._word(word)
        return ids

    def _word(self, word: str) -> list[int]:
        known = self._words.get(word)
        if known is None:
            known = self._search(SPACE + word)
            if len(word) <= _LONGEST_CACHED and len(self._words) < _CACHED_WORDS:
                self._words[word] = known
        return known

    def _search(self, word: str) -> list[int]:
        """The longest token at each place; a word with a place where none begins is unknown as a whole."""
        ids, start = [], 0
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                token_id = self._index.get(word[start:end])
                if token_id is not None:
                    ids.append(token_id)
                    start = end
                    break
            else:
                return [self._unknown_id]
        return ids
