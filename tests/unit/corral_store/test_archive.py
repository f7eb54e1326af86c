"""Models as files: out of one store, into another, and nothing from a file that lies."""

import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from corral import CorralError, FormatError, ModelNotFound
from corral.__main__ import main
from corral.testing.fixtures import found
from corral.testing.store_contract import chunked, model, name
from corral_store.archive import export, load
from corral_store.plugin import Plugin
from corral_store.store import OllamaStore

Members = dict[str, bytes]


@pytest.fixture
def store(tmp_path: Path) -> OllamaStore:
    return opened(tmp_path / "one")


def opened(root: Path) -> OllamaStore:
    store = OllamaStore()
    store.open(root)
    return store


def content(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and path.name != "corral.lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


async def test_a_model_goes_out_and_in(store: OllamaStore, tmp_path: Path) -> None:
    await model(store, name("m", namespace="me"), system="hi", template="{{ .Prompt }}")
    await model(store, name("other"), system="stays")
    size = export(store, name("M", namespace="me"), tmp_path / "m.tar")
    assert size == (tmp_path / "m.tar").stat().st_size
    other = opened(tmp_path / "two")
    (loaded,) = await load(other, tmp_path / "m.tar")
    assert (loaded.ref, loaded.system) == (name("m", namespace="me"), "hi")
    assert loaded.digest == store.get(name("m", namespace="me")).digest
    assert not await other.doctor()
    with tarfile.open(tmp_path / "m.tar") as archive:
        archive.extractall(tmp_path / "three", filter="data")
    assert content(tmp_path / "three") == content(tmp_path / "two")
    export(store, name("m", namespace="me"), tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "m.tar").read_bytes()


async def test_what_cannot_be_exported_leaves_no_file(store: OllamaStore, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        export(store, name("nobody"), tmp_path / "x.tar")
    await model(store, name("m"))
    weights = next(layer for layer in store.get(name("m")).layers if layer.media_type.endswith("model"))
    store.path(weights.digest).unlink()
    with pytest.raises(FormatError, match="is not in the store"):
        export(store, name("m"), tmp_path / "x.tar")
    with pytest.raises(CorralError, match="failed exporting"):
        export(store, name("m"), tmp_path / "missing" / "x.tar")
    assert {path.name for path in tmp_path.iterdir()} == {"one"}


def changed(change: Callable[[Members], object]) -> Callable[[bytes], bytes]:
    """Take an archive apart, change it, put it together again."""

    def rewrite(data: bytes) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            members = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        change(members)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for path, value in members.items():
                info = tarfile.TarInfo(path)
                info.size = len(value)
                archive.addfile(info, io.BytesIO(value))
        return out.getvalue()

    return rewrite


def first(members: Members, prefix: str) -> str:
    return next(path for path in members if path.startswith(prefix))


def linked(data: bytes) -> bytes:
    out = io.BytesIO(data)
    with tarfile.open(fileobj=out, mode="a") as archive:
        info = tarfile.TarInfo("blobs/sha256-" + "0" * 64)
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    return out.getvalue()


def second(data: bytes) -> int:
    """Where the second member begins."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()[1].offset


class Pipe(io.BytesIO):
    """What cannot be moved about in, as a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation("seek")


BROKEN = {
    "truncated": (lambda data: data[:1500], "broken.tar is cut short"),
    "truncated between members": (
        lambda data: data[: second(data)],
        "cut short, or was never whole: it ends without blob",
    ),
    "truncated in a header": (
        lambda data: data[: second(data) + 100],
        "cut short, or was never whole: it ends without",
    ),
    "no archive": (lambda data: b"GGUF" * 1000, "no archive of models"),
    "empty": (lambda data: b"", "broken.tar"),
    "a lying blob": (changed(lambda m: m.update({first(m, "blobs/"): b"x"})), "digest mismatch"),
    "a missing blob": (changed(lambda m: m.pop(first(m, "blobs/"))), "it ends without blob sha256:"),
    "no manifest": (changed(lambda m: m.pop(first(m, "manifests/"))), "holds no model"),
    "a broken manifest": (changed(lambda m: m.update({first(m, "manifests/"): b"{"})), "broken.tar: "),
    "a path": (changed(lambda m: m.update({"../../evil": b"x"})), "'../../evil' is neither"),
    "a bad name": (changed(lambda m: m.update({"manifests/a/../b/c": b"x"})), "is no manifest"),
    "a stowaway": (
        changed(
            lambda m: m.update({"blobs/sha256-2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881": b"x"})
        ),
        "belongs to no model",
    ),
    "a link": (linked, "is neither a blob nor a manifest"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_file_that_lies_changes_nothing(what: str, store: OllamaStore, tmp_path: Path) -> None:
    await model(store, name("m"), system="hi")
    export(store, name("m"), tmp_path / "m.tar")
    change, words = BROKEN[what]
    (tmp_path / "broken.tar").write_bytes(change((tmp_path / "m.tar").read_bytes()))
    other = opened(tmp_path / "two")
    await other.put(chunked(b"uploaded a moment ago"))
    before = content(other.root)
    with pytest.raises(CorralError, match=words):
        await load(other, tmp_path / "broken.tar")
    assert content(other.root) == before
    with pytest.raises(CorralError, match=words.replace("broken.tar", "stdin")):
        await load(other, Pipe((tmp_path / "broken.tar").read_bytes()))
    assert content(other.root) == before


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import asyncio

    asyncio.run(model(opened(tmp_path / "one"), name("m"), system="hi"))
    monkeypatch.setattr("corral.kernel.discover", lambda: found([Plugin]))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def corral(models: str, *argv: str) -> tuple[int, str]:
        monkeypatch.setenv("CORRAL_MODELS", str(tmp_path / models))
        monkeypatch.setattr("sys.argv", ["corral", *argv])
        return main(), capsys.readouterr().err

    code, said = corral("one", "export", "m", "m.tar")
    assert (code, said) == (0, f"exported m:latest to m.tar ({(tmp_path / 'm.tar').stat().st_size} bytes)\n")
    assert corral("one", "export", "m", "m.tar") == (
        1,
        f"Error: {tmp_path / 'm.tar'} exists already: remove it or choose another name\n",
    )
    assert corral("two", "import", "m.tar") == (0, "imported m:latest\n")
    assert opened(tmp_path / "two").get(name("m")).system == "hi"
    assert corral("one", "export", "nobody", "x.tar") == (1, "Error: model 'nobody:latest' not found\n")
    assert corral("one", "export", "m", "none/x.tar") == (1, "Error: none is no folder\n")
    assert corral("two", "import", "x.tar") == (1, "Error: x.tar: no such file\n")
    young, old = (asyncio.run(opened(tmp_path / "two").put(chunked(text))) for text in (b"young", b"as old as that"))
    path = opened(tmp_path / "two").path(old.digest)
    os.utime(path, (time.time() - 7200,) * 2)
    assert corral("two", "prune") == (0, "removed 1 blob that no model uses, 14 bytes in all\n")
    assert (path.exists(), opened(tmp_path / "two").has(young.digest)) == (False, True)
    manifest = tmp_path / "two/manifests/registry.ollama.ai/library/m/latest"
    manifest.write_bytes(b"{")
    code, said = corral("two", "prune")
    assert (code, "Error: no blob was looked at: the manifest of m:latest" in said) == (1, True), said


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the model "m" of the store "one" was exported to; `main` knows the store's commands only."""
    import asyncio

    store = opened(tmp_path / "one")
    asyncio.run(model(store, name("m"), system="hi"))
    export(store, name("m"), tmp_path / "m.tar")
    monkeypatch.setattr("corral.kernel.discover", lambda: found([Plugin]))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "m.tar"


def test_a_model_goes_to_stdout_unless_that_is_a_terminal(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("CORRAL_MODELS", str(tmp_path / "one"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["corral", "export", "m", "-"])
    assert main() == 0
    assert capfdbinary.readouterr() == (archive.read_bytes(), b"")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main() == 1
    out, said = capfdbinary.readouterr()
    assert (out, said.startswith(b"Error: a model is no text for a terminal")) == (b"", True)
    assert not (tmp_path / "-").exists()


def test_a_model_comes_from_stdin_unless_that_is_a_terminal(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CORRAL_MODELS", str(tmp_path / "two"))
    monkeypatch.setattr("sys.argv", ["corral", "import", "-"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(Pipe(archive.read_bytes())))
    assert main() == 0
    assert capsys.readouterr().err == "imported m:latest\n"
    assert opened(tmp_path / "two").get(name("m")).system == "hi"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert main() == 1
    assert capsys.readouterr().err.startswith("Error: a model is no text from a terminal")
