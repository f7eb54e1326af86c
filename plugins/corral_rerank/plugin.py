"""The plugin "rerank"."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from corral import CorralError, Routes, Settings, hookimpl

if TYPE_CHECKING:
    from aiohttp import web

    from corral.kernel import Kernel


class Plugin:
    """Offers the dialect "rerank"."""

    class Config(Settings, frozen=True):
        """`max_body_bytes` bounds a request's JSON, `max_documents` the documents of one request."""

        max_body_bytes: int = 64 << 20
        max_documents: int = 10_000

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl
    def corral_routes(self) -> Iterable[Routes]:
        """Both routes: the same work, errors in one shape that clients of either kind read."""
        yield RerankRoutes(self.config)


class RerankRoutes:
    """The dialect "rerank"."""

    name = "rerank"

    def __init__(self, config: Plugin.Config) -> None:
        self.config = config

    def table(self, kernel: "Kernel") -> "Sequence[web.RouteDef]":
        """All routes of the dialect."""
        from corral_rerank.routes import table

        return table(self.config)

    def render_error(self, error: CorralError, status: int) -> bytes:
        """`error` for clients of the native API, `detail` and `message` for those of Jina and Cohere."""
        wire = {"error": error.message, "message": error.message, "detail": error.message}
        return json.dumps(wire, ensure_ascii=False).encode(errors="replace")
