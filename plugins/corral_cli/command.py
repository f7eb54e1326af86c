"""What commands share: one that talks to a server says only what it does with the client."""

import argparse
from typing import TYPE_CHECKING

from corral_cli.flags import CLIENT_VARIABLES, describe

if TYPE_CHECKING:
    from corral.kernel import Kernel
    from corral.protocols import Command
    from corral_cli.client import Client


class ClientCommand:
    """A command of the native API.  `needs_server`: it asks about a running server, so none is brought up for it."""

    name = ""
    help = ""
    needs_server = False

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Describe the command; subclasses add their arguments."""
        describe(parser, self.help, CLIENT_VARIABLES)

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """Connect and `talk`."""
        from corral_cli.local import connect  # http.client: 0.06 s that --help and argument errors need not pay

        async with connect(kernel, needs_server=self.needs_server) as client:
            await self.talk(client, args)
        return 0

    async def talk(self, client: "Client", args: argparse.Namespace) -> None:
        """The command's work.  Raises CorralError."""
        raise NotImplementedError


class Alias:
    """Another name of a command, which `--help` does not list."""

    help = ""

    def __init__(self, name: str, command: "Command") -> None:
        self.name = name
        self._command = command

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """As the command."""
        self._command.configure(parser)

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """As the command."""
        return await self._command.run(args, kernel)
