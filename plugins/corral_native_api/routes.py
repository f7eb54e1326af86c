"""The table: method and path to handler, with the Structs of the body it takes and of the answer it gives."""

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from corral import API_VERSION, Handler
from corral_http.decoding import Decoder, read_body
from corral_native_api import (
    account,
    blobs,
    bodies,
    chat,
    chunks,
    create,
    embed,
    generate,
    models,
    progress,
    render,
    show,
    tokens,
    transfer,
)
from corral_native_api.answers import NDJSON
from corral_native_api.chunks import Wire, reply

T = TypeVar("T", bound=msgspec.Struct)


class Version(Wire, frozen=True):
    """/api/version."""

    version: str


def table(max_body_bytes: int) -> Sequence[web.RouteDef]:
    """All routes of the dialect."""

    def reading(decoder: Decoder[T], handler: Callable[[web.Request, T], Awaitable[web.StreamResponse]]) -> Handler:
        """`handler` with the request's decoded body."""

        @wraps(handler)
        async def read(request: web.Request) -> web.StreamResponse:
            return await handler(request, decoder.decode(await read_body(request, max_body_bytes)))

        return read

    def row(method: str, path: str, handler: Handler, answer: Any = None, **more: Any) -> web.RouteDef:
        return web.route(method, path, handler, answer=answer, error=chunks.ErrorWire, **more)

    def post(
        path: str,
        decoder: Decoder[T],
        handler: Callable[[web.Request, T], Awaitable[web.StreamResponse]],
        answer: Any = None,
        *,
        streams: bool = False,
        method: str = "POST",
    ) -> web.RouteDef:
        frames = {"streams": NDJSON, "frames": (answer, chunks.ErrorWire)} if streams else {}
        return row(method, path, reading(decoder, handler), answer, body=decoder.kind, **frames)

    either, held = r"/api/blobs/{digest:[\s\S]+}", blobs.Blobs()
    return [
        row("GET", "/", alive, str),
        row("HEAD", "/", alive),
        row("GET", "/api/version", version, Version),
        row("HEAD", "/api/version", version),
        row("GET", "/api/tags", models.tags, models.Models),
        row("HEAD", "/api/tags", models.tags),
        row("GET", "/api/ps", models.ps, models.LoadedModels),
        post("/api/show", bodies.SHOW, show.show, show.Shown),
        post("/api/copy", bodies.COPY, models.copy),
        post("/api/delete", bodies.NAMED, models.delete, method="DELETE"),
        post("/api/generate", bodies.GENERATE, generate.generate, chunks.Answer, streams=True),
        post("/api/chat", bodies.CHAT, chat.chat, chunks.Answer, streams=True),
        post("/api/embed", bodies.EMBED, embed.embed, chunks.EmbedAnswer),
        post("/api/embeddings", bodies.EMBEDDINGS, embed.embeddings, chunks.OldEmbedAnswer),
        post("/api/tokenize", bodies.TOKENIZE, tokens.tokenize, tokens.Tokens),
        post("/api/detokenize", bodies.DETOKENIZE, tokens.detokenize, tokens.Content),
        post("/api/render", bodies.RENDER, render.render, render.RenderedWire),
        post("/api/create", bodies.CREATE, create.create, progress.ProgressWire, streams=True),
        post("/api/pull", bodies.TRANSFER, transfer.pull, progress.ProgressWire, streams=True),
        post("/api/push", bodies.TRANSFER, transfer.push, progress.ProgressWire, streams=True),
        row("HEAD", either, held.exists),
        row("POST", either, held.upload, body=bytes),
        row("DELETE", either, held.discard),
        row("GET", "/api/status", account.status, account.Status),
        row("POST", "/api/me", account.me),
        row("POST", "/api/signout", account.sign_out),
        row("DELETE", "/api/user/keys/{key:.+}", account.sign_out),
        post("/api/experimental/web_search", bodies.SEARCH, account.web_search),
        post("/api/experimental/web_fetch", bodies.SEARCH, account.web_fetch),
        row("GET", "/api/experimental/model-recommendations", account.recommendations, account.Recommendations),
    ]


async def alive(request: web.Request) -> web.Response:
    """GET /: what liveness probes look for."""
    return web.Response(text="Ollama is running")


async def version(request: web.Request) -> web.Response:
    """GET /api/version: the version clients gate features on."""
    return reply(Version(version=API_VERSION))
