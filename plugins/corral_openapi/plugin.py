"""The plugin "openapi"."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from corral import CorralError, Routes, Settings, hookimpl

if TYPE_CHECKING:
    from aiohttp import web

    from corral.kernel import Kernel


class Plugin:
    """Offers the dialect "openapi": one route."""

    class Config(Settings, frozen=True):
        """No settings."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl
    def corral_routes(self) -> Iterable[Routes]:
        """GET /openapi.json."""
        yield OpenAPIRoutes()


class OpenAPIRoutes:
    """The dialect "openapi"."""

    name = "openapi"

    def table(self, kernel: "Kernel") -> "Sequence[web.RouteDef]":
        """Its one route."""
        from aiohttp import web

        from corral_openapi.document import described

        return [web.get("/openapi.json", described, answer=dict)]

    def render_error(self, error: CorralError, status: int) -> bytes:
        """{"error": message}."""
        return json.dumps({"error": error.message}, ensure_ascii=False).encode(errors="replace")
