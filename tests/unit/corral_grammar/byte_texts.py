"""A vocabulary of bytes and a few longer tokens, and a model that writes at random."""

import random
from collections.abc import Sequence

import numpy as np

from corral_grammar.state import GrammarState

EOG = 300
_CLOSING = (*b'"]},', EOG)
LONGER = [b'{"', b'":', b'", "', b"name", b"na", b"me", b"true", b"false", b"null", b"12", b"  ", "é".encode(), b"\xc3"]


class Bytes:
    """`TokenTexts`: every byte, some longer texts (one of them twice), control tokens, and one that ends the text."""

    def __init__(self, *, encodes: bool = True, eog: bool = True) -> None:
        self.token_bytes: list[bytes] = [bytes([byte]) for byte in range(256)] + LONGER
        self.token_bytes += [b""] * (EOG + 1 - len(self.token_bytes))
        self.eog_ids = frozenset({EOG} if eog else ())
        self.encodes = encodes

    def spelling(self, token_id: int) -> bytes:
        return self.token_bytes[token_id] or b"<|%d|>" % token_id

    def encode(self, text: str) -> Sequence[int]:
        """The longest tokens from left to right, as a tokenizer would."""
        rest, ids = text.encode(), []
        while rest:
            best = max((t for t in self.token_bytes if t and rest.startswith(t)), key=len)
            ids.append(self.token_bytes.index(best))
            rest = rest[len(best) :]
        return ids


def accepts(state: GrammarState, texts: Bytes, text: str | bytes) -> bool:
    """Whether `text`, a byte a token, is a whole answer.  The state is used up."""
    for byte in text.encode() if isinstance(text, str) else text:
        if not state.allows(byte):
            return False
        state.accept(byte)
    return state.is_finished or state.allows(EOG)


def write_at_random(state: GrammarState, texts: Bytes, seed: int, most: int = 400) -> str | None:
    """An answer drawn from all that is allowed at each step; None when it is not finished after `most` tokens."""
    generator, written = random.Random(seed), b""
    for _ in range(most):
        logits = np.zeros(len(texts.token_bytes) + 5, np.float32)
        state.mask(logits)
        allowed = np.flatnonzero(np.isfinite(logits))
        assert len(allowed), "a dead end"
        closing = [token for token in allowed if token in _CLOSING]
        token = int(generator.choice(closing if closing and generator.random() < 0.5 else list(allowed)))
        assert state.allows(token)
        if token == EOG:
            return written.decode()
        state.accept(token)
        written += texts.token_bytes[token]
        if state.is_finished:
            return written.decode()
    return None
