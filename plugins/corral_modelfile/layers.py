"""The layers of a model being made.  Texts stay in memory until everything about the model is known to be right."""

import hashlib
from collections.abc import AsyncIterator, Iterator

from msgspec.structs import replace

from corral import Layer, Progress, Store, Value
from corral_modelfile.weights import WeightFile

IMAGE = "application/vnd.ollama.image."


class Part(Value, frozen=True):
    """One layer: weights have a `file` and lie in the store, texts have `data`.  `status` replaces the usual line."""

    layer: Layer
    file: WeightFile | None = None
    data: bytes | None = None
    status: str = ""

    @property
    def kind(self) -> str:
        """The media type's last word: "model", "template", …"""
        return self.layer.media_type.removeprefix(IMAGE)


class Layers:
    """All layers in the order of the manifest."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

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
        """Store the texts; one status a layer.  Raises what the store raises."""
        for part in self.parts:
            digest, made = part.layer.digest, "using existing"
            if part.data is not None and not store.has(digest):
                made = "creating new"
                await store.put(_once(part.data), digest=digest)
            yield Progress(status=part.status or f"{made} layer {digest}")


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def weights_part(file: WeightFile, digest: str, kind: str) -> Part:
    """A layer of weights that lie in the store."""
    layer = Layer(media_type=IMAGE + kind, digest=digest, size_bytes=file.path.stat().st_size)
    return Part(layer=layer, file=file)


def from_base(layer: Layer, parent: str, file: WeightFile | None) -> Part:
    """A layer of the model that this one is made from, whose name is `parent`."""
    return Part(layer=replace(layer, origin=parent), file=file)
