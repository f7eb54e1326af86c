"""How long a model may think: after so many tokens the text that ends thinking is written for it."""

from collections.abc import Sequence

from corral import Unsupported
from corral_engine.vocabulary import Vocabulary

_LONGEST_CHARACTER = 4  # bytes of UTF-8


class ThinkingLimit:
    """Follows one answer, token by token.

    Thinking stands between `opens` (""; the prompt has begun it) and `ends`.  Where what is written to end it is more
    than that tag, thinking is one message among others: it may open anywhere and again, and its tokens are counted
    together.  Else it opens at the beginning of the answer or never.
    """

    def __init__(self, limit: tuple[str, str, str, int], vocabulary: Vocabulary) -> None:
        """`limit`: see `corral.Job`.  Raises Unsupported when the model's tokenizer is not known."""
        opens, ends, self._closing, self._most = limit
        self._opens, self._ends = opens.encode(), ends.encode()
        self._again = self._closing.strip() != ends
        if not vocabulary.encodes:
            raise Unsupported("a limit of thinking needs a tokenizer plugin that knows this model's vocabulary")
        self._vocabulary = vocabulary
        self._is_open = not opens
        self._is_over = False
        self._seen = b""  # the end of the text, as far as a tag or a character may have begun there
        self._n_tokens = 0
        self._forced: Sequence[int] = ()

    @property
    def n_left(self) -> int | None:
        """How many tokens may still be thought; None outside thinking."""
        return max(0, self._most - self._n_tokens) if self._is_open else None

    def forced_tokens(self) -> Sequence[int]:
        """What must come next, whatever the model thinks; () when nothing must.  Whole characters are never cut."""
        if not self._forced and self._is_open and self._n_tokens >= self._most and _is_whole(self._seen):
            self._forced = self._vocabulary.encode_tags(self._rest())
        return self._forced

    def accept(self, token_id: int) -> None:
        """Go on behind this token."""
        self._forced = self._forced[1:]
        if self._is_over:
            return
        self._n_tokens += self._is_open
        self._seen += self._vocabulary.spelling(token_id)
        while self._step():
            pass

    def _step(self) -> bool:
        """One tag further, if there is one."""
        tag = self._ends if self._is_open else self._opens
        before, found, after = self._seen.partition(tag)
        if not found:
            self._seen = self._seen[-max(len(tag), _LONGEST_CHARACTER) :]
            self._is_over = not self._is_open and not self._again and not tag.startswith(before.lstrip())
        elif self._is_open:
            self._is_open, self._seen = False, after
            self._is_over = not self._again or not self._opens
        else:
            self._is_over = not self._again and bool(before.strip())
            self._is_open, self._seen = not self._is_over, after
        return bool(found) and not self._is_over

    def _rest(self) -> str:
        """What ends thinking here: without the part of the tag, or the line break, that stands there already."""
        closing, tag = self._closing, self._ends.decode()
        begun = next((n for n in range(len(tag) - 1, 1, -1) if self._seen.endswith(tag[:n].encode())), 0)
        if begun:
            return closing[closing.index(tag) + begun :]
        return closing.removeprefix("\n") if self._seen.endswith(b"\n") else closing


def _is_whole(text: bytes) -> bool:
    """Whether the last character of `text` is all there."""
    for n, byte in enumerate(reversed(text[-_LONGEST_CHARACTER:]), 1):
        if byte & 0xC0 != 0x80:
            return n >= (4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1)
    return True
