"""The bytes each token stands for."""

import re
from collections.abc import Callable, Sequence

from corral import BadRequest
from corral_tokenizers.roles import BYTE, CONTROL, UNKNOWN, UNUSED, USER_DEFINED

SPACE = "▁"  # U+2581 stands for a space in SentencePiece vocabularies

_BYTE_NAME = re.compile("<0x([0-9A-Fa-f]{2})>")

Spell = Callable[[str], bytes]


def byte_characters() -> dict[int, str]:
    """The printable character byte-level BPE writes for each byte.  Source: Radford et al. 2019, GPT-2's encoder."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in kept]
    return {byte: chr(byte) for byte in kept} | {byte: chr(0x100 + place) for place, byte in enumerate(others)}


def spell_byte_level() -> Spell:
    """Characters back to the bytes they were written for; others, which no encoder writes, are made visible."""
    table = {character: bytes([byte]) for byte, character in byte_characters().items()}

    def spell(text: str) -> bytes:
        return b"".join(
            table[character] if character in table else b"[UNK_BYTE_0x%s]" % to_bytes(character).hex().encode()
            for character in text
        )

    return spell


def spell_spaces(text: str) -> bytes:
    """U+2581 back to a space."""
    return to_bytes(text.replace(SPACE, " "))


def to_bytes(text: str) -> bytes:
    """UTF-8; lone surrogates are the bytes a loader could not decode."""
    return text.encode("utf-8", "surrogateescape")


def byte_value(text: str) -> int | None:
    """The byte a token named `<0xHH>` stands for, or None when it is not named so."""
    match = _BYTE_NAME.fullmatch(text)
    return int(match[1], 16) if match else None


class Pieces:
    """Bytes by token id, worked out when first asked for."""

    def __init__(self, tokens: Sequence[str], types: Sequence[int], spell: Spell) -> None:
        self._tokens = tokens
        self._types = types
        self._spell = spell
        self._cache: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def piece(self, token_id: int, *, special: bool) -> bytes:
        """Control and unknown tokens are empty unless `special`.  Raises BadRequest for an id that does not exist."""
        known = self._cache.get(token_id)
        if known is None:
            known = self._cache[token_id] = self._work_out(token_id)
        return known if special or self._types[token_id] not in (CONTROL, UNKNOWN) else b""

    def control_text(self, token_id: int) -> str:
        """The text of a control token, empty for every other."""
        return self._tokens[token_id] if self._types[token_id] == CONTROL else ""

    def _work_out(self, token_id: int) -> bytes:
        if not 0 <= token_id < len(self._tokens):
            raise BadRequest(f"token id {token_id} is not in the vocabulary of {len(self._tokens)} tokens")
        text, kind = self._tokens[token_id], self._types[token_id]
        if kind in (CONTROL, UNKNOWN, USER_DEFINED):
            return to_bytes(text)
        if kind == UNUSED:
            return b""
        if kind == BYTE:
            value = byte_value(text)
            return to_bytes(text) if value is None else bytes([value])
        return self._spell(text)
