"""The layers of a model being made.  Nothing enters the store until everything about the model is known to be right."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from msgspec.structs import replace

from corral import Layer, Progress, Store, Value
from corral_modelfile.weights import WeightFile

IMAGE = "application/vnd.ollama.image."
_BLOCK_BYTES = 4 << 20


class Part(Value, frozen=True):
    """One layer: weights have a `file`, texts have `data`.  `status` replaces the usual line.

    The file of a layer without a digest is a `made` one: it lies in a scratch folder until the model is saved.
    """

    layer: Layer
    file: WeightFile | None = None
    data: bytes | None = None
    status: str = ""

    @property
    def is_made(self) -> bool:
        return not self.layer.digest

    @property
    def kind(self) -> str:
        """The media type's last word: "model", "template", …"""
        return self.layer.media_type.removeprefix(IMAGE)


class Layers:
    """All layers in the order of the manifest."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._written: list[str] = []  # digests of what `write` put into the store

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    @property
    def model(self) -> WeightFile | None:
        """The first model among the weights."""
        return next((part.file for part in self.parts if part.kind == "model"), None)

    def has(self, kind: str) -> bool:
        return any(part.kind == kind for part in self.parts)

    def drop(self, kind: str) -> None:
        self.parts = [part for part in self.parts if part.kind != kind]

    def add_text(self, kind: str, data: bytes, status: str = "") -> None:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        layer = Layer(media_type=IMAGE + kind, digest=digest, size_bytes=len(data))
        self.parts.append(Part(layer=layer, data=data, status=status))

    def set_text(self, kind: str, data: bytes, status: str = "") -> None:
        """Replace all layers of a kind by one at the end."""
        self.drop(kind)
        self.add_text(kind, data, status)

    async def write(self, store: Store) -> AsyncIterator[Progress]:
        """Store what is not there yet; one status a layer.  Raises what the store raises: then call `discard`."""
        for index, part in enumerate(self.parts):
            digest, file = part.layer.digest, part.file
            if file is not None and part.is_made:
                digest = await _digest(file.path)
            made = "using existing"
            if not store.has(digest):
                made = "creating new"
                self._written.append(digest)
                if file is not None:
                    await store.adopt(file.path, move=True)
                elif part.data is not None:
                    await store.put(_once(part.data), digest=digest)
            self.parts[index] = replace(part, layer=replace(part.layer, digest=digest))
            yield Progress(status=part.status or f"{made} layer {digest}")

    async def discard(self, store: Store) -> None:
        """Take out again what `write` put in and no model uses."""
        used = {layer.digest for model in store.list() for layer in model.layers}
        for digest in set(self._written) - used:
            await asyncio.to_thread(store.path(digest).unlink, missing_ok=True)


async def _digest(path: Path) -> str:
    """`sha256:<hex>` of a file, read off the loop; cancelled, it ends within a block."""
    state = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := await asyncio.to_thread(file.read, _BLOCK_BYTES):
            await asyncio.to_thread(state.update, block)
    return f"sha256:{state.hexdigest()}"


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def weights_part(file: WeightFile, digest: str, kind: str) -> Part:
    """A layer of weights: with the digest of a blob in the store, or without one of a file made here."""
    layer = Layer(media_type=IMAGE + kind, digest=digest, size_bytes=file.path.stat().st_size)
    return Part(layer=layer, file=file)


def from_base(layer: Layer, parent: str, file: WeightFile | None) -> Part:
    """A layer of the model that this one is made from, whose name is `parent`."""
    return Part(layer=replace(layer, origin=parent), file=file)
