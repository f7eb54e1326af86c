"""`logit_bias`: from what clients name, ids and texts, to the ids of the vocabulary."""

import re
from collections.abc import Iterable
from typing import Protocol

from msgspec.structs import replace

from corral import BadRequest, Options

_ID = re.compile(r"[+-]?[0-9]+")
_MAX_DIGITS = 18
_MAX_TEXT = 4096
_SHOWN = 40  # characters of a text in a message


class TokensOfText(Protocol):
    """What of a `Tokenizer` is asked."""

    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]: ...


def id_or_text(key: int | str) -> int | str:
    """JSON's keys are texts: one that is an integer is a token id."""
    return int(key[:_MAX_DIGITS]) if isinstance(key, str) and _ID.fullmatch(key) else key


def by_token(options: Options, tokenizer: TokensOfText) -> Options:
    """With the bias of each text given to every token that the tokenizer writes it with; what meets in one adds up.

    Raises BadRequest for a token that the vocabulary does not have, and for a text that has no tokens.
    """
    biases: dict[int | str, float] = {}
    for key, bias in options.logit_bias.items():
        for token_id in _tokens(key, tokenizer):
            biases[token_id] = biases.get(token_id, 0.0) + bias
    return replace(options, logit_bias=biases)


def _tokens(key: int | str, tokenizer: TokensOfText) -> Iterable[int]:
    if isinstance(key, int):
        if not 0 <= key < tokenizer.vocab_size:
            room = f"is not in the vocabulary of {tokenizer.vocab_size} tokens"
            raise BadRequest(f'option "logit_bias": token id {key} {room}')
        return (key,)
    shown = repr(key[:_SHOWN])
    if len(key) > _MAX_TEXT:
        raise BadRequest(
            f'option "logit_bias": a text of {len(key)} characters, {shown}…; it takes at most {_MAX_TEXT}'
        )
    token_ids = tokenizer.encode(key, add_special=False, parse_special=False)
    if not token_ids:
        raise BadRequest(f'option "logit_bias": the text {shown} has no tokens')
    return token_ids
