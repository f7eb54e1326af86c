"""Finding special tokens in text: the longest text first, each searched from left to right in what is still raw."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from corral_tokenizers.roles import CONTROL, UNKNOWN, USER_DEFINED, Roles

_SPACE = " \t\n\v\f\r"  # what the C locale calls white space
_PREFIX = 3  # characters of a token that the search looks for before comparing the rest


@dataclass(frozen=True, slots=True)
class Match:
    """A token's text found in the input, in characters."""

    start: int
    end: int
    token_id: int


class Finder:
    """Searches for a set of texts.  Takes time linear in the text, with one regular expression for all beginnings."""

    def __init__(self, texts: Mapping[str, int]) -> None:
        self._texts = texts
        beginnings = sorted({text[:_PREFIX] for text in texts}, key=len, reverse=True)
        self._beginning = re.compile("|".join(map(re.escape, beginnings))) if beginnings else None
        lengths: dict[str, set[int]] = {}
        for text in texts:
            lengths.setdefault(text[0], set()).add(len(text))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        self._longest = max(map(len, texts), default=0)

    def matches(self, text: str) -> Iterator[Match]:
        """The tokens in `text`, in order, not overlapping."""
        if self._beginning is None:
            return
        position = 0
        while (found := self._beginning.search(text, position)) is not None:
            first = self._longest_at(text, found.start())
            if first is None:
                position = found.start() + 1
                continue
            for match in self._settle(text, first):
                yield match
                position = match.end

    def _at(self, text: str, start: int) -> Iterator[Match]:
        for length in self._lengths.get(text[start], ()):
            end = start + length
            token_id = self._texts.get(text[start:end])
            if token_id is not None and end <= len(text):
                yield Match(start, end, token_id)

    def _longest_at(self, text: str, start: int) -> Match | None:
        return next(self._at(text, start), None)

    def _settle(self, text: str, first: Match) -> list[Match]:
        """`first`, unless a longer token begins inside it: the longer one was searched for before."""
        last = first
        while (longer := self._longer_inside(text, last)) is not None:
            last = longer
        if last is first:
            return [first]
        found = [match for position in range(first.start, last.end) for match in self._at(text, position)]
        found.sort(key=lambda match: (match.start - match.end, match.start))
        kept: list[Match] = []
        for match in found:
            is_free = all(match.end <= other.start or match.start >= other.end for other in kept)
            if is_free and match.end <= last.end:
                kept.append(match)
        return sorted(kept, key=lambda match: match.start)

    def _longer_inside(self, text: str, match: Match) -> Match | None:
        length = match.end - match.start
        if length == self._longest:
            return None
        for start in range(match.start + 1, match.end):
            other = self._longest_at(text, start)
            if other is not None and other.end - other.start > length and other.end > match.end:
                return other
        return None


class Specials:
    """Splits text into token ids and the raw text between them.

    `strip_left` and `strip_right` are ids that swallow the white space beside them.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        roles: Roles,
        strip_left: frozenset[int] = frozenset(),
        strip_right: frozenset[int] = frozenset(),
    ) -> None:
        self._strip_left = strip_left
        self._strip_right = strip_right
        types = roles.types
        ids = [token_id for token_id in roles.marked if types[token_id] in (CONTROL, USER_DEFINED, UNKNOWN)]
        self._all = {tokens[token_id]: token_id for token_id in reversed(ids) if tokens[token_id]}
        self._plain = {text: token_id for text, token_id in self._all.items() if types[token_id] == USER_DEFINED}
        self._finders: dict[bool, Finder] = {}

    def split(self, text: str, *, parse_special: bool) -> Iterator[str | int]:
        """Ids of special tokens, and non-empty text.  Without `parse_special` only user-defined tokens are found."""
        position = 0
        for match in self._finder(parse_special).matches(text):
            raw = text[position : match.start]
            if match.token_id in self._strip_left:
                raw = raw.rstrip(_SPACE)
            if raw:
                yield raw
            yield match.token_id
            position = match.end
            if match.token_id in self._strip_right:
                while position < len(text) and text[position] in _SPACE:
                    position += 1
        if position < len(text):
            yield text[position:]

    def _finder(self, parse_special: bool) -> Finder:
        """Built when first needed: most vocabularies are only ever asked for one of the two."""
        finder = self._finders.get(parse_special)
        if finder is None:
            finder = self._finders[parse_special] = Finder(self._all if parse_special else self._plain)
        return finder
