"""The plugin "http"."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from corral import Handler, Middleware, Settings, hookimpl

if TYPE_CHECKING:
    from aiohttp import web


class Plugin:
    """Offers the middlewares "clients" and "slashes"; its modules are what the dialects share."""

    class Config(Settings, frozen=True):
        """No keys."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @hookimpl(trylast=True)
    def corral_middlewares(self) -> Iterable[Middleware]:
        """Last of all, for who may ask."""
        yield Middleware(name="clients", wrap=self.known)
        yield Middleware(name="slashes", wrap=self.without_last_slash)

    async def known(self, request: "web.Request", handler: Handler) -> "web.StreamResponse":
        """See `clients.named`."""
        from corral_http.clients import named

        return await named(request, handler)

    async def without_last_slash(self, request: "web.Request", handler: Handler) -> "web.StreamResponse":
        """See `slashes.redirect`."""
        from corral_http.slashes import redirect

        return await redirect(request, handler)
