"""How many tokens of an answer were thinking, the tags around it among them."""

from collections.abc import Iterable, Sequence

from corral import OutputParser, Piece


class ThinkingTally:
    """Feeds a parser token by token and counts: what opens thinking, what is thought, and what ends it."""

    def __init__(self, parser: OutputParser) -> None:
        self.parser, self.tokens = parser, 0
        self._closing = parser.thinking_span[1] if parser.thinking_span else ""
        self._thinking = False
        self._tail = ""  # of what came while thinking: where the closing tag may have begun
        self._held = 0  # tokens that may turn out to open thinking

    def push(self, texts: Iterable[str]) -> list[Piece]:
        """The pieces in the texts of these tokens, where several tokens came at once in as few as they go into."""
        pieces: list[Piece] = []
        for text in texts:
            found = list(self.parser.push(text)) if text else []
            self._count(found, 1)
            self._close(text)
            pieces += found
        return _joined(pieces)

    def finish(self, rest: str) -> list[Piece]:
        """What is left, after `rest`, the end of the text."""
        pieces = [*(self.parser.push(rest) if rest else ()), *self.parser.finish()]
        self._count(pieces, 0)
        return pieces

    def _count(self, pieces: Sequence[Piece], n_tokens: int) -> None:
        if any(piece.thinking for piece in pieces):
            self.tokens += self._held + n_tokens
            self._held, self._thinking = 0, True
        if any(piece.text or piece.tool_calls for piece in pieces):
            self._held, self._thinking = 0, False
        elif not pieces and self._thinking:
            self.tokens += n_tokens
        elif not pieces:
            self._held += n_tokens

    def _close(self, text: str) -> None:
        """Thinking ends with its tag, whether or not the parser can tell yet what follows, such as half a call."""
        if not self._thinking or not self._closing:
            self._tail = ""
            return
        window = self._tail + text
        self._thinking = self._closing not in window
        keep = len(self._closing) - 1
        self._tail = window[-keep:] if self._thinking and keep else ""


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Neighbours of the same kind, thinking or text, as one."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and piece == Piece(text=piece.text) and last == Piece(text=last.text):
            joined[-1] = Piece(text=last.text + piece.text)
        elif last is not None and piece == Piece(thinking=piece.thinking) and last == Piece(thinking=last.thinking):
            joined[-1] = Piece(thinking=last.thinking + piece.thinking)
        else:
            joined.append(piece)
    return joined
