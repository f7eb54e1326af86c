"""The commands about Corral itself: version, help, signin and signout."""

import argparse
from typing import TYPE_CHECKING

from corral import API_VERSION, CorralError, __version__
from corral_cli.flags import CLIENT_VARIABLES, describe

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Version:
    """`corral version`, `corral -v`: the version the listening server reports, and this program's where it differs.

    Both are versions of the API.  The release of Corral comes last.
    """

    name, help = "version", "Show the version of the server and of this program"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """No arguments."""
        describe(parser, self.help, CLIENT_VARIABLES)

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """Print it; a server that cannot be reached is no error."""
        from corral_cli.client import Client

        try:
            served = str((await Client(kernel.config.kernel.host).get("/api/version")).get("version", ""))
        except CorralError:
            served = ""
            print("Warning: could not connect to a running Corral instance")
        if served:
            print(f"corral version is {served}")
        if served != API_VERSION:
            print(f"Warning: client version is {API_VERSION}")
        print(f"Corral release {__version__}; the version above is that of the API it speaks")
        return 0


class Help:
    """`corral help [COMMAND]`."""

    name, help = "help", "Help about any command"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """The words of a command."""
        describe(parser, self.help)
        parser.add_argument("topic", nargs="*", metavar="COMMAND")

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """What `COMMAND --help` prints."""
        from corral.__main__ import run

        try:
            return run([*args.topic[:1], "--help"])
        except SystemExit as done:  # how argparse ends after --help
            return int(done.code or 0)


class Account:
    """`signin`, `signout`: they exist to say that there are no accounts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.help = "Not supported: Corral has no accounts"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """No arguments."""
        describe(parser, self.help)

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """Raises CorralError."""
        raise CorralError("accounts are not supported: everything Corral does is on your own machine")
