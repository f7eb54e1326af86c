"""A store's health: what is broken, what it means for the models, and what `repair` did about it."""

from collections.abc import Generator, Iterator
from pathlib import Path

from corral import CorralError, Value
from corral_store import digests
from corral_store.blobs import BlobFolder
from corral_store.tree import ManifestTree


class Finding(Value, frozen=True):
    """One fault.  `path` is inside the store, `advice` what the user can do; `repaired` when it was mended."""

    path: Path
    fault: str
    advice: str
    repaired: bool = False


def examine(tree: ManifestTree, blobs: BlobFolder, *, repair: bool) -> Iterator[Finding]:
    """Every fault of a store.  With `repair`, corrupt blobs are removed, so that a pull fetches them again, old names
    are changed, and leftovers of killed programs older than an hour go.  Blocking; raises OSError.
    """
    yield from _old_names(blobs, repair=repair)
    corrupt = yield from _contents(blobs, repair=repair)
    used: set[str] = set()
    unreadable = False
    for ref in tree.refs():
        path = tree.path(ref)
        try:
            manifest = tree.manifest(ref)
        except CorralError as err:
            unreadable = True
            yield Finding(path=path, fault=err.message, advice=f"delete {ref.name}, then pull or create it again")
            continue
        used |= manifest.digests
        for layer in (*manifest.layers, manifest.config):
            blob = blobs.path(layer.digest)
            if digests.canonical(layer.digest) in corrupt:
                fault = f"{ref.name} needs the corrupt blob {blob.name}"
            elif not blob.is_file():
                fault = f"{ref.name} needs {blob.name}, which is missing"
            elif blob.stat().st_size != layer.size:
                fault = f"{ref.name} needs {blob.name} of {layer.size} bytes, not {blob.stat().st_size}"
            else:
                continue
            yield Finding(path=path, fault=fault, advice=f"pull or create {ref.name} again")
    if not unreadable:
        yield from _leftovers(blobs, used, repair=repair)


def _old_names(blobs: BlobFolder, *, repair: bool) -> Iterator[Finding]:
    for path in sorted(blobs.root.glob("sha256:*")):
        yield Finding(path=path, fault="a blob under its old name", advice="start the server", repaired=repair)
    if repair:
        blobs.migrate()


def _contents(blobs: BlobFolder, *, repair: bool) -> Generator[Finding, None, set[str]]:
    """Returns the digests of the blobs whose content is another."""
    corrupt: set[str] = set()
    for path in sorted(blobs.root.iterdir()):
        if not digests.is_blob_name(path.name) or blobs.sha256(path) == digests.canonical(path.name):
            continue
        corrupt.add(digests.canonical(path.name))
        if repair:
            path.unlink()
        yield Finding(path=path, fault="its content has another digest", advice="remove it", repaired=repair)
    return corrupt


def _leftovers(blobs: BlobFolder, used: set[str], *, repair: bool) -> Iterator[Finding]:
    for path in sorted(blobs.stale(used)):
        if repair:
            path.unlink(missing_ok=True)
        yield Finding(path=path, fault="no model needs it", advice="restart the server to prune", repaired=repair)
