"""Object code on disk: whole, its own, or compiled anew."""

from pathlib import Path

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
