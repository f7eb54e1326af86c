"""`corral create`: read a Modelfile, upload the files it names, let the server build the model."""

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from corral import CorralError, JSONObject, ModelInfo, Unsupported
from corral_cli.command import ClientCommand
from corral_cli.flags import switch

if TYPE_CHECKING:
    from corral.kernel import Kernel
    from corral_cli.client import Client
    from corral_cli.progress import Progress
    from corral_cli.uploads import Uploads
    from corral_modelfile import LocalFiles, Modelfile

_WEIGHTS = (".gguf", ".safetensors")
_LINK = (
    "do not copy weight files into the store of a server on this machine: hard-link them where blocks cannot be shared "
    "(a file that is edited in place afterwards spoils the model)"
)


class Create(ClientCommand):
    """`corral create MODEL`."""

    name, help = "create", "Create a model from a Modelfile"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """A name, a Modelfile."""
        super().configure(parser)
        parser.add_argument("model", metavar="MODEL")
        parser.add_argument("-f", "--file", metavar="FILE", help="the Modelfile (default: Modelfile in this folder)")
        parser.add_argument("-q", "--quantize", metavar="TYPE", default="", help="quantize to this type (e.g. q4_K_M)")
        parser.add_argument("--draft-quantize", metavar="TYPE", default="", help="quantize the DRAFT model")
        switch(parser, "--link", help=_LINK)
        switch(parser, "--dry-run", help="print the size and the mix of storage types, make nothing")
        switch(parser, "--experimental", help="not supported")

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """As every command of the native API; the kernel's loaders check files before they are sent."""
        self._kernel = kernel
        return await super().run(args, kernel)

    async def talk(self, client: "Client", args: argparse.Namespace) -> None:
        """Check what can be checked here, upload, create."""
        from corral_cli.dry_run import base_info, report
        from corral_cli.progress import progress
        from corral_modelfile import files_for, rehearse

        if args.experimental:
            raise CorralError("--experimental is not supported: create reads safetensors folders without it")
        await check_name(client, args.model)
        modelfile, folder = read(args.file)
        for warning in modelfile.warnings:
            print(warning)
        with progress() as display:
            display.show("gathering model components")
            files = files_for(modelfile, folder)
            if files.base.lower().endswith(_WEIGHTS):
                await require_model(client, files.base)
            if args.draft_quantize and not files.draft_files:
                raise CorralError("--draft-quantize requires a DRAFT model")
            model = await asyncio.to_thread(check, self._kernel, files, args.dry_run)
            if not args.dry_run:
                await self._make(client, args, modelfile, files, display)
            elif files.base:
                model = await base_info(self._kernel, client, files.base)
            if args.dry_run and model is not None:
                for warning in await asyncio.to_thread(rehearse, self._kernel, modelfile, files, model):
                    display.show(warning)
        if args.dry_run:
            print(report(self._kernel, model, args.quantize), end="")

    async def _make(
        self,
        client: "Client",
        args: argparse.Namespace,
        modelfile: "Modelfile",
        files: "LocalFiles",
        display: "Progress",
    ) -> None:
        from corral_cli.progress import follow
        from corral_cli.uploads import Uploads

        if files.base and files.files:
            display.show(f"warning: FROM {files.base} names a model, so {', '.join(files.files)} is not used")
        uploads = Uploads(client, display)
        try:
            is_converted = any(name.endswith(".safetensors") for name in files.files)
            passing = is_converted or bool(args.quantize or args.draft_quantize)
            await uploads.look_around(self._kernel, link=args.link, passing=passing)
            body = await request(uploads, modelfile, files)
            body |= {"model": args.model}
            body |= {"quantize": args.quantize} if args.quantize else {}
            body |= {"draft_quantize": args.draft_quantize} if args.draft_quantize else {}
            await follow(client.stream("/api/create", body), display)
        finally:  # after Ctrl-C, too
            await uploads.take_back()


def check(kernel: "Kernel", files: "LocalFiles", dry_run: bool) -> ModelInfo | None:
    """Open every weight file that can be read here: a broken one is not sent.  What the model among them holds.

    Raises FormatError naming the file.  What cannot be converted here a server may know: Unsupported in a dry run only.
    """
    from corral_modelfile import inspect

    if not kernel.loaders:
        return None
    for group in (files.draft_files, files.adapters):
        inspect(kernel, group)
    try:
        found = inspect(kernel, files.files, describe=True) if files.files else []
    except Unsupported:
        if dry_run:
            raise
        return None
    return next((info for info in found if info.kind == "model"), None)


async def check_name(client: "Client", name: str) -> None:
    """Ask the server what it thinks of a name, before anything is uploaded for it.  Raises CorralError."""
    from corral_cli.client import ServerError

    try:
        await client.show(name)
    except ServerError as err:
        if "invalid model name" in err.message:
            raise CorralError(f"invalid model name: {name}") from err


async def require_model(client: "Client", name: str) -> None:
    """A FROM that looks like a file and is none must at least name a model that is there.  Raises CorralError."""
    from corral_cli.client import ServerError

    try:
        await client.show(name)
    except ServerError as err:
        if err.status not in (400, 404):
            raise
        raise CorralError(f"FROM {name}: the file {name} does not exist, and no model is called so") from err


def read(file: str | None) -> tuple["Modelfile", Path]:
    """The Modelfile and the folder its paths start from; `FROM .` where none was named and none is there."""
    from corral_modelfile import parse

    path = Path(file or "Modelfile")
    try:
        return parse(path.read_bytes()), path.parent
    except FileNotFoundError as err:
        if file:
            raise CorralError("specified Modelfile wasn't found") from err
        return parse("FROM .\n"), Path()
    except OSError as err:
        raise CorralError(f"{path}: {(err.strerror or str(err)).lower()}") from err


async def request(uploads: "Uploads", modelfile: "Modelfile", files: "LocalFiles") -> JSONObject:
    """The body of `/api/create`, once every file it names is on the server."""
    groups = {"files": files.files, "draft_files": files.draft_files, "adapters": files.adapters}
    digests = await uploads.send(path for group in groups.values() for path in group.values())
    body: JSONObject = modelfile.fields()
    if files.base:
        body["from"] = files.base
    for field, group in groups.items():
        if group:
            body[field] = {name: digests[path] for name, path in group.items()}
    return body
