"""POST /api/tokenize and /api/detokenize: what a model makes of a text, with llama.cpp's meaning and defaults."""

import asyncio
from collections.abc import Sequence

from aiohttp import web

from corral import BadRequest, Tokenizer
from corral.server import KERNEL
from corral_http.names import installed, required
from corral_native_api.bodies import DetokenizeBody, TokenizeBody
from corral_native_api.chunks import Wire, reply


class PieceWire(Wire, frozen=True):
    """A token; `piece` is its text, or its bytes where they are no text of their own."""

    id: int
    piece: str | list[int]


class Tokens(Wire, frozen=True):
    """/api/tokenize: ids, or with `with_pieces` ids and texts."""

    tokens: list[int | PieceWire]


class Content(Wire, frozen=True):
    """/api/detokenize."""

    content: str


async def tokenize(request: web.Request, body: TokenizeBody) -> web.Response:
    """The token ids of `content`; with `with_pieces`, their texts too."""
    kernel = request.app[KERNEL]
    model = installed(kernel, required(body.model))
    if body.content is None:
        raise BadRequest("content is required")
    parts = (body.content,) if isinstance(body.content, str) else body.content
    async with kernel.pipeline.tokenizer(model) as tokenizer:
        token_ids = await asyncio.to_thread(_encode, tokenizer, body, parts)
        if not body.with_pieces:
            return reply(Tokens(tokens=[*token_ids]))
        return reply(Tokens(tokens=[_piece(tokenizer, token_id) for token_id in token_ids]))


def _encode(tokenizer: Tokenizer, body: TokenizeBody, parts: Sequence[str | int]) -> list[int]:
    """BOS and EOS come only around the whole: with the first text of a list, as in llama.cpp."""
    token_ids: list[int] = []
    for position, part in enumerate(parts):
        if isinstance(part, str):
            add_special = body.add_special and position == 0
            token_ids += tokenizer.encode(part, add_special=add_special, parse_special=body.parse_special)
        else:
            token_ids += _checked(tokenizer, (part,))
    return token_ids


def _checked(tokenizer: Tokenizer, token_ids: tuple[int, ...]) -> tuple[int, ...]:
    """Raises BadRequest for an id outside the vocabulary."""
    for token_id in token_ids:
        if not 0 <= token_id < tokenizer.vocab_size:
            raise BadRequest(f"token id {token_id} is not in the vocabulary of {tokenizer.vocab_size} tokens")
    return token_ids


def _piece(tokenizer: Tokenizer, token_id: int) -> PieceWire:
    spelling = tokenizer.token_bytes(token_id)
    try:
        return PieceWire(id=token_id, piece=spelling.decode())
    except UnicodeDecodeError:
        return PieceWire(id=token_id, piece=list(spelling))


async def detokenize(request: web.Request, body: DetokenizeBody) -> web.Response:
    """The text of `tokens`, special tokens included."""
    kernel = request.app[KERNEL]
    model = installed(kernel, required(body.model))
    if body.tokens is None:
        raise BadRequest("tokens is required")
    async with kernel.pipeline.tokenizer(model) as tokenizer:
        token_ids = _checked(tokenizer, body.tokens)
        return reply(Content(content=await asyncio.to_thread(tokenizer.decode, token_ids, special=True)))
