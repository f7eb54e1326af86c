"""The server a command talks to: the one that listens, else one in this very process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from corral import CorralError
from corral.kernel import Kernel
from corral_cli.busy import Busy
from corral_cli.client import Client

NO_SERVER = "could not connect to corral server, run 'corral serve' to start it"


@asynccontextmanager
async def connect(kernel: Kernel, *, needs_server: bool = False) -> AsyncIterator[Client]:
    """A client of the configured host.

    When nothing listens there and the host is this machine, the kernel comes up here on a free loopback port for as
    long as the block runs, unless the command asks about a running server (`needs_server`).  Raises CorralError.
    """
    client = Client(kernel.config.kernel.host)
    if await client.is_up():
        yield client
    elif needs_server or not client.is_local:
        raise CorralError(NO_SERVER)
    else:
        from corral.server import serving  # aiohttp: 0.4 s that a client alone need not pay
        from corral_cli.logs import start_log

        busy = Busy()
        start_log(kernel, quiet=busy)
        async with kernel.live(), serving(kernel, "127.0.0.1", 0) as addresses:
            host, port = addresses[0]
            yield Client(f"{host}:{port}", busy)
