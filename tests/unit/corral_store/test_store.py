"""What is Ollama's about the store: bytes, ages, locks, and faults of the disk."""

import asyncio
import errno
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from corral import CorralError, FormatError, Layer, ModelConfig, ModelNotFound, PluginError
from corral.testing.store_contract import chunked, digest_of, layer, model, name
from corral_store import files, lock, wire
from corral_store.store import OllamaStore

GOLDEN = {
    "99759ad5b91e723db0393d698ffbb448b1b7df5ff6377a108c49254583b1bc8c": wire.write_config(
        ModelConfig(family="test", families=("test",), parameter_size="0", quantization="unknown")
    ),
    "1d0ad71299d48c2fb7ae2b98e683643e771f8a5b72be34942af90d97a91c1e37": wire.encode(
        {"stop": ["USER:", "ASSISTANT:"], "temperature": 1, "top_k": 10}
    ),
    "12f58bb75cb3042d69a7e013ab87fb3c3c7088f50ddc62f0c77bd332f0d44d35": wire.encode(
        {"stop": ["<|endoftext|>"], "temperature": 0.6, "top_k": 10, "top_p": 0.7}
    ),
    "fe7ac77b725cda2ccad03f88a880ecdfd7a33192d6cae08fce2c0ee1455991ed": b"{{ .System }} {{ .Prompt }}",
    "b507b9c2f6ca642bffcd06665ea7c91f235fd32daeefdf875a0f938db05fb315": b"{{ .Prompt }}",
    "f29e82a8284dbdf5910b1555580ff60b04238b8da9d5e51159ada67a4d0d5851": b"Say hi!",
}


@pytest.fixture
def store(tmp_path: Path) -> OllamaStore:
    store = OllamaStore()
    store.open(tmp_path / "models")
    return store


def age(path: Path, hours: float = 2) -> None:
    """Make a file look older than it is."""
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


@pytest.mark.parametrize("digest", GOLDEN)
async def test_golden_digests(store: OllamaStore, digest: str) -> None:
    blob = await store.put(chunked(GOLDEN[digest]))
    assert blob.digest == f"sha256:{digest}"


def test_optional_config_keys_come_in_ollamas_order() -> None:
    config = ModelConfig(
        renderer="r", parser="p", requires="1", capabilities=("tools",), context_length=1, embedding_length=2,
        base_name="b", remote_host="h", remote_model="m",
    )  # fmt: skip
    assert list(json.loads(wire.write_config(config))) == [
        "model_format", "model_family", "model_families", "model_type", "file_type", "renderer", "parser", "requires",
        "remote_host", "remote_model", "capabilities", "context_length", "embedding_length", "base_name",
        "architecture", "os",
    ]  # fmt: skip
    assert wire.read_config(wire.write_config(config), "x") == config


async def test_the_layout_is_ollamas(store: OllamaStore) -> None:
    ref = name("smol", "q4")
    weights = await layer(store, "model", b"weights")
    await store.save(ref, ModelConfig(family="test"), [weights])
    path = store.root / "manifests/registry.ollama.ai/library/smol/q4"
    text = path.read_text()
    assert text.startswith('{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",')
    assert text.endswith("}\n")
    assert list(json.loads(text)["layers"][0]) == ["mediaType", "digest", "size"]
    blob = store.root / f"blobs/sha256-{weights.digest[7:]}"
    assert (blob.read_bytes(), blob.stat().st_mode & 0o777) == (b"weights", 0o644)
    assert sorted(path.name for path in store.root.iterdir()) == ["blobs", "corral.lock", "manifests"]


async def test_what_ollama_wrote_is_read(store: OllamaStore) -> None:
    config = await store.put(
        chunked(b'{"model_format":"gguf","model_families":null,"rootfs":{"type":"layers"},"os":"x"}')
    )
    prompt = await layer(store, "prompt", b"{{ .Prompt }}")
    stored = await store.save(name("old"), ModelConfig(), [prompt])
    data = json.loads(store.manifest(name("old")))
    data["config"] |= {"digest": config.digest, "size": config.size_bytes}
    stored = await store.put_manifest(name("old"), json.dumps(data, indent=1).encode())
    assert (stored.config.families, stored.template) == ((), "{{ .Prompt }}")


async def test_the_parent_of_a_layer_is_kept(store: OllamaStore) -> None:
    weights = await layer(store, "model", b"weights")
    kept = Layer(media_type=weights.media_type, digest=weights.digest, size_bytes=7, origin="base:latest")
    assert (await store.save(name("child"), ModelConfig(), [kept])).layers == (kept,)
    assert json.loads(store.manifest(name("child")))["layers"][0]["from"] == "base:latest"


async def test_prune_removes_what_is_old_and_unused(store: OllamaStore) -> None:
    await model(store, name("kept"))
    unused = await store.put(chunked(b"unused"))
    blobs = store.root / "blobs"
    one, two = "sha256-" + "1" * 64, "sha256-" + "2" * 64
    for text in ("sha256-tmp123", f"{one}-partial", f"{one}-partial-0", f"{two}-partial", f"{two}-partial-0"):
        (blobs / text).write_bytes(b"x")
    (store.root / "manifests/registry.ollama.ai/gone/empty").mkdir(parents=True)
    for path in blobs.iterdir():
        age(path)
    os.utime(blobs / f"{two}-partial")  # another server still downloads this one
    assert await store.prune() == 4
    assert not store.has(unused.digest)
    assert sorted(path.name for path in blobs.iterdir() if "partial" in path.name) == [
        f"{two}-partial",
        f"{two}-partial-0",
    ]
    assert store.get(name("kept")).weights[0].exists()
    assert not (store.root / "manifests/registry.ollama.ai/gone").exists()


async def test_an_unreadable_manifest_stops_the_pruning(store: OllamaStore) -> None:
    await model(store, name("broken"), system="needed")
    unused = await store.put(chunked(b"unused"))
    for path in (store.root / "blobs").iterdir():
        age(path)
    (store.root / "manifests/registry.ollama.ai/library/broken/latest").write_bytes(b"{")
    assert await store.prune() == 0
    assert store.has(unused.digest)
    await store.delete(name("broken"))
    assert await store.prune() > 0


async def test_a_used_blob_is_touched(store: OllamaStore) -> None:
    weights = await layer(store, "model", b"weights")
    age(store.path(weights.digest))
    await store.save(name("m"), ModelConfig(), [weights])
    assert store.path(weights.digest).stat().st_mtime > time.time() - 60


async def test_noprune_keeps_replaced_layers(tmp_path: Path) -> None:
    store = OllamaStore()
    store.open(tmp_path, noprune=True)
    await model(store, name("m"), system="old")
    await model(store, name("m"), system="new")
    assert store.has(digest_of(b"old"))


async def test_old_blob_names_are_migrated(store: OllamaStore) -> None:
    (store.root / "blobs" / digest_of(b"old")).write_bytes(b"old")
    await store.migrate()
    assert store.path(digest_of(b"old")).read_bytes() == b"old"


async def test_copying_to_itself_changes_nothing(store: OllamaStore) -> None:
    await model(store, name("m"), system="s")
    await store.copy(name("m"), name("m"))
    assert store.get(name("m")).system == "s"


def test_a_store_that_is_not_open_says_so() -> None:
    store = OllamaStore()
    for use in (lambda: store.root, store.list, lambda: store.get(name("m")), lambda: store.resolve(name("m"))):
        with pytest.raises(PluginError, match="is not open"):
            use()


def test_a_folder_that_cannot_be_made_is_a_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match="OLLAMA_MODELS"):
        OllamaStore().open(tmp_path / "file" / "models")


async def test_f53_a_newer_store_is_only_read(store: OllamaStore) -> None:
    await model(store, name("m"))
    (store.root / lock.FILE).write_text("2\n")
    with pytest.raises(CorralError, match="newer Corral"):
        await store.delete(name("m"))
    assert store.get(name("m")).weights


async def test_f46_another_process_holding_the_lock_is_waited_for(store: OllamaStore) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom corral_store import lock\n"
        "with lock.exclusive(Path(sys.argv[1])):\n print('held', flush=True)\n sys.stdin.read()"
    )
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(store.root)), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout
    assert await other.stdout.readline() == b"held\n"
    saving = asyncio.create_task(model(store, name("m")))
    await asyncio.wait([saving], timeout=0.2)
    assert not saving.done()
    await other.communicate(b"")
    await saving


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
async def test_f43_every_failing_call_leaves_the_old_model(
    store: OllamaStore, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Fail the Nth system call that writes, for N = 1, 2, … until nothing fails; look after each."""
    await model(store, name("m"), system="old")
    for nth in range(1, 60):
        left = [nth]

        def failing(call: Callable[..., object], left: list[int] = left) -> Callable[..., object]:
            def wrapper(*args: object, **kwargs: object) -> object:
                left[0] -= 1
                if left[0] == 0:
                    raise OSError(error, os.strerror(error))
                return call(*args, **kwargs)

            return wrapper

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(os.fsync))
            patch.setattr(files.tempfile, "mkstemp", failing(files.tempfile.mkstemp))
            for method in ("replace", "write_bytes", "mkdir", "chmod", "touch"):
                patch.setattr(Path, method, failing(getattr(Path, method)))
            failure = await asyncio.gather(
                model(store, name("m"), system="new", template=f"{nth}"), return_exceptions=True
            )
        if left[0] > 0:
            assert failure == [None]
            break
        assert isinstance(failure[0], CorralError)
        assert os.strerror(error) in failure[0].message
        stored = store.get(name("m"))
        assert stored.system in ("old", "new")
        assert not [path for path in (store.root / "blobs").iterdir() if len(path.name) != 71]
    assert nth > 10
    await model(store, name("m"), system="after")
    assert store.get(name("m")).system == "after"
    assert not await store.doctor()


async def test_cancelling_an_upload_leaves_nothing(store: OllamaStore) -> None:
    async def endless() -> object:
        while True:
            yield b"x" * 100_000
            await asyncio.sleep(0)

    upload = asyncio.create_task(store.put(endless()))  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert not list((store.root / "blobs").iterdir())


async def test_a_users_file_keeps_its_mode(store: OllamaStore, tmp_path: Path) -> None:
    path = tmp_path / "private.gguf"
    path.write_bytes(b"abc")
    path.chmod(0o600)
    blob = await store.adopt(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert store.path(blob.digest).read_bytes() == b"abc"


async def test_adopting_a_link_takes_the_file_it_leads_to(store: OllamaStore, tmp_path: Path) -> None:
    (tmp_path / "real.gguf").write_bytes(b"abc")
    (tmp_path / "link.gguf").symlink_to(tmp_path / "real.gguf")
    for move in (False, True):
        blob = await store.adopt(tmp_path / "link.gguf", move=move)
        assert not store.path(blob.digest).is_symlink()
        assert store.path(blob.digest).read_bytes() == b"abc"


async def test_doctor_finds_and_mends(store: OllamaStore) -> None:
    for text in ("whole", "corrupt", "missing", "short", "unreadable"):
        await model(store, name(text), weights=text.encode(), system=text)
    assert not await store.doctor()
    store.path(digest_of(b"corrupt")).write_bytes(b"CORRUPT")
    store.path(digest_of(b"missing")).unlink()
    faults = [finding.fault for finding in await store.doctor()]
    assert len(faults) == 5  # the blob and two layers that need it; two layers whose blob is missing
    assert [finding.repaired for finding in await store.doctor(repair=True)].count(True) == 1
    assert not store.has(digest_of(b"corrupt"))
    (store.root / "manifests/registry.ollama.ai/library/unreadable/latest").write_bytes(b"{")
    assert any("unreadable" in finding.fault for finding in await store.doctor())
    with pytest.raises(FormatError):
        store.get(name("unreadable"))
    with pytest.raises(ModelNotFound):
        store.get(name("nothing"))


async def test_a_save_that_fails_leaves_no_config_behind(store: OllamaStore) -> None:
    missing = Layer(media_type=f"{wire.IMAGE}model", digest="sha256:" + "0" * 64, size_bytes=1)
    with pytest.raises(FormatError, match="is not in the store"):
        await store.save(name("m"), ModelConfig(family="fresh"), [missing])
    assert not list(store.blobs.root.iterdir())
    kept = await store.put(chunked(wire.write_config(ModelConfig(family="fresh"))))
    with pytest.raises(FormatError, match="is not in the store"):
        await store.save(name("m"), ModelConfig(family="fresh"), [missing])
    assert store.has(kept.digest)


async def test_a_model_that_goes_while_models_are_listed_is_passed_over(
    store: OllamaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("a", "b"):
        await model(store, name(text))
    real = Path.iterdir

    def iterdir(self: Path) -> list[Path]:
        found = list(real(self))
        if self.name == "library":  # another process deletes "a" between its folder's being seen and being read
            for tag in real(self / "a"):
                tag.unlink()
            (self / "a").rmdir()
        return found

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert [found.ref.model for found in store.list()] == ["b"]
