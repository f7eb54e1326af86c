"""The plugin "origin"."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from corral import Handler, Middleware, Settings, hookimpl

if TYPE_CHECKING:
    from aiohttp import web

    from corral.kernel import Kernel


class Plugin:
    """Offers the outermost middleware "origin"."""

    class Config(Settings, frozen=True):
        """`hosts`: further names (comma separated) that may stand in `Host`.

        `check_host`: "loopback" checks only while the server listens on a loopback address, "always" on every address,
        "never" not at all.
        """

        hosts: str = ""
        check_host: str = "loopback"

    def __init__(self, config: Config) -> None:
        if config.check_host not in ("loopback", "always", "never"):
            raise ValueError(f'check_host = "{config.check_host}": it is "loopback", "always" or "never"')
        self.config = config

    @hookimpl(tryfirst=True)
    def corral_middlewares(self) -> Iterable[Middleware]:
        """First of all: what comes from a strange page reaches nothing else."""
        yield Middleware(name="origin", wrap=self.guard)

    @hookimpl
    def corral_lifespan(self, kernel: "Kernel") -> AbstractAsyncContextManager[None]:
        """Refuses to start with an origin that could never match."""
        return self._checked(kernel)

    @asynccontextmanager
    async def _checked(self, kernel: "Kernel") -> AsyncIterator[None]:
        from corral_origin.origins import check

        check(kernel.config.kernel.origins)
        yield

    async def guard(self, request: "web.Request", handler: Handler) -> "web.StreamResponse":
        """CORS first, then the host, then everything else."""
        from corral_origin.guard import guard

        return await guard(request, handler, hosts=self.config.hosts, check_host=self.config.check_host)
