"""The plugin "anthropic_api"."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from corral import CorralError, Routes, Settings, hookimpl

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
    """Offers the dialect "anthropic"."""

    class Config(Settings, frozen=True):
        """`max_body_bytes` bounds a request's JSON, `ping_s` is how long a stream may be silent."""

        max_body_bytes: int = 256 << 20
        ping_s: float = 15.0

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl
    def corral_routes(self) -> Iterable[Routes]:
        """Both routes below /v1/messages."""
        yield AnthropicRoutes(self.config)


class AnthropicRoutes:
    """The dialect "anthropic"."""

    name = "anthropic"

    def __init__(self, config: Plugin.Config) -> None:
        self.config = config

    def table(self, kernel: "Kernel") -> "Sequence[web.RouteDef]":
        """All routes of the dialect."""
        from corral_anthropic_api.routes import table

        return table(self.config.max_body_bytes, self.config.ping_s)

    def render_error(self, error: CorralError, status: int) -> bytes:
        """The error with the id of the request it ended."""
        from corral_anthropic_api.identity import current_request_id

        wire = {**error_wire(error, status), "request_id": current_request_id()}
        return json.dumps(wire, ensure_ascii=False).encode(errors="replace") + b"\n"


def error_wire(error: CorralError, status: int) -> dict[str, object]:
    """{"type": "error", "error": {type by status, message}}."""
    return {"type": "error", "error": {"type": _KINDS.get(status, "api_error"), "message": error.message}}
