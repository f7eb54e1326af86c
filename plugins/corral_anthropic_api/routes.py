"""The table: method and path to handler."""

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from corral import Handler
from corral.decoding import read_body
from corral.server import HEADERS
from corral_anthropic_api import messages
from corral_anthropic_api.bodies import MESSAGES, MessagesBody
from corral_anthropic_api.identity import begin_request


def table(max_body_bytes: int, ping_s: float) -> Sequence[web.RouteDef]:
    """All routes of the dialect."""

    def reading(handler: Callable[[web.Request, MessagesBody], Awaitable[web.StreamResponse]]) -> Handler:
        """`handler` with the request's decoded body; the answer's headers name the request."""

        async def read(request: web.Request) -> web.StreamResponse:
            request[HEADERS].update({"request-id": begin_request(), "Connection": "keep-alive"})
            return await handler(request, MESSAGES.decode(await read_body(request, max_body_bytes)))

        return read

    async def create(request: web.Request, body: MessagesBody) -> web.StreamResponse:
        return await messages.create(request, body, ping_s)

    return [
        web.post("/v1/messages", reading(create)),
        web.post("/v1/messages/count_tokens", reading(messages.count_tokens)),
    ]
