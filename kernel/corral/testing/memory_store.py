"""A store for tests: manifests in memory, blobs in one temporary folder."""

import hashlib
import json
import re
from collections.abc import AsyncIterable, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from corral import BadRequest, Layer, Message, ModelConfig, ModelNotFound, ModelRef, StoredModel

PREFIX = "application/vnd.ollama.image."
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")


def plain_ref(text: str) -> ModelRef:
    """`[host/][namespace/]model[:tag]`.  Raises BadRequest("invalid model name")."""
    head, slash, last = text.rpartition("/")
    model, colon, tag = last.partition(":")
    host, _, namespace = head.rpartition("/")
    parts = (model, tag if colon else "latest", namespace if slash else "library", host or "registry.ollama.ai")
    if not all(re.fullmatch(r"\w[\w.:-]*", part, re.ASCII) for part in parts):
        raise BadRequest("invalid model name", code="invalid_name")
    return ModelRef(model=parts[0], tag=parts[1], namespace=parts[2], host=parts[3], source="registry")


class MemoryStore:
    """The store "memory".  `root` must be set to an existing folder before the first blob."""

    name = "memory"
    root: Path

    def __init__(self) -> None:
        self._models: dict[str, tuple[StoredModel, bytes]] = {}
        self._clock = 1_700_000_000.0  # each save is one second later

    # --- blobs ----------------------------------------------------------------------------------------------------

    def path(self, digest: str) -> Path:
        """Raises BadRequest."""
        match = DIGEST.fullmatch(digest)
        if match is None:
            raise BadRequest("invalid digest format")
        return self.root / f"sha256-{match[1].lower()}"

    def has(self, digest: str) -> bool:
        """Raises BadRequest."""
        return self.path(digest).exists()

    async def put(self, chunks: AsyncIterable[bytes], *, digest: str | None = None) -> Layer:
        """Raises BadRequest for bytes that differ from `digest`."""
        data = b"".join([chunk async for chunk in chunks])
        return self._put(data, digest=digest)

    def _put(self, data: bytes, media_type: str = "", digest: str | None = None) -> Layer:
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if digest is not None and self.path(digest) != self.path(found):
            raise BadRequest(f'digest mismatch, expected "{digest}", got "{found}"')
        self.path(found).write_bytes(data)
        return Layer(media_type=media_type, digest=found, size_bytes=len(data))

    async def adopt(self, path: Path, *, move: bool = False) -> Layer:
        """By copy."""
        layer = self._put(path.read_bytes())
        if move:
            path.unlink()
        return layer

    # --- manifests ------------------------------------------------------------------------------------------------

    async def save(self, ref: ModelRef, config: ModelConfig, layers: Sequence[Layer]) -> StoredModel:
        """Newer than everything saved before."""
        head = self._put(msgspec.json.encode(config), "application/vnd.docker.container.image.v1+json")
        manifest = msgspec.json.encode(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": head.media_type, "digest": head.digest, "size": head.size_bytes},
                "layers": [{"mediaType": x.media_type, "digest": x.digest, "size": x.size_bytes} for x in layers],
            }
        )
        self._clock += 1
        model = StoredModel(
            ref=ref,
            digest=hashlib.sha256(manifest).hexdigest(),
            size_bytes=head.size_bytes + sum(layer.size_bytes for layer in layers),
            modified_at=self._clock,
            config=config,
            layers=tuple(layers),
            weights=self._paths(layers, "model"),
            adapters=self._paths(layers, "adapter"),
            projectors=self._paths(layers, "projector"),
            template=next(iter(self._texts(layers, "template")), None),
            system="".join(self._texts(layers, "system")),
            parameters=json.loads("".join(self._texts(layers, "params")) or "{}"),
            messages=msgspec.json.decode("".join(self._texts(layers, "messages")) or "[]", type=tuple[Message, ...]),
            licenses=tuple(self._texts(layers, "license")),
        )
        self._models[ref.full_name.lower()] = (model, manifest)
        return model

    def _paths(self, layers: Sequence[Layer], kind: str) -> tuple[Path, ...]:
        return tuple(self.path(layer.digest) for layer in layers if layer.media_type == PREFIX + kind)

    def _texts(self, layers: Sequence[Layer], kind: str) -> list[str]:
        return [path.read_text() for path in self._paths(layers, kind)]

    def resolve(self, ref: ModelRef) -> ModelRef:
        """The stored spelling."""
        known = self._models.get(ref.full_name.lower())
        return known[0].ref if known else ref

    def get(self, ref: ModelRef) -> StoredModel:
        """Raises ModelNotFound."""
        return self._entry(ref)[0]

    def manifest(self, ref: ModelRef) -> bytes:
        """Raises ModelNotFound."""
        return self._entry(ref)[1]

    def _entry(self, ref: ModelRef) -> tuple[StoredModel, bytes]:
        try:
            return self._models[ref.full_name.lower()]
        except KeyError:
            raise ModelNotFound(f"model '{ref.name}' not found") from None

    def list(self) -> Sequence[StoredModel]:
        """Newest first."""
        return sorted((model for model, _ in self._models.values()), key=lambda model: -model.modified_at)

    async def put_manifest(self, ref: ModelRef, manifest: bytes) -> StoredModel:
        """Kept verbatim."""
        wire = json.loads(manifest)
        layers = [Layer(media_type=x["mediaType"], digest=x["digest"], size_bytes=x["size"]) for x in wire["layers"]]
        config = msgspec.json.decode(self.path(wire["config"]["digest"]).read_bytes(), type=ModelConfig)
        model = replace(await self.save(ref, config, layers), digest=hashlib.sha256(manifest).hexdigest())
        self._models[ref.full_name.lower()] = (model, manifest)
        return model

    async def copy(self, source: ModelRef, destination: ModelRef) -> None:
        """Raises ModelNotFound."""
        model, manifest = self._entry(source)
        self._clock += 1
        self._models[destination.full_name.lower()] = (
            replace(model, ref=destination, modified_at=self._clock),
            manifest,
        )

    async def delete(self, ref: ModelRef) -> None:
        """Raises ModelNotFound."""
        self._entry(ref)
        del self._models[ref.full_name.lower()]
        await self.prune()

    async def prune(self) -> int:
        """Remove blobs that no manifest names, whatever their age."""
        manifests = b"".join(manifest for _, manifest in self._models.values())
        named = set(re.findall(rb"sha256:[0-9a-f]{64}", manifests))
        unused = [path for path in self.root.iterdir() if path.name.replace("-", ":").encode() not in named]
        for path in unused:
            path.unlink()
        return len(unused)
