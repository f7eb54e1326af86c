"""Laws of every store.  Subclass `StoreContract` in a test module and supply its `store` fixture."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from corral import BadRequest, CorralError, FormatError, Layer, ModelConfig, ModelNotFound, ModelRef, Store

IMAGE = "application/vnd.ollama.image."
BAD_DIGESTS = (
    "",
    "sha256:",
    "sha256:../../../../etc/passwd",
    "sha256-" + "../" * 21 + "a",
    "sha256:" + "a" * 63,
    "sha256:" + "a" * 65,
    "sha256:" + "A" * 64,
    "SHA256:" + "a" * 64,
    "sha256:" + "a" * 63 + "\0",
    "sha256:" + "a" * 64 + "\n",
    "sha256:" + "\N{FULLWIDTH DIGIT ONE}" * 64,
    "sha256:%2e%2e" + "a" * 58,
    "md5:" + "a" * 64,
)
BAD_PARTS = ("..", ".", "", "a/b", "a\0b", "a" * 81, "<script>", "\u202ename", "a b", "con", "name.", "-name")


def name(model: str, tag: str = "latest", namespace: str = "library") -> ModelRef:
    """A name in the default registry."""
    return ModelRef(host="registry.ollama.ai", namespace=namespace, model=model, tag=tag)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def chunked(data: bytes, size: int = 7) -> AsyncIterator[bytes]:
    """`data` as a network would deliver it."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def layer(store: Store, kind: str, data: bytes) -> Layer:
    """A blob with the media type of `kind`."""
    blob = await store.put(chunked(data))
    return Layer(media_type=IMAGE + kind, digest=blob.digest, size_bytes=blob.size_bytes)


async def model(store: Store, ref: ModelRef, weights: bytes = b"weights", **texts: str) -> None:
    """Store a small model with one text layer for each of `texts`."""
    layers = [await layer(store, "model", weights)]
    layers += [await layer(store, kind, text.encode()) for kind, text in texts.items()]
    await store.save(ref, ModelConfig(family="test"), layers)


class StoreContract:
    """A subclass supplies `store`: open, empty, and with nothing pruned behind its back."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("supply an open, empty store")

    async def test_a_blob_is_found_by_its_digest(self, store: Store) -> None:
        data = bytes(range(256)) * 40
        blob = await store.put(chunked(data), digest=digest_of(data))
        assert (blob.digest, blob.size_bytes) == (digest_of(data), len(data))
        assert store.has(blob.digest)
        assert store.has(blob.digest.replace(":", "-"))
        assert store.path(blob.digest).read_bytes() == data

    async def test_other_bytes_than_promised_are_refused_and_nothing_is_kept(self, store: Store) -> None:
        before = _files(store)
        with pytest.raises(BadRequest, match="digest mismatch, expected"):
            await store.put(chunked(b"forged"), digest=digest_of(b"real"))
        assert _files(store) == before

    async def test_a_broken_upload_leaves_nothing(self, store: Store) -> None:
        async def breaks() -> AsyncIterator[bytes]:
            yield b"half"
            raise ConnectionResetError("the client left")

        before = _files(store)
        with pytest.raises(ConnectionResetError):
            await store.put(breaks())
        assert _files(store) == before

    @pytest.mark.parametrize("digest", BAD_DIGESTS)
    async def test_f01_bad_digests_never_become_paths(self, store: Store, digest: str) -> None:
        before = _files(store)
        for use in (store.path, store.has):
            with pytest.raises(BadRequest, match="invalid digest format"):
                use(digest)
        with pytest.raises(BadRequest, match="invalid digest format"):
            await store.put(chunked(b"x"), digest=digest)
        assert _files(store) == before

    @pytest.mark.parametrize("move", [False, True])
    async def test_a_local_file_is_taken_in(self, store: Store, tmp_path: Path, move: bool) -> None:
        path = tmp_path / "weights.bin"
        path.write_bytes(b"abc" * 1000)
        for _ in range(2):  # the second time the blob is there already
            blob = await store.adopt(path, move=move)
            assert store.path(blob.digest).read_bytes() == b"abc" * 1000
            assert path.exists() != move
            path.write_bytes(b"abc" * 1000) if move else None

    async def test_only_regular_files_are_taken_in(self, store: Store, tmp_path: Path) -> None:
        for path in (tmp_path, Path("/dev/zero")):
            with pytest.raises(BadRequest):
                await store.adopt(path)

    async def test_a_model_comes_back_as_saved(self, store: Store) -> None:
        ref = name("smol", "q4")
        config = ModelConfig(family="llama", families=("llama",), parameter_size="135M", capabilities=("tools",))
        layers = [
            await layer(store, "model", b"weights"),
            await layer(store, "template", b"{{ .Prompt }}"),
            await layer(store, "system", "Grüße".encode()),
            await layer(store, "params", b'{"stop":["a"],"temperature":1}'),
            await layer(store, "messages", b'[{"role":"user","content":"hi"}]'),
            await layer(store, "license", b"MIT"),
            await layer(store, "license", b"BSD"),
        ]
        saved = await store.save(ref, config, layers)
        assert saved == store.get(ref)
        assert saved.config == config
        assert saved.layers == tuple(layers)
        assert [path.read_bytes() for path in saved.weights] == [b"weights"]
        assert (saved.template, saved.system, saved.licenses) == ("{{ .Prompt }}", "Grüße", ("MIT", "BSD"))
        assert saved.parameters == {"stop": ["a"], "temperature": 1}
        assert [(message.role, message.content) for message in saved.messages] == [("user", "hi")]
        assert saved.digest == hashlib.sha256(store.manifest(ref)).hexdigest()

    async def test_a_layer_that_is_not_there_is_refused(self, store: Store) -> None:
        ref = name("smol")
        await model(store, ref)
        gone = Layer(media_type=IMAGE + "model", digest="sha256:" + "0" * 64, size_bytes=3)
        with pytest.raises(FormatError):
            await store.save(ref, ModelConfig(), [gone])
        assert store.get(ref).weights[0].read_bytes() == b"weights"

    async def test_unknown_models_are_not_found(self, store: Store) -> None:
        ref = name("nope")
        for use in (store.get, store.manifest):
            with pytest.raises(ModelNotFound):
                use(ref)
        with pytest.raises(ModelNotFound):
            await store.delete(ref)
        with pytest.raises(ModelNotFound):
            await store.copy(ref, name("other"))

    @pytest.mark.parametrize("part", BAD_PARTS)
    async def test_f19_bad_names_never_become_paths(self, store: Store, part: str) -> None:
        before = _manifests(store)
        for ref in (name(part), name("a", part), name("a", namespace=part)):
            with pytest.raises(BadRequest):
                store.get(ref)
            with pytest.raises(BadRequest):
                await store.save(ref, ModelConfig(), [])
        assert _manifests(store) == before

    async def test_names_are_resolved_ignoring_case(self, store: Store) -> None:
        await model(store, name("Llama3", "Q4"))
        assert store.resolve(name("llama3", "q4")) == name("Llama3", "Q4")
        assert store.resolve(name("LLAMA3", "new")) == name("Llama3", "new")
        assert store.resolve(name("other", "New")) == name("other", "New")

    async def test_replacing_a_model_drops_only_what_nobody_else_uses(self, store: Store) -> None:
        await model(store, name("one"), system="shared")
        await model(store, name("two"), system="shared", template="only two")
        await model(store, name("two"), weights=b"new weights")
        assert store.has(digest_of(b"shared"))
        assert store.has(digest_of(b"weights"))
        assert not store.has(digest_of(b"only two"))

    async def test_delete_keeps_shared_blobs_and_no_empty_folder(self, store: Store) -> None:
        await model(store, name("one", namespace="me"), system="own")
        await store.copy(name("one", namespace="me"), name("two"))
        await store.delete(name("one", namespace="me"))
        assert store.get(name("two")).system == "own"
        await store.delete(name("two"))
        assert not store.has(digest_of(b"own"))
        assert not store.list()
        assert not [path for path in store.root.rglob("library") if path.is_dir()]

    async def test_a_registry_manifest_is_stored_verbatim(self, store: Store) -> None:
        weights, config = await layer(store, "model", b"weights"), await store.put(chunked(b'{"model_family":"x"}'))
        data = _manifest(weights, config, indent=3)
        stored = await store.put_manifest(name("pulled"), data)
        assert store.manifest(name("pulled")) == data
        assert stored.digest == hashlib.sha256(data).hexdigest()
        assert stored.config.family == "x"

    async def test_f02_f14_bad_manifests_are_refused(self, store: Store) -> None:
        weights, config = await layer(store, "model", b"weights"), await store.put(chunked(b"{}"))
        good = json.loads(_manifest(weights, config))
        entry = good["layers"][0]
        bad = [
            {},
            {**good, "layers": None},
            {**good, "layers": []},
            {**good, "schemaVersion": 3},
            {**good, "mediaType": "text/html"},
            {key: value for key, value in good.items() if key != "config"},
            {**good, "layers": [{**entry, "digest": "../x"}]},
            {**good, "layers": [{**entry, "digest": "sha256:" + "../" * 21 + "x"}]},
            {**good, "layers": [{**entry, "size": -1}]},
            {**good, "layers": [{**entry, "size": entry["size"] + 1}]},
            {**good, "layers": [{**entry, "digest": "sha256:" + "0" * 64}]},
            {**good, "config": {**good["config"], "digest": ""}},
        ]
        texts = [json.dumps(manifest).encode() for manifest in bad]
        texts += [b"", b"null", b"<html>", b"[" * 100_000, b" " * (200 << 20) + b"{}", b'"\xff"']
        for text in texts:
            with pytest.raises(FormatError):
                await store.put_manifest(name("rogue"), text)
        assert not store.list()

    async def test_the_list_is_newest_first_and_skips_what_is_broken(self, store: Store) -> None:
        for text in ("one", "two", "three"):
            await model(store, name(text), system=text)
            await asyncio.sleep(0.01)
        store.path(digest_of(b"two")).unlink()
        assert [stored.ref.model for stored in store.list()] == ["three", "one"]
        with pytest.raises(FormatError):
            store.get(name("two"))

    async def test_prune_spares_what_is_young(self, store: Store) -> None:
        await store.put(chunked(b"for a create that is still running"))
        assert await store.prune() == 0
        assert store.has(digest_of(b"for a create that is still running"))

    async def test_two_writers_never_leave_half_a_model(self, store: Store) -> None:
        await asyncio.gather(*(model(store, name("same"), system=f"system {i}") for i in range(8)))
        await asyncio.gather(*(_may_fail(store, i) for i in range(8)))
        for stored in store.list():
            assert stored.weights[0].read_bytes() == b"weights"


async def _may_fail(store: Store, i: int) -> None:
    """Delete and create at once: either may find the other's work, and must say so."""
    try:
        if i % 2:
            await store.delete(name("same"))
        else:
            await model(store, name("same"), system="again")
    except CorralError:
        pass


def _manifest(weights: Layer, config: Layer, indent: int | None = None) -> bytes:
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": config.digest,
            "size": config.size_bytes,
        },
        "layers": [{"mediaType": weights.media_type, "digest": weights.digest, "size": weights.size_bytes}],
    }
    return json.dumps(manifest, indent=indent).encode()


def _files(store: Store) -> list[str]:
    return sorted(str(path) for path in store.root.rglob("*") if path.is_file())


def _manifests(store: Store) -> list[str]:
    return [path for path in _files(store) if "manifests" in path]
