"""What each token writes, as bytes: for constraints and for DRY's breakers."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property

from corral import TokenizerKind, Vocab
from corral_engine.canonical import CanonicalText
from corral_engine.penalties import BreakerIndex

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


class Vocabulary:
    """Token texts of one model, worked out when first asked for."""

    def __init__(self, vocab: Vocab, kinds: Iterable[TokenizerKind] = ()) -> None:
        """`kinds`: where the model's own tokenizer is looked for."""
        self.vocab = vocab
        self._kind = next((kind for kind in kinds if kind.name == vocab.model), None)

    @cached_property
    def token_bytes(self) -> Sequence[bytes]:
        """By id; control, unknown and unused tokens write nothing."""
        tokens = list(self.vocab.tokens)
        kinds = list(self.vocab.token_types) or [_NORMAL] * len(tokens)
        alphabet = _byte_alphabet()
        return [self._text(token, kind, alphabet) for token, kind in zip(tokens, kinds, strict=True)]

    def _text(self, token: str, kind: int, alphabet: dict[str, int]) -> bytes:
        if kind in (_UNKNOWN, _CONTROL, _UNUSED):
            return b""
        if kind == _BYTE and (match := _BYTE_TOKEN.fullmatch(token)):
            return bytes([int(match[1], 16)])
        if kind == _USER_DEFINED:
            return token.encode("utf-8", "surrogateescape")
        if self.vocab.model == "gpt2" and all(character in alphabet for character in token):
            return bytes(alphabet[character] for character in token)
        if self.vocab.model == "bert":
            return (token[1:] if token.startswith("▁") else token).encode("utf-8", "surrogateescape")
        return token.replace("▁", " ").encode("utf-8", "surrogateescape")

    @cached_property
    def eog_ids(self) -> frozenset[int]:
        named = (self.vocab.eos_id, self.vocab.eot_id, self.vocab.eom_id, *self.vocab.eog_ids)
        return frozenset(token for token in named if token >= 0)

    @cached_property
    def find_breakers(self) -> BreakerIndex:
        return BreakerIndex(lambda: self.token_bytes)

    # --- what constraints ask besides -------------------------------------------------------------------------------

    def spelling(self, token_id: int) -> bytes:
        """What a token is called: its text, also of a control token."""
        return self.token_bytes[token_id] or self.vocab.tokens[token_id].encode("utf-8", "surrogateescape")

    @property
    def encodes(self) -> bool:
        """Whether the model's own tokenizer is known."""
        return self._kind is not None

    @cached_property
    def _canonical(self) -> CanonicalText | None:
        return CanonicalText(self._kind.build(self.vocab), self.token_bytes) if self._kind is not None else None

    @cached_property
    def _tags(self) -> dict[str, int]:
        """Tokens that are no text of a language, by what they are called."""
        kinds = enumerate(self.vocab.token_types)
        marked = (token_id for token_id, kind in kinds if kind in (_CONTROL, _USER_DEFINED))
        return {name: token_id for token_id in marked if (name := self.vocab.tokens[token_id])}

    def encode_tags(self, text: str) -> list[int]:
        """As `encode`, and where the text of a control token stands, that token."""
        names = sorted((name for name in self._tags if name in text), key=len, reverse=True)
        parts = re.split(f"({'|'.join(map(re.escape, names))})", text) if names else [text]
        known = ([self._tags[part]] if part in self._tags else self.encode(part) for part in parts if part)
        return [token_id for part in known for token_id in part]

    def encode(self, text: str) -> Sequence[int]:
        """The tokens its own tokenizer would write `text` with; () when that is not known."""
        return self._canonical.encode(text) if self._canonical is not None else ()
