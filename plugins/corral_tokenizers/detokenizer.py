"""Text from a stream of tokens: whole characters only, cut at the first stop string."""

import codecs
import re
from collections.abc import Collection, Sequence

from corral_tokenizers.pieces import Pieces

_ESCAPED = re.compile("[\udc80-\udcff]")
_REPLACEMENT = "\ufffd"


def decode_bytes(content: bytes) -> str:
    """UTF-8 to text; each byte that is no part of a character becomes U+FFFD."""
    return _ESCAPED.sub(_REPLACEMENT, content.decode("utf-8", "surrogateescape"))


class Matcher:
    """Finds one string in a text that comes in parts.  Source: Knuth, Morris & Pratt 1977."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.held = 0  # characters at the end of the text that begin the word
        self._fallback = [0]
        border = 0
        for character in word[1:]:
            while border and character != word[border]:
                border = self._fallback[border - 1]
            border += character == word[border]
            self._fallback.append(border)

    def feed(self, part: str) -> int | None:
        """How many characters of `part` were read when the word was complete, or None when it is not."""
        word, held = self.word, self.held
        for count, character in enumerate(part, 1):
            while held and character != word[held]:
                held = self._fallback[held - 1]
            held += character == word[held]
            if held == len(word):
                return count
        self.held = held
        return None


class StreamDetokenizer:
    """The `Detokenizer` of every kind of vocabulary here."""

    def __init__(self, pieces: Pieces, stop: Sequence[str], *, special: bool | Collection[str]) -> None:
        self._pieces = pieces
        self._special = special is True
        self._shown = frozenset(() if isinstance(special, bool) else special)  # texts of control tokens
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._matchers = [Matcher(word) for word in dict.fromkeys(stop) if word]
        self._words = frozenset(matcher.word for matcher in self._matchers)
        self._held = ""  # text that may become a stop string
        self._stopped_by: str | None = None

    @property
    def stopped_by(self) -> str | None:
        return self._stopped_by

    def push(self, token_id: int) -> str:
        """The text that is certain after this token."""
        if self._stopped_by is not None:
            return ""
        control = self._pieces.control_text(token_id) if self._words or self._shown else ""
        if control in self._words:  # a stop string may be a token that is not shown
            text = self._add(self._decode(b"", final=True)) + self._release()
            self._stopped_by = self._stopped_by or control
            return text
        special = self._special or (bool(control) and control in self._shown)
        return self._add(self._decode(self._pieces.piece(token_id, special=special)))

    def flush(self) -> str:
        """All that was held back; an incomplete character becomes U+FFFD."""
        if self._stopped_by is not None:
            return ""
        return self._add(self._decode(b"", final=True)) + self._release()

    def _decode(self, content: bytes, *, final: bool = False) -> str:
        text = self._decoder.decode(content, final)
        return text if text.isascii() else _ESCAPED.sub(_REPLACEMENT, text)

    def _add(self, part: str) -> str:
        """Take `part` in and return what no stop string can begin in any more."""
        if not self._matchers or not part:
            return part
        text = self._held + part
        found: list[tuple[int, str]] = []
        for matcher in self._matchers:
            read = matcher.feed(part)
            if read is not None:
                found.append((len(self._held) + read - len(matcher.word), matcher.word))
        if found:
            start, self._stopped_by = min(found, key=lambda match: match[0])
            self._held = ""
            return text[:start]
        n_held = max(matcher.held for matcher in self._matchers)
        self._held = text[len(text) - n_held :]
        return text[: len(text) - n_held]

    def _release(self) -> str:
        text, self._held = self._held, ""
        return text
