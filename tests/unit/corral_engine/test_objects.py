"""Object code on disk: whole, its own, or compiled anew."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llvmlite")

from corral_engine.native import objects


def test_code_comes_back_as_it_was(tmp_path: Path) -> None:
    objects.store(tmp_path, "run", b"code")
    assert objects.fetch(tmp_path, "run") == b"code"
    assert objects.fetch(tmp_path, "begin") is None


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 80])
def test_damaged_code_is_none(tmp_path: Path, damage: bytes) -> None:
    objects.store(tmp_path, "run", b"code")
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert objects.fetch(tmp_path, "run") is None


def test_code_under_anothers_name_is_none(tmp_path: Path) -> None:
    objects.store(tmp_path, "run", b"code")
    objects.store(tmp_path, "begin", b"other")
    run, begin = (objects._path(tmp_path, name) for name in ("run", "begin"))
    begin.write_bytes(run.read_bytes())
    assert objects.fetch(tmp_path, "begin") is None
    assert objects.fetch(tmp_path, "run") == b"code"


def test_nothing_compiles_twice_in_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(objects, "compile_kernel", lambda name: compiled.append(name) or name.encode())
    folder = tmp_path / "file" / "kernels"
    (tmp_path / "file").write_text("no folder")
    for _ in range(2):
        assert objects.object_code(["run", "begin"], folder, 1) == {"run": b"run", "begin": b"begin"}
    assert compiled == ["run", "begin"]


class Compiler:
    """Stands for a process that compiles: it stores at once what it is asked for."""

    def __init__(self, command: list[str], **_: Any) -> None:
        folder, *names = command[3:]
        for name in names:
            objects.store(Path(folder), name, b"apart " + name.encode())
        self.returncode = 0

    def poll(self) -> int:
        return 0

    def kill(self) -> None:
        """It has ended."""

    def wait(self) -> int:
        return 0


def test_every_core_compiles_for_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []

    def start(command: list[str], **more: Any) -> Compiler:
        started.append(Path(command[3]))
        return Compiler(command, **more)

    monkeypatch.setattr(objects.subprocess, "Popen", start)
    monkeypatch.setattr(objects, "compile_kernel", lambda name: pytest.fail(f"{name} is compiled here"))
    (tmp_path / "file").write_text("no folder")
    folder, names = tmp_path / "file" / "kernels", ["a:b", "a:c", "a:d"]
    for _ in range(2):
        code = objects.object_code(names, folder, 2)
        assert code == {name: b"apart " + name.encode() for name in names}
    assert len(started) == 2  # processes, and the second time nothing is compiled
    assert not started[0].exists()


def test_what_was_compiled_apart_is_kept_when_nobody_waits_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Compiler):
        def poll(self) -> None:  # type: ignore[override]
            return None

    def leave() -> None:
        raise LookupError

    monkeypatch.setattr(objects.subprocess, "Popen", Slow)
    (tmp_path / "file").write_text("no folder")
    folder, names = tmp_path / "file" / "kernels", ["a:b", "a:c", "a:d"]
    with pytest.raises(LookupError):
        objects.object_code(names, folder, 2, leave)
    assert objects.object_code(names, folder, 2)["a:b"] == b"apart a:b"


@pytest.mark.parametrize("broken", ["write", "replace"])
def test_a_file_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    if broken == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        monkeypatch.setattr(objects, "_checksum", full)
    with pytest.raises(OSError, match="No space"):
        objects.store(tmp_path, "run", b"code")
    assert list(tmp_path.iterdir()) == []


def test_compiling_that_nobody_waits_for_any_more_ends_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def slow(*_: Any, **__: Any) -> subprocess.Popen[bytes]:
        started.append(popen(["sleep", "600"]))
        return started[-1]

    def check() -> None:
        if started:
            raise LookupError

    monkeypatch.setattr(objects.subprocess, "Popen", slow)
    with pytest.raises(LookupError):
        objects.object_code(["a:b", "a:c", "a:d"], tmp_path, 2, check)
    assert [process.returncode for process in started] == [-9, -9]


def test_compiling_here_ends_between_two_kernels_and_keeps_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "compile_kernel", lambda name: name.encode())

    def check() -> None:
        if objects.fetch(tmp_path, "run"):
            raise LookupError

    with pytest.raises(LookupError):
        objects.object_code(["run", "begin"], tmp_path, 1, check)
    assert objects.fetch(tmp_path, "run") == b"run"
    assert objects.fetch(tmp_path, "begin") is None
