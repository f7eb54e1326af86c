"""The table: method and path to handler, with the decoder of the handler's body."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
from aiohttp import web

from corral import Handler
from corral.decoding import Decoder, read_body
from corral.kernel import Kernel
from corral_native_api import account, blobs, bodies, chat, create, embed, generate, models, show, tokens, transfer
from corral_native_api.chunks import reply

T = TypeVar("T", bound=msgspec.Struct)


def table(max_body_bytes: int) -> Sequence[web.RouteDef]:
    """All routes of the dialect."""

    def reading(decoder: Decoder[T], handler: Callable[[web.Request, T], Awaitable[web.StreamResponse]]) -> Handler:
        """`handler` with the request's decoded body."""

        async def read(request: web.Request) -> web.StreamResponse:
            return await handler(request, decoder.decode(await read_body(request, max_body_bytes)))

        return read

    rows: Sequence[tuple[str, str, Handler]] = (
        ("GET", "/", alive),
        ("HEAD", "/", alive),
        ("GET", "/api/version", version),
        ("HEAD", "/api/version", version),
        ("GET", "/api/tags", models.tags),
        ("HEAD", "/api/tags", models.tags),
        ("GET", "/api/ps", models.ps),
        ("POST", "/api/show", reading(bodies.SHOW, show.show)),
        ("POST", "/api/copy", reading(bodies.COPY, models.copy)),
        ("DELETE", "/api/delete", reading(bodies.NAMED, models.delete)),
        ("POST", "/api/generate", reading(bodies.GENERATE, generate.generate)),
        ("POST", "/api/chat", reading(bodies.CHAT, chat.chat)),
        ("POST", "/api/embed", reading(bodies.EMBED, embed.embed)),
        ("POST", "/api/embeddings", reading(bodies.EMBEDDINGS, embed.embeddings)),
        ("POST", "/api/tokenize", reading(bodies.TOKENIZE, tokens.tokenize)),
        ("POST", "/api/detokenize", reading(bodies.DETOKENIZE, tokens.detokenize)),
        ("POST", "/api/create", reading(bodies.CREATE, create.create)),
        ("POST", "/api/pull", reading(bodies.TRANSFER, transfer.pull)),
        ("POST", "/api/push", reading(bodies.TRANSFER, transfer.push)),
        ("HEAD", r"/api/blobs/{digest:[\s\S]+}", blobs.exists),
        ("POST", r"/api/blobs/{digest:[\s\S]+}", blobs.upload),
        ("GET", "/api/status", account.status),
        ("POST", "/api/me", account.me),
        ("POST", "/api/signout", account.sign_out),
        ("DELETE", "/api/user/keys/{key:.+}", account.sign_out),
        ("POST", "/api/experimental/web_search", reading(bodies.SEARCH, account.web_search)),
        ("POST", "/api/experimental/web_fetch", reading(bodies.SEARCH, account.web_fetch)),
        ("GET", "/api/experimental/model-recommendations", account.recommendations),
    )
    return [web.route(method, path, handler) for method, path, handler in rows]


async def alive(request: web.Request) -> web.Response:
    """GET /: what liveness probes look for."""
    return web.Response(text="Ollama is running")


async def version(request: web.Request) -> web.Response:
    """GET /api/version: the version clients gate features on."""
    return reply({"version": Kernel.version()})
