"""`corral serve`: listen until a signal, then end what streams, unload, leave."""

import argparse
import os
import signal
import socket
from typing import TYPE_CHECKING

from corral import CorralError
from corral_cli.flags import SERVER_VARIABLES, describe

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Serve:
    """`corral serve`.  The log is on stderr; nothing is printed on stdout."""

    name, help = "serve", "Start the server"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """No arguments: the host comes from the configuration."""
        describe(parser, self.help, SERVER_VARIABLES)

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """Serve until SIGINT or SIGTERM; a second one ends the process at once."""
        import asyncio
        from contextlib import AsyncExitStack

        from corral.log import get_logger
        from corral.server import serving
        from corral_cli.client import HOST_SETTING
        from corral_cli.interrupt import on_signal
        from corral_cli.logs import start_log
        from corral_http.address import split_host

        start_log(kernel)
        _, host, port, _ = split_host(kernel.config.kernel.host)
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            if stopping.is_set():
                os._exit(1)
            loop.call_soon_threadsafe(stopping.set)

        with on_signal(stop, signal.SIGINT, signal.SIGTERM):
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(kernel.live())
                try:
                    addresses = await stack.enter_async_context(serving(kernel, host, port))
                except OSError as err:
                    if isinstance(err, socket.gaierror):
                        reason = f"{err.strerror} ({HOST_SETTING})"
                    else:
                        reason = os.strerror(err.errno) if err.errno else str(err)
                    shown = f"[{host}]" if ":" in host else host
                    raise CorralError(f"listen tcp {shown}:{port}: bind: {reason[:1].lower()}{reason[1:]}") from err
                log = get_logger("serve")
                log.info("server.started", addresses=[f"{name}:{number}" for name, number in addresses])
                warm_up(kernel)
                await stopping.wait()
                log.info("server.stopped")
        return 0


def warm_up(kernel: "Kernel") -> None:
    """While nobody waits, let the engines that can (`warm()`) import what the first model will need."""
    import asyncio

    for engine in kernel.engines.values():
        if hasattr(engine, "warm"):
            asyncio.get_running_loop().run_in_executor(None, engine.warm)
