"""The commands about stored and loaded models: list, ps, show, cp, rm, stop."""

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from corral import CorralError, JSONObject
from corral_cli.command import ClientCommand
from corral_cli.flags import switch

if TYPE_CHECKING:
    from corral_cli.client import Client

SELECTORS = ("license", "modelfile", "parameters", "system", "template")


def list_table(answer: JSONObject, prefix: str, now: datetime) -> str:
    """The table of `list`: the models of `/api/tags` whose name begins with `prefix`, in any case."""
    from corral_cli.formatting import byte_size, relative_time
    from corral_cli.tables import table

    rows = [
        (
            model["name"],
            model["digest"][:12],
            "-" if model.get("remote_model") else byte_size(model["size"]),
            relative_time(model["modified_at"], now),
        )
        for model in answer["models"] or ()
        if model["name"].lower().startswith(prefix.lower())
    ]
    return table(("NAME", "ID", "SIZE", "MODIFIED"), rows)


def ps_table(answer: JSONObject, prefix: str, now: datetime) -> str:
    """The table of `ps`: the models of `/api/ps` whose name begins with `prefix`."""
    from corral_cli.formatting import byte_size, parse_time, relative_time
    from corral_cli.tables import table

    def until(expires_at: str) -> str:
        return "Stopping..." if parse_time(expires_at) < now else relative_time(expires_at, now)

    rows = [
        (
            model["name"],
            model["digest"][:12],
            byte_size(model["size"]),
            processor(model["size"], model.get("size_vram", 0)),
            str(model.get("context_length", 0)),
            until(model["expires_at"]),
        )
        for model in answer["models"] or ()
        if model["name"].startswith(prefix)
    ]
    return table(("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"), rows)


def activity_table(answer: JSONObject, prefix: str) -> str:
    """What the loaded models are doing, and what their finished requests cost in all."""
    from corral_cli.tables import table

    def row(model: JSONObject) -> tuple[str, ...]:
        done = model.get("activity") or {}

        def took(name: str) -> str:
            return f"{done.get(name, 0) / 1e3:.1f} s"

        counts = ("active", "queued", "prompt_tokens", "cached_tokens", "eval_tokens")
        guesses = f"{done.get('accepted_tokens', 0)} of {done.get('drafted_tokens', 0)}"
        times = map(took, ("load_ms", "queue_ms", "prompt_ms", "eval_ms"))
        return (model["name"], *(str(done.get(name, 0)) for name in counts), guesses, *times)

    rows = [row(model) for model in answer["models"] or () if model["name"].startswith(prefix)]
    header = (
        "NAME",
        "ACTIVE",
        "QUEUED",
        "PROMPT",
        "CACHED",
        "GENERATED",
        "GUESSED",
        "LOAD",
        "QUEUE",
        "PREFILL",
        "DECODE",
    )
    return table(header, rows)


def processor(size: int, size_vram: int) -> str:
    """Where a model runs, from its bytes in all and on the GPU."""
    if size_vram == 0:
        return "100% CPU"
    if size_vram == size:
        return "100% GPU"
    if size_vram > size or size == 0:
        return "Unknown"
    cpu = int((size - size_vram) / size * 100 + 0.5)
    return f"{cpu}%/{100 - cpu}% CPU/GPU"


class ListModels(ClientCommand):
    """`corral list [PREFIX]`."""

    name, help = "list", "List models"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Words after the first are ignored, as in the reference."""
        super().configure(parser)
        parser.add_argument("prefix", nargs="*", metavar="PREFIX", help="show only names that begin so, in any case")

    async def talk(self, client: "Client", args: argparse.Namespace) -> None:
        """Print the table."""
        prefix = args.prefix[0] if args.prefix else ""
        print(list_table(await client.get("/api/tags"), prefix, datetime.now(UTC)), end="")


class ListLoaded(ClientCommand):
    """`corral ps [PREFIX]`."""

    name, help = "ps", "List loaded models"
    needs_server = True

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Words after the first are ignored, as in the reference."""
        super().configure(parser)
        parser.add_argument("prefix", nargs="*", metavar="PREFIX", help="show only names that begin so")
        switch(parser, "--verbose", help="show requests, tokens and times as well")

    async def talk(self, client: "Client", args: argparse.Namespace) -> None:
        """Print the table, and with `--verbose` a second one."""
        prefix = args.prefix[0] if args.prefix else ""
        answer = await client.get("/api/ps?verbose=1" if args.verbose else "/api/ps")
        print(ps_table(answer, prefix, datetime.now(UTC)), end="")
        if args.verbose:
            print("\n" + activity_table(answer, prefix), end="")


class Show(ClientCommand):
    """`corral show MODEL`."""

    name, help = "show", "Show what a model is and can do"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """One model; at most one selector."""
        super().configure(parser)
        parser.add_argument("model", metavar="MODEL")
        for selector in SELECTORS:
            switch(parser, f"--{selector}", help=f"print the model's {selector} only")
        switch(parser, "-v", "--verbose", help="all metadata and tensors too")

    async def talk(self, client: "Client", args: argparse.Namespace) -> None:
        """Print the sections, or the one text that was asked for."""
        chosen = [selector for selector in SELECTORS if getattr(args, selector)]
        if len(chosen) > 1:
            names = ", ".join(f"'--{selector}'" for selector in SELECTORS[:-1])
            raise CorralError(f"only one of {names}, or '--{SELECTORS[-1]}' can be specified")
        shown = await client.show(args.model, verbose=args.verbose)
        if chosen:
            print(shown.get(chosen[0]) or "", end="" if chosen[0] in ("system", "template") else "\n")
            return
        from corral_cli.show import sections

        print(sections(shown, verbose=args.verbose), end="")


class Copy(ClientCommand):
    """`corral cp SOURCE DESTINATION`."""

    name, help = "cp", "Copy a model"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Two names."""
        super().configure(parser)
        parser.add_argument("source", metavar="SOURCE")
        parser.add_argument("destination", metavar="DESTINATION")

    async def talk(self, client: "Client", args: argparse.Namespace) -> None:
        """Copy and say so."""
        await client.post("/api/copy", {"source": args.source, "destination": args.destination})
        print(f"copied '{args.source}' to '{args.destination}'")


async def unload(client: "Client", model: str) -> None:
    """Unload a model as soon as its requests have ended.  Raises ServerError, 404 when there is no such model."""
    await client.show(model)
    await client.post("/api/generate", {"model": model, "prompt": "", "keep_alive": 0, "stream": False})


class Remove(ClientCommand):
    """`corral rm MODEL…`."""

    name, help = "rm", "Remove models"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """At least one name."""
        super().configure(parser)
        parser.add_argument("models", nargs="+", metavar="MODEL")

    async def talk(self, client: "Client", args: argparse.Namespace) -> None:
        """Unload and delete, one after the other; the first that cannot be deleted ends it."""
        from corral_cli.client import ServerError

        for model in args.models:
            try:
                await unload(client, model)
            except ServerError as err:
                if err.status != 404:
                    print(f"Warning: unable to stop model '{model}'", file=sys.stderr)
            await client.delete("/api/delete", {"model": model})
            print(f"deleted '{model}'")


class Stop(ClientCommand):
    """`corral stop MODEL`."""

    name, help = "stop", "Unload a model"
    needs_server = True

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """One name."""
        super().configure(parser)
        parser.add_argument("model", metavar="MODEL")

    async def talk(self, client: "Client", args: argparse.Namespace) -> None:
        """Unload, silently."""
        from corral_cli.client import ServerError

        try:
            await unload(client, args.model)
        except ServerError as err:
            if err.status == 404:
                raise CorralError(f'couldn\'t find model "{args.model}" to stop') from err
            raise
