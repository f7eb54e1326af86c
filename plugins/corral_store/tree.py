"""The folder `manifests/<host>/<namespace>/<model>/<tag>`: which names are stored, and their manifest files."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from corral import BadRequest, FormatError, ModelNotFound, ModelRef
from corral_store import files, names, wire


def _inside(folder: Path) -> list[Path]:
    """What a folder holds: nothing when it is none, or is deleted meanwhile by whoever shares the store."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


class ManifestTree:
    """The manifests of one store.  `scratch` is a folder of the same file system for temporary files."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self._scratch = scratch

    def path(self, ref: ModelRef) -> Path:
        """Where a name's manifest lies.  Raises BadRequest before a bad name gets near a path."""
        if not names.is_valid(ref):
            raise BadRequest("invalid model name", code="invalid_name")
        return self.root / ref.host / ref.namespace / ref.model / ref.tag

    def refs(self) -> Iterator[ModelRef]:
        """Every stored name, readable or not, sorted.  Files that no name leads to are passed over."""
        paths = [self.root]
        for _ in ("host", "namespace", "model", "tag"):
            paths = [inside for folder in paths for inside in _inside(folder)]
        for path in sorted(paths):
            host, namespace, model, tag = path.relative_to(self.root).parts
            ref = ModelRef(host=host, namespace=namespace, model=model, tag=tag)
            if names.is_valid(ref) and path.is_file():
                yield ref

    def read(self, ref: ModelRef) -> bytes:
        """A manifest's bytes.  Raises ModelNotFound, FormatError."""
        path = self.path(ref)
        try:
            if path.stat().st_size > wire.MAX_MANIFEST_BYTES:
                raise FormatError(f"the manifest of {ref.name} is too large: pull or create the model again")
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as err:
            raise ModelNotFound(f"model '{ref.name}' not found") from err
        except OSError as err:
            raise FormatError(f"the manifest of {ref.name} cannot be read: {err.strerror}") from err

    def manifest(self, ref: ModelRef) -> wire.Manifest:
        """Raises ModelNotFound, FormatError."""
        return wire.read_manifest(self.read(ref), f"the manifest of {ref.name}")

    def write(self, ref: ModelRef, data: bytes) -> None:
        """Replace a manifest atomically.  Raises OSError."""
        path = self.path(ref)
        files.make_folder(path.parent)
        files.write(data, path, self._scratch)

    def remove(self, ref: ModelRef) -> None:
        """Remove a manifest and the folders that held only it.  Raises ModelNotFound, OSError."""
        path = self.path(ref)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError) as err:
            raise ModelNotFound(f"model '{ref.name}' not found") from err
        files.sync_folder(path.parent)
        self.remove_empty_folders()

    def remove_empty_folders(self) -> None:
        """As the name says, from the leaves up; a folder that is not empty stays."""
        for folder in sorted((path for path in self.root.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def resolve(self, ref: ModelRef) -> ModelRef:
        """`ref` in the spelling of what is stored: of the whole name where it is there, else part by part."""
        if self.path(ref).is_file():
            return ref
        stored = list(self.refs())
        for known in stored:
            if known.full_name.lower() == ref.full_name.lower():
                return _spelt(ref, known, ("host", "namespace", "model", "tag"))
        for part in ("host", "namespace", "model", "tag"):
            text = getattr(ref, part)
            same = [known for known in stored if getattr(known, part).lower() == text.lower()]
            if same and not any(getattr(known, part) == text for known in same):
                ref = _spelt(ref, same[0], (part,))
        return ref

    def used(self) -> tuple[set[str], list[str]]:
        """(digests that readable manifests name, what is wrong with the unreadable ones)."""
        digests: set[str] = set()
        broken: list[str] = []
        for ref in self.refs():
            try:
                digests |= self.manifest(ref).digests
            except ModelNotFound:
                continue  # removed by another process meanwhile
            except FormatError as err:
                broken.append(err.message)
        return digests, broken


def _spelt(ref: ModelRef, known: ModelRef, parts: tuple[str, ...]) -> ModelRef:
    return replace(ref, **{part: getattr(known, part) for part in parts})
