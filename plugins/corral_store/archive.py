"""One model as a tar file: its manifest, then its blobs, under the paths they have in the store.

Unpacked into any store of this layout the file is that model.  What is read is hostile: names are matched, never
followed, and every blob must be what its name says.
"""

import asyncio
import io
import os
import re
import tarfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO

from corral import CorralError, FormatError, ModelRef, StoredModel
from corral_store import digests, files, names, wire
from corral_store.store import OllamaStore

_BLOCK_BYTES = 4 << 20
_BLOB = re.compile(r"(?:\./)?blobs/(sha256-[0-9a-f]{64})")
_MANIFEST = re.compile(r"(?:\./)?manifests/([^/]+)/([^/]+)/([^/]+)/([^/]+)")


def export(store: OllamaStore, ref: ModelRef, target: Path) -> int:
    """Write a model to `target`, which appears only when it is whole; its length.  Blocking.

    Raises ModelNotFound, FormatError for a model with a missing blob, CorralError when the disk refuses or `target` is
    there already.
    """
    if target.exists():
        raise CorralError(f"{target} exists already: remove it or choose another name")
    partial = target.with_name(f".{target.name}.partial")
    with files.guarded(f"exporting {ref.name} to {target}", store.root):
        try:
            with partial.open("wb") as file:
                write(store, ref, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return target.stat().st_size


def write(store: OllamaStore, ref: ModelRef, out: IO[bytes]) -> None:
    """The same into a stream, which need not be seekable.  Blocking.  Raises ModelNotFound, FormatError, OSError."""
    ref = store.resolve(ref)
    store.get(ref)  # texts and config can be read
    data = store.manifest(ref)
    manifest = wire.read_manifest(data, f"the manifest of {ref.name}")
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(_member(_manifest_name(ref), len(data)), io.BytesIO(data))
        for digest in dict.fromkeys(layer.digest for layer in (manifest.config, *manifest.layers)):
            _add_blob(archive, store.path(digest), ref)


def _add_blob(archive: tarfile.TarFile, path: Path, ref: ModelRef) -> None:
    if not path.is_file():
        raise FormatError(f"{ref.name}: blob {path.name} is not in the store: pull or create the model again")
    with path.open("rb") as file:
        archive.addfile(_member(f"blobs/{path.name}", path.stat().st_size), file)


def _manifest_name(ref: ModelRef) -> str:
    return f"manifests/{ref.host}/{ref.namespace}/{ref.model}/{ref.tag}"


def _member(name: str, size: int) -> tarfile.TarInfo:
    """Neither times nor owners: the same model gives the same file."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


async def load(store: OllamaStore, source: Path | IO[bytes]) -> Sequence[StoredModel]:
    """Take in every model of an archive: a file, or stdin, which need not be seekable.

    Raises FormatError naming the member that is wrong.  Then, and when cancelled, the store is as it was.
    """
    added: list[str] = []
    name = source.name if isinstance(source, Path) else "stdin"
    try:
        with _opened(source) as archive:
            manifests = await _load_members(store, archive, name, added)
        used = {digest for data in manifests.values() for digest in wire.read_manifest(data, name).digests}
        for digest in used:
            if not store.has(digest):
                raise FormatError(f"{name} is cut short, or was never whole: it ends without blob {digest}")
        for digest in added:
            if digest not in used:
                raise FormatError(f"{name}: blob {digest} belongs to no model of the archive")
        return [await store.put_manifest(ref, data) for ref, data in manifests.items()]
    except BaseException as err:
        kept = {layer.digest for model in store.list() for layer in model.layers}
        for digest in set(added) - kept:
            await asyncio.to_thread(store.path(digest).unlink, missing_ok=True)
        if isinstance(err, tarfile.ReadError) and str(err) == "unexpected end of data":
            raise FormatError(f"{name} is cut short: copy or export it again") from err
        if isinstance(err, tarfile.TarError | EOFError):
            raise FormatError(f"{name} is no archive of models: {err}") from err
        if isinstance(err, OSError):
            raise CorralError(f"{name}: {err.strerror or err}", code="store_error") from err
        raise


def _opened(source: Path | IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(source, "r:") if isinstance(source, Path) else tarfile.open(fileobj=source, mode="r|")


async def _load_members(
    store: OllamaStore, archive: tarfile.TarFile, name: str, added: list[str]
) -> dict[ModelRef, bytes]:
    """Put the blobs into the store; the manifests that the archive holds."""
    manifests: dict[ModelRef, bytes] = {}
    while (member := await asyncio.to_thread(archive.next)) is not None:
        if member.isdir():
            continue
        file = archive.extractfile(member) if member.isreg() else None
        blob, entry = _BLOB.fullmatch(member.name), _MANIFEST.fullmatch(member.name)
        if file is None or not (blob or entry):
            raise FormatError(f"{name}: {member.name!r} is neither a blob nor a manifest")
        if blob:
            digest = digests.canonical(blob[1])
            if not store.has(digest):
                added.append(digest)
                await store.put(_blocks(file), digest=digest)
        elif entry:
            ref = ModelRef(host=entry[1], namespace=entry[2], model=entry[3], tag=entry[4], source="registry")
            if not names.is_valid(ref) or member.size > wire.MAX_MANIFEST_BYTES:
                raise FormatError(f"{name}: {member.name!r} is no manifest")
            manifests[store.resolve(ref)] = file.read()
    if not manifests:
        raise FormatError(f"{name} holds no model")
    return manifests


async def _blocks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(file.read, _BLOCK_BYTES):
        yield block
