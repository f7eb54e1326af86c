"""`corral export`, `corral import` and `corral prune`: the store itself, without a server."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from corral import BadRequest, CorralError, ModelRef
from corral_store.store import OllamaStore

if TYPE_CHECKING:
    from corral.kernel import Kernel

Open = Callable[["Kernel"], OllamaStore]


class Export:
    """`corral export MODEL FILE`, or `-` for stdout."""

    name, help = "export", "Write a model to a file"

    def __init__(self, open_store: Open) -> None:
        self._open = open_store

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """A model and a file."""
        parser.description = "Write a model, with all that belongs to it, to one tar file for another machine."
        parser.add_argument("model", metavar="MODEL")
        parser.add_argument("file", metavar="FILE", type=Path, help="a file that is not there yet; - for stdout")

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """Raises ModelNotFound, CorralError."""
        import asyncio

        from corral_store.archive import export

        store, ref = self._open(kernel), kernel.parse_ref(args.model)
        if str(args.file) == "-":
            await asyncio.to_thread(_to_stdout, store, ref)
            return 0
        if not args.file.absolute().parent.is_dir():
            raise CorralError(f"{args.file.parent} is no folder")
        size = await asyncio.to_thread(export, store, ref, args.file.absolute())
        sys.stderr.write(f"exported {store.resolve(ref).name} to {args.file} ({size} bytes)\n")
        return 0


def _to_stdout(store: OllamaStore, ref: ModelRef) -> None:
    from corral_store.archive import write

    if sys.stdout.isatty():
        raise CorralError("a model is no text for a terminal: name a file, or send stdout to one")
    try:
        write(store, ref, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except OSError as err:
        raise CorralError(f"exporting {ref.name} to stdout: {err.strerror or err}") from err


class Import:
    """`corral import FILE`, or `-` for stdin."""

    name, help = "import", "Take in a model from a file that export wrote"

    def __init__(self, open_store: Open) -> None:
        self._open = open_store

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """A file."""
        parser.description = (
            "Take in the models of a file that `corral export` wrote; a model of the same name is replaced."
        )
        parser.add_argument("file", metavar="FILE", type=Path, help="a file; - for stdin")

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """Raises FormatError, CorralError."""
        from corral_store.archive import load

        if str(args.file) == "-":
            if sys.stdin.isatty():
                raise CorralError("a model is no text from a terminal: name a file, or send one to stdin")
        elif not args.file.is_file():
            raise BadRequest(f"{args.file}: no such file")
        for model in await load(self._open(kernel), sys.stdin.buffer if str(args.file) == "-" else args.file):
            sys.stderr.write(f"imported {model.ref.name}\n")
        return 0


class Prune:
    """`corral prune`."""

    name, help = "prune", "Remove files that no model uses"

    def __init__(self, open_store: Open) -> None:
        self._open = open_store

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Nothing but the name."""
        parser.description = (
            "Remove the files of the store that no model uses, as a server does when it starts; those written to in "
            "the last hour stay, because a pull or create may be at work with them."
        )

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """Raises CorralError when a manifest cannot be read: nobody knows then what its model uses."""
        pruned = await self._open(kernel).sweep()
        blobs = "1 blob" if pruned.n_blobs == 1 else f"{pruned.n_blobs} blobs"
        sys.stderr.write(f"removed {blobs} that no model uses, {pruned.n_bytes} bytes in all\n")
        if pruned.skipped:
            raise CorralError(f"no blob was looked at: {pruned.skipped}; pull, create or remove that model")
        return 0
