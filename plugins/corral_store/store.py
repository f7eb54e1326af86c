"""The store: manifests and blobs together."""

import hashlib
from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from corral import (
    CorralError,
    FormatError,
    JSONObject,
    Layer,
    Message,
    ModelConfig,
    ModelNotFound,
    ModelRef,
    PluginError,
    StoredModel,
)
from corral.log import get_logger
from corral_store import digests, files, lock, wire, work
from corral_store.blobs import BlobFolder
from corral_store.doctor import Finding, examine
from corral_store.tree import ManifestTree


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `sweep` removed.  `skipped`: why it left all blobs alone."""

    n_blobs: int
    n_bytes: int
    skipped: str = ""


class OllamaStore:
    """Ollama's store.  Reading is done where it is called; writing happens off the loop, under the store's lock."""

    name = "ollama"

    def __init__(self) -> None:
        self.keep_unused = False
        self._root: Path | None = None

    def open(self, root: Path, *, noprune: bool = False) -> None:
        """Use (and create) the folder `root`.  With `noprune`, replacing a model keeps the old one's blobs."""
        self._root, self.keep_unused = root, noprune
        self.log = get_logger("store")
        self.blobs = BlobFolder(root / "blobs")
        self.tree = ManifestTree(root / "manifests", self.blobs.root)
        with guarded_folders(root):
            files.make_folder(self.blobs.root)
            files.make_folder(self.tree.root)

    @property
    def root(self) -> Path:
        """Raises PluginError before the store is open."""
        if self._root is None:
            raise PluginError("the store is not open: it opens with the kernel's lifespan (`async with kernel.live()`)")
        return self._root

    @contextmanager
    def _writing(self, doing: str) -> Iterator[None]:
        with files.guarded(doing, self.root), lock.exclusive(self.root):
            yield

    # --- blobs ----------------------------------------------------------------------------------------------------

    def has(self, digest: str) -> bool:
        """Raises BadRequest("invalid digest format")."""
        return self.path(digest).is_file()

    def path(self, digest: str) -> Path:
        """Raises BadRequest("invalid digest format")."""
        _ = self.root
        return self.blobs.path(digest)

    async def put(self, chunks: AsyncIterable[bytes], *, digest: str | None = None) -> Layer:
        """Raises BadRequest when the bytes differ from `digest`; then nothing of them is kept."""
        _ = self.root
        return await self.blobs.put(chunks, digest)

    async def adopt(self, path: Path, *, move: bool = False) -> Layer:
        """Raises BadRequest for anything but a regular file."""
        with files.guarded(f"taking in {path.name}", self.root):
            return await self.blobs.adopt(path, move=move)

    # --- models ---------------------------------------------------------------------------------------------------

    def resolve(self, ref: ModelRef) -> ModelRef:
        """The spelling under which a name, or each of its parts, is stored already."""
        _ = self.root
        return self.tree.resolve(ref)

    def manifest(self, ref: ModelRef) -> bytes:
        """Raises ModelNotFound, FormatError."""
        _ = self.root
        return self.tree.read(ref)

    def get(self, ref: ModelRef) -> StoredModel:
        """Raises ModelNotFound, FormatError (a broken manifest, a missing blob)."""
        while True:
            data = self.manifest(ref)
            try:
                return self._read(ref, data)
            except FormatError:
                if self.manifest(ref) == data:  # else somebody replaced the model meanwhile
                    raise

    def _read(self, ref: ModelRef, data: bytes) -> StoredModel:
        """What the manifest `data` says, with the texts it names."""
        what = f"the manifest of {ref.name}"
        manifest = wire.read_manifest(data, what)
        try:
            modified_at = self.tree.path(ref).stat().st_mtime
        except OSError as err:
            raise ModelNotFound(f"model '{ref.name}' not found") from err
        layers = tuple(layer.layer() for layer in manifest.layers)
        texts = _Texts(self.blobs, layers, ref)
        config = wire.read_config(texts.read(manifest.config.layer()), f"the config of {ref.name}")
        return StoredModel(
            ref=ref,
            digest=hashlib.sha256(data).hexdigest(),
            size_bytes=manifest.config.size + sum(layer.size_bytes for layer in layers),
            modified_at=modified_at,
            config=config,
            layers=layers,
            weights=texts.paths("model"),
            adapters=texts.paths("adapter"),
            projectors=texts.paths("projector"),
            drafts=texts.paths("draft"),
            template=texts.last("template", "prompt"),
            system=texts.last("system") or "",
            parameters=texts.parameters(),
            messages=texts.messages(),
            licenses=tuple(texts.all("license")),
        )

    def list(self) -> Sequence[StoredModel]:
        """Newest first; what cannot be read is skipped with a log line."""
        _ = self.root
        models = []
        for ref in self.tree.refs():
            try:
                models.append(self.get(ref))
            except (ModelNotFound, FormatError) as err:
                self.log.warning("manifest.skipped", model=ref.name, error=err.message)
        return sorted(models, key=lambda model: -model.modified_at)

    async def save(self, ref: ModelRef, config: ModelConfig, layers: Sequence[Layer]) -> StoredModel:
        """Raises FormatError when a layer's blob is missing; then the old model is as it was."""

        def work() -> None:
            with self._writing(f"saving {ref.name}"):
                data = wire.write_config(config)
                is_new = not self.blobs.path(digests.of(data)).is_file()
                blob = self.blobs.put_bytes(data)
                entry = Layer(media_type=wire.CONFIG, digest=blob.digest, size_bytes=blob.size_bytes)
                try:
                    self._replace(ref, wire.write_manifest(entry, [*layers]))
                except (CorralError, OSError):
                    if is_new:
                        self.blobs.remove(blob.digest)
                    raise

        await files.in_thread(work)
        return self.get(ref)

    async def put_manifest(self, ref: ModelRef, manifest: bytes) -> StoredModel:
        """Raises FormatError when it is no manifest, names no layer, or a blob is missing or of another size."""
        if not wire.read_manifest(manifest, f"the manifest of {ref.name}").layers:
            raise FormatError(f"the manifest of {ref.name} names no layers")

        def work() -> None:
            with self._writing(f"saving {ref.name}"):
                self._replace(ref, manifest)

        await files.in_thread(work)
        return self.get(ref)

    def _replace(self, ref: ModelRef, data: bytes) -> None:
        """Swap a manifest and drop what only the old one used.  The caller holds the lock."""
        manifest = wire.read_manifest(data, f"the manifest of {ref.name}")
        for layer in (*manifest.layers, manifest.config):
            path = self.blobs.path(layer.digest)
            if not path.is_file() or path.stat().st_size != layer.size:
                raise FormatError(
                    f"{ref.name}: blob {layer.digest} of {layer.size} bytes is not in the store: pull or create again"
                )
            self.blobs.touch(layer.digest)
        before = self._digests(ref)
        self.tree.write(ref, data)
        if not self.keep_unused:
            self._drop_unused(before)

    def _digests(self, ref: ModelRef) -> set[str]:
        """What the present manifest of a name uses; nothing when there is none that can be read."""
        try:
            return self.tree.manifest(ref).digests
        except (ModelNotFound, FormatError):
            return set()

    def _drop_unused(self, candidates: Iterable[str]) -> None:
        candidates = set(candidates)
        if candidates:
            used, _ = self.tree.used()
            for digest in candidates - used:
                self.blobs.remove(digest)

    async def copy(self, source: ModelRef, destination: ModelRef) -> None:
        """Copies the manifest only: blobs are shared.  Raises ModelNotFound, FormatError."""

        def work() -> None:
            with self._writing(f"copying {source.name}"):
                if self.tree.path(source) != self.tree.path(destination):
                    self._replace(destination, self.manifest(source))

        self.manifest(source)
        await files.in_thread(work)

    async def delete(self, ref: ModelRef) -> None:
        """Raises ModelNotFound.  A manifest that cannot be read is removed, its blobs are left to `prune`."""

        def work() -> None:
            with self._writing(f"deleting {ref.name}"):
                before = self._digests(ref)
                self.tree.remove(ref)
                self._drop_unused(before)

        await files.in_thread(work)

    async def prune(self) -> int:
        """Remove what nothing refers to and is older than an hour; no blob at all while a manifest is unreadable."""
        pruned = await self.sweep()
        if pruned.skipped:
            self.log.warning("prune.skipped", error=pruned.skipped)
        return pruned.n_blobs

    async def sweep(self, *, blobs: bool = True) -> "Pruned":
        """The same, told in full; without `blobs` only what was left by work that has ended."""

        def sweeping() -> Pruned:
            with self._writing("pruning"):
                n_bytes = work.sweep(self.root)
                if not blobs:
                    return Pruned(0, n_bytes)
                used, broken = self.tree.used()
                if broken:
                    return Pruned(0, n_bytes, skipped=broken[0])
                stale = self.blobs.stale(used)
                n_bytes += sum(map(self.blobs.drop, stale))
                self.tree.remove_empty_folders()
                return Pruned(len(stale), n_bytes)

        return await files.in_thread(sweeping)

    async def doctor(self, *, repair: bool = False) -> tuple[Finding, ...]:
        """Check every manifest and re-hash every blob (slow: reads everything).  With `repair`, mend what can be."""

        def work() -> tuple[Finding, ...]:
            with self._writing("checking") if repair else files.guarded("checking", self.root):
                return tuple(examine(self.tree, self.blobs, repair=repair))

        return await files.in_thread(work)

    async def migrate(self) -> None:
        """Give blobs with old names (`sha256:<hex>`) their present ones."""

        def work() -> None:
            with self._writing("renaming old blobs"):
                self.blobs.migrate()

        await files.in_thread(work)


class _Texts:
    """The layers of one model, by kind."""

    def __init__(self, blobs: BlobFolder, layers: Sequence[Layer], ref: ModelRef) -> None:
        self._blobs, self._layers, self._ref = blobs, layers, ref

    def _of(self, *kinds: str) -> list[Layer]:
        wanted = {wire.IMAGE + kind for kind in kinds}
        return [layer for layer in self._layers if layer.media_type in wanted]

    def read(self, layer: Layer) -> bytes:
        if layer.size_bytes > wire.MAX_TEXT_BYTES:
            raise FormatError(f"{self._ref.name}: {layer.media_type} of {layer.size_bytes} bytes is too large")
        try:
            return self._blobs.path(layer.digest).read_bytes()
        except OSError as err:
            raise FormatError(
                f"{self._ref.name}: the blob {layer.digest} cannot be read ({err.strerror}): pull or create it again"
            ) from err

    def paths(self, kind: str) -> tuple[Path, ...]:
        return tuple(self._blobs.path(layer.digest) for layer in self._of(kind))

    def all(self, *kinds: str) -> Iterator[str]:
        for layer in self._of(*kinds):
            yield self.read(layer).decode("utf-8", errors="replace")

    def last(self, *kinds: str) -> str | None:
        return next(reversed([*self.all(*kinds)]), None)

    def parameters(self) -> JSONObject:
        merged: JSONObject = {}
        for layer in self._of("params"):
            merged |= wire.read_params(self.read(layer), f"the parameters of {self._ref.name}")
        return merged

    def messages(self) -> tuple[Message, ...]:
        messages: tuple[Message, ...] = ()
        for layer in self._of("messages"):
            messages = wire.read_messages(self.read(layer), f"the messages of {self._ref.name}")
        return messages


@contextmanager
def guarded_folders(root: Path) -> Iterator[None]:
    """A store whose folders are there may be read-only; one whose folders cannot be made is of no use."""
    try:
        with files.guarded("making its folders", root):
            yield
    except CorralError as err:
        raise PluginError(f"{err.message} (the setting `models`, or OLLAMA_MODELS, names another folder)") from err
