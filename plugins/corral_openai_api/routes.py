"""The table: method and path to handler, with the decoder of the handler's body."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec
from aiohttp import web

from corral import Handler
from corral.decoding import Decoder, read_body
from corral_openai_api import bodies
from corral_openai_api.chat import chat
from corral_openai_api.completions import completions
from corral_openai_api.embeddings import embeddings
from corral_openai_api.models import model, models
from corral_openai_api.plugin import OpenAISettings
from corral_openai_api.responses.bodies import RESPONSES
from corral_openai_api.responses.route import responses

T = TypeVar("T", bound=msgspec.Struct)


def table(settings: OpenAISettings) -> Sequence[web.RouteDef]:
    """All routes of the dialect."""

    def reading(decoder: Decoder[T], handler: Callable[[web.Request, T], Awaitable[web.StreamResponse]]) -> Handler:
        """`handler` with the request's decoded body."""

        async def read(request: web.Request) -> web.StreamResponse:
            return await handler(request, decoder.decode(await read_body(request, settings.max_body_bytes)))

        return read

    most = settings.max_choices
    rows: Sequence[tuple[str, str, Handler]] = (
        ("POST", "/v1/chat/completions", reading(bodies.CHAT, partial(chat, max_choices=most))),
        ("POST", "/v1/completions", reading(bodies.COMPLETION, partial(completions, max_choices=most))),
        ("POST", "/v1/embeddings", reading(bodies.EMBEDDINGS, embeddings)),
        ("POST", "/v1/responses", reading(RESPONSES, responses)),
        ("GET", "/v1/models", models),
        ("GET", "/v1/models/{model:.+}", model),
    )
    return [web.route(method, path, handler) for method, path, handler in rows]
