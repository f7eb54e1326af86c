"""The table: method and path to handler, with the Structs of the body it takes and of the answer it gives."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial, wraps
from typing import Any, TypeVar

from aiohttp import web

from corral import Handler
from corral.server import HEADERS
from corral_http.decoding import Decoder, read_body
from corral_http.request_ids import begin_request
from corral_openai_api import bodies
from corral_openai_api.chat import Completion, chat
from corral_openai_api.completions import completions
from corral_openai_api.embeddings import Embeddings, embeddings
from corral_openai_api.errors import ErrorBody
from corral_openai_api.models import ModelList, ModelWire, model, models
from corral_openai_api.plugin import OpenAISettings
from corral_openai_api.refusals import refusals_name_fields
from corral_openai_api.responses import kept
from corral_openai_api.responses.bodies import RESPONSES
from corral_openai_api.responses.memory import Memory
from corral_openai_api.responses.route import count, responses
from corral_openai_api.responses.shapes import Deleted, InputItems, InputTokens, Response
from corral_openai_api.texts import TextCompletion
from corral_openai_api.transcriptions import transcriptions

T = TypeVar("T", bound=bodies.Body)
_OF_KEPT: tuple[tuple[str, str, Callable[..., Awaitable[web.StreamResponse]], type], ...] = (
    ("GET", "", kept.retrieve, Response),
    ("DELETE", "", kept.delete, Deleted),
    ("GET", "/input_items", kept.inputs, InputItems),
)


def table(settings: OpenAISettings) -> Sequence[web.RouteDef]:
    """All routes of the dialect; every answer names its request in a header, where the SDKs look for it."""
    return [
        web.route(route.method, route.path, _identified(route.handler), **route.kwargs) for route in _routes(settings)
    ]


def _identified(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Handler:
    @wraps(handler)
    async def identified(request: web.Request) -> web.StreamResponse:
        request[HEADERS]["x-request-id"] = begin_request()
        return await handler(request)

    return identified


def _routes(settings: OpenAISettings) -> Sequence[web.RouteDef]:

    def reading(decoder: Decoder[T], handler: Callable[[web.Request, T], Awaitable[web.StreamResponse]]) -> Handler:
        """`handler` with the request's decoded body; what it refuses names its field."""

        @wraps(handler)
        async def read(request: web.Request) -> web.StreamResponse:
            body = decoder.decode(await read_body(request, settings.max_body_bytes))
            with refusals_name_fields(body):
                return await handler(request, body)

        return read

    def post(
        path: str,
        decoder: Decoder[T],
        handler: Callable[[web.Request, T], Awaitable[web.StreamResponse]],
        answer: Any,
        *frames: Any,
    ) -> web.RouteDef:
        streamed = {"streams": "text/event-stream", "frames": (*frames, ErrorBody)} if frames else {}
        told = {"body": decoder.kind, "answer": answer, "error": ErrorBody, **streamed}
        return web.post(path, reading(decoder, handler), **told)

    most, memory = settings.max_choices, Memory(settings.kept_responses)
    respond = partial(responses, memory=memory, skips_builtin=settings.skip_builtin_tools)
    counted = partial(count, memory=memory, skips_builtin=settings.skip_builtin_tools)
    return [
        post("/v1/chat/completions", bodies.CHAT, partial(chat, max_choices=most), Completion, Completion),
        post(
            "/v1/completions", bodies.COMPLETION, partial(completions, max_choices=most), TextCompletion, TextCompletion
        ),
        post("/v1/embeddings", bodies.EMBEDDINGS, embeddings, Embeddings),
        post("/v1/responses", RESPONSES, respond, Response, dict),
        post("/v1/responses/input_tokens", RESPONSES, counted, InputTokens),
        web.route("POST", "/v1/responses/compact", kept.compact, error=ErrorBody),
        *(
            web.route(
                method, f"/v1/responses/{{id}}{rest}", partial(handler, memory=memory), answer=kind, error=ErrorBody
            )
            for method, rest, handler, kind in _OF_KEPT
        ),
        web.route("POST", "/v1/audio/transcriptions", transcriptions, error=ErrorBody),
        web.route("GET", "/v1/models", models, answer=ModelList, error=ErrorBody),
        web.route("GET", "/v1/models/{model:.+}", model, answer=ModelWire, error=ErrorBody),
    ]
