"""The plugin "native_api"."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from corral import CorralError, Routes, Settings, hookimpl

if TYPE_CHECKING:
    from aiohttp import web

    from corral.kernel import Kernel


class Plugin:
    """Offers the dialect "native"."""

    class Config(Settings, frozen=True):
        """`max_body_bytes` bounds a JSON body, packed or not; uploads of blobs have no bound."""

        max_body_bytes: int = 256 << 20

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl
    def corral_routes(self) -> Iterable[Routes]:
        """Every route below /api, and /."""
        yield NativeRoutes(self.config.max_body_bytes)


class NativeRoutes:
    """The dialect "native"."""

    name = "native"

    def __init__(self, max_body_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes

    def table(self, kernel: "Kernel") -> "Sequence[web.RouteDef]":
        """All routes of the dialect."""
        from corral_native_api.routes import table

        return table(self.max_body_bytes)

    def render_error(self, error: CorralError, status: int) -> bytes:
        """{"error": message}."""
        return json.dumps({"error": error.message}, ensure_ascii=False).encode(errors="replace")
