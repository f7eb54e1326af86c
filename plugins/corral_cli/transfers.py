"""The commands that move models to and from other places: pull, push."""

import argparse
from typing import TYPE_CHECKING

from corral import CorralError
from corral_cli.command import ClientCommand
from corral_cli.flags import switch

if TYPE_CHECKING:
    from corral_cli.client import Client

_NOT_YOURS = "you are not authorized to push to this namespace, create the model under a namespace you own"
_HUB_HOSTS = (".ollama.ai", ".ollama.com")


async def pull(client: "Client", model: str, *, insecure: bool = False) -> None:
    """Pull a model with progress on stderr.  Raises ServerError."""
    from corral_cli.progress import follow, progress

    with progress() as display:
        await follow(client.stream("/api/pull", {"model": model, "insecure": insecure}), display)


def address(name: str) -> str:
    """Where a pushed model is found: its full name, or its page where the host has pages."""
    path, slash, last = name.rpartition("/")
    model, _, tag = last.partition(":")
    parts = path.split("/") if slash else []
    host = parts[0] if len(parts) > 1 else "registry.ollama.ai"
    namespace = parts[-1] if parts else "library"
    if not host.endswith(_HUB_HOSTS):
        return f"{host}/{namespace}/{model}:{tag or 'latest'}"
    short = model if namespace == "library" else f"{namespace}/{model}"
    return f"https://ollama.com/{short}" + (f":{tag}" if tag not in ("", "latest") else "")


class Pull(ClientCommand):
    """`corral pull MODEL`."""

    name, help = "pull", "Pull a model from a registry or another source"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """One name."""
        super().configure(parser)
        parser.add_argument("model", metavar="MODEL")
        switch(parser, "--insecure", help="allow a registry without TLS")

    async def talk(self, client: "Client", args: argparse.Namespace) -> None:
        """Pull it."""
        await pull(client, args.model, insecure=args.insecure)


class Push(ClientCommand):
    """`corral push MODEL`."""

    name, help = "push", "Push a model to a registry"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """One name."""
        super().configure(parser)
        parser.add_argument("model", metavar="MODEL")
        switch(parser, "--insecure", help="allow a registry without TLS")

    async def talk(self, client: "Client", args: argparse.Namespace) -> None:
        """Push it, then say where it is."""
        from corral_cli.client import ServerError
        from corral_cli.progress import follow, progress

        try:
            with progress() as display:
                body = {"model": args.model, "insecure": args.insecure}
                await follow(client.stream("/api/push", body), display)
        except ServerError as err:
            if "access denied" in err.message.lower() or "unauthorized" in err.message.lower():
                raise CorralError(_NOT_YOURS) from err
            raise
        print(f"\nYou can find your model at:\n\n\t{address(args.model)}")
