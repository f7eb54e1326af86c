"""The plugin "anthropic_api"."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from corral import CorralError, Handler, Middleware, Routes, Settings, hookimpl

if TYPE_CHECKING:
    from aiohttp import web

    from corral.kernel import Kernel

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


class Plugin:
    """Offers the dialect "anthropic" and the middleware "anthropic_models"."""

    class Config(Settings, frozen=True):
        """`max_body_bytes` bounds a request's JSON, `ping_s` is how long a stream may be silent.

        `skip_server_tools`: tools that only Anthropic's servers could run are left out, not refused.
        """

        max_body_bytes: int = 256 << 20
        ping_s: float = 15.0
        skip_server_tools: bool = False

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl
    def corral_routes(self) -> Iterable[Routes]:
        """The routes below /v1/messages."""
        yield AnthropicRoutes(self.config)

    @hookimpl(trylast=True)
    def corral_middlewares(self) -> Iterable[Middleware]:
        """Innermost: the paths of models belong to another dialect, whose clients do not send this one's header."""
        yield Middleware(name="anthropic_models", wrap=self.models)
        yield Middleware(name="anthropic_nowhere", wrap=self.nowhere)

    async def models(self, request: "web.Request", handler: Handler) -> "web.StreamResponse":
        """See `models.answered`."""
        from corral_anthropic_api.models import answered

        return await answered(request, handler, AnthropicRoutes(self.config))

    async def nowhere(self, request: "web.Request", handler: Handler) -> "web.StreamResponse":
        """What is not served below /v1/messages, or to one of Anthropic's clients, is told in its shape."""
        from corral_anthropic_api.models import VERSION
        from corral_http.nowhere import told

        ours = request.path.startswith("/v1/messages")
        ours |= request.path.startswith("/v1/") and VERSION in request.headers
        return await (told(request, handler, error_body) if ours else handler(request))


class AnthropicRoutes:
    """The dialect "anthropic"."""

    name = "anthropic"

    def __init__(self, config: Plugin.Config) -> None:
        self.config = config

    def table(self, kernel: "Kernel") -> "Sequence[web.RouteDef]":
        """All routes of the dialect."""
        from corral_anthropic_api.routes import table

        return table(self.config)

    def render_error(self, error: CorralError, status: int) -> bytes:
        """See `error_body`."""
        return error_body(error, status)


def error_wire(error: CorralError, status: int) -> dict[str, object]:
    """{"type": "error", "error": {type by status, message, details where the error has some}}."""
    from corral_anthropic_api.refusals import RefusedDetails

    details = {"details": error.details} if isinstance(error, RefusedDetails) else {}
    return {"type": "error", "error": {"type": _KINDS.get(status, "api_error"), "message": error.message, **details}}


def error_body(error: CorralError, status: int) -> bytes:
    """The error with the id of the request it ended."""
    from corral_http.request_ids import current_request_id

    wire = {**error_wire(error, status), "request_id": current_request_id()}
    return json.dumps(wire, ensure_ascii=False).encode(errors="replace") + b"\n"
