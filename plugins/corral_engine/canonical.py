"""Text as the model's own tokenizer writes it in the middle of a sentence, for text that a constraint forces."""

from collections.abc import Sequence

from corral import Tokenizer

_LEADS = ("", "\x02", "\n")  # what is put before the text to keep tokenizers from adding a space of their own


class CanonicalText:
    """Finds tokens that write exactly the given text."""

    def __init__(self, tokenizer: Tokenizer, token_bytes: Sequence[bytes]) -> None:
        self._tokenizer, self._bytes = tokenizer, token_bytes
        self._ids = {text: token_id for token_id, text in reversed([*enumerate(token_bytes)]) if text}
        self._longest = max(map(len, self._ids), default=0)

    def encode(self, text: str) -> list[int]:
        """The tokenizer's tokens; where it changes the text, the longest tokens that fit, from left to right."""
        wanted = text.encode("utf-8", "surrogatepass")
        for lead in _LEADS:
            token_ids = self._tokenizer.encode(lead + text, parse_special=False)
            written = [self._bytes[token_id] for token_id in token_ids]
            for first in range(len(token_ids) if lead else 1):
                if b"".join(written[first:]) == wanted and b"" not in written[first:]:
                    return token_ids[first:]
        return self._greedy(wanted)

    def _greedy(self, text: bytes) -> list[int]:
        token_ids: list[int] = []
        at = 0
        while at < len(text):
            ends = range(min(len(text), at + self._longest), at, -1)
            end = next((end for end in ends if text[at:end] in self._ids), 0)
            if not end:
                break  # no token of this vocabulary writes it
            token_ids.append(self._ids[text[at:end]])
            at = end
        return token_ids
