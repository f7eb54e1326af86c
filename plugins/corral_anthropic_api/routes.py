"""The table: method and path to handler, with the Structs of the body it takes and of the answer it gives."""

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any

from aiohttp import web

from corral import Handler, ModelNotFound
from corral.server import HEADERS
from corral_anthropic_api import messages
from corral_anthropic_api.bodies import MESSAGES, MessagesBody
from corral_anthropic_api.plugin import Plugin
from corral_anthropic_api.wire import CountWire, ErrorWire, MessageWire
from corral_http.decoding import read_body
from corral_http.request_ids import begin_request

_BATCHES = (("POST", ""), ("GET", ""), ("GET", "/{id:.+}"), ("POST", "/{id:.+}"), ("DELETE", "/{id:.+}"))


def table(config: Plugin.Config) -> Sequence[web.RouteDef]:
    """All routes of the dialect."""

    skips = config.skip_server_tools

    def reading(handler: Callable[[web.Request, MessagesBody], Awaitable[web.StreamResponse]]) -> Handler:
        """`handler` with the request's decoded body; the answer's headers name the request."""

        @wraps(handler)
        async def read(request: web.Request) -> web.StreamResponse:
            request[HEADERS].update({"request-id": begin_request(), "Connection": "keep-alive"})
            return await handler(request, MESSAGES.decode(await read_body(request, config.max_body_bytes)))

        return read

    async def create(request: web.Request, body: MessagesBody) -> web.StreamResponse:
        """The next message, whole or as events."""
        return await messages.create(request, body, config.ping_s, skips_server=skips)

    async def count(request: web.Request, body: MessagesBody) -> web.StreamResponse:
        """The tokens of the rendered prompt."""
        return await messages.count_tokens(request, body, skips_server=skips)

    told: dict[str, Any] = {"body": MessagesBody, "error": ErrorWire}
    events = {"streams": "text/event-stream", "frames": (dict,)}
    return [
        web.post("/v1/messages", reading(create), answer=MessageWire, **told, **events),
        web.post("/v1/messages/count_tokens", reading(count), answer=CountWire, **told),
        *(web.route(method, f"/v1/messages/batches{rest}", no_batches, error=ErrorWire) for method, rest in _BATCHES),
    ]


async def no_batches(request: web.Request) -> web.StreamResponse:
    """Batches of messages, which are refused by name."""
    request[HEADERS]["request-id"] = begin_request()
    raise ModelNotFound("message batches are not served here: send the messages one by one", code="no_batches")
