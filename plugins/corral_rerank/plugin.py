"""The plugin "rerank"."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from corral import CorralError, Routes, Settings, hookimpl

if TYPE_CHECKING:
    from aiohttp import web

    from corral.kernel import Kernel


class Plugin:
    """Offers the dialects "rerank" and "native_rerank"."""

    class Config(Settings, frozen=True):
        """`max_body_bytes` bounds a request's JSON, `max_documents` the documents of one request."""

        max_body_bytes: int = 64 << 20
        max_documents: int = 10_000

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl
    def corral_routes(self) -> Iterable[Routes]:
        """The same work below /v1 and /api; errors in the shape of the one or the other."""
        yield RerankRoutes(self.config)
        yield NativeRerankRoutes(self.config)


class RerankRoutes:
    """The dialect "rerank": the paths of Jina's and Cohere's clients."""

    name = "rerank"
    paths: tuple[str, ...] = ("/v1/rerank", "/v2/rerank")

    def __init__(self, config: Plugin.Config) -> None:
        self.config = config

    def table(self, kernel: "Kernel") -> "Sequence[web.RouteDef]":
        """All routes of the dialect."""
        from corral_rerank.routes import table

        return table(self.config, self.paths)

    def render_error(self, error: CorralError, status: int) -> bytes:
        """`error` is an object, as everywhere below /v1."""
        from corral_http.error_objects import error_object
        from corral_rerank.routes import error_body

        return error_body(error.message, error_object(error.message, status))


class NativeRerankRoutes(RerankRoutes):
    """The dialect "native_rerank"."""

    name = "native_rerank"
    paths = ("/api/rerank",)

    def render_error(self, error: CorralError, status: int) -> bytes:
        """`error` is the message, as everywhere below /api."""
        from corral_rerank.routes import error_body

        return error_body(error.message, error.message)
