"""Atomic files: written under a temporary name, forced to the disk, renamed, and the folder forced to the disk."""

import asyncio
import contextlib
import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from corral import BadRequest, CorralError

P = ParamSpec("P")
T = TypeVar("T")

TEMPORARY = "sha256-"  # as in Ollama: a prune of either program removes what a killed one left
_FICLONE = 0x40049409  # ioctl of Linux: share the blocks of another file
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work off the loop.  Cancelled, it still waits for the thread, so that files are closed in order."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


@contextmanager
def guarded(doing: str, where: Path) -> Iterator[None]:
    """Turn the operating system's refusal into an error that says what to do."""
    try:
        yield
    except OSError as err:
        advice = {
            errno.ENOSPC: "free some space and try again",
            errno.EDQUOT: "free some of your quota and try again",
            errno.EROFS: "the file system is read-only",
            errno.EACCES: "the store belongs to another user",
        }.get(err.errno or 0, "check the disk")
        message = f"the store {where} failed {doing}: {err.strerror or err}; {advice}"
        raise CorralError(message, code="store_error") from err


@contextmanager
def temporary(folder: Path) -> Iterator[Path]:
    """An empty file of a fresh name in `folder`, removed at the end unless it was renamed."""
    with guarded("making a file", folder):
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
    os.close(handle)
    path = Path(name)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):  # a full or vanished disk must not hide the first error
            path.unlink(missing_ok=True)


def publish(temp: Path, final: Path) -> None:
    """Give a finished temporary file its name: afterwards either the whole file is there, or nothing changed."""
    with temp.open("rb+" if sys.platform == "win32" else "rb") as file:
        os.fsync(file.fileno())
    if temp.stat().st_nlink == 1:  # the mode of a hard link is also that of the user's own file
        temp.chmod(0o644)
    temp.replace(final)
    # Renaming one hard link of a file to another does nothing at all.
    temp.unlink(missing_ok=True)
    sync_folder(final.parent)


def write(data: bytes, final: Path, folder: Path) -> None:
    """Write a small file atomically, by way of a temporary file in `folder`."""
    with temporary(folder) as temp:
        temp.write_bytes(data)
        publish(temp, final)


def make_folder(path: Path) -> None:
    """Create a folder and its parents so that they survive a power cut."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Force a folder's entries to the disk, where folders can be opened."""
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_regular(path: Path) -> None:
    """Raises BadRequest for a folder, a pipe, a device; OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadRequest(f"{path.name} is not a regular file")


def take(source: Path, temp: Path, *, move: bool) -> None:
    """Put a file's content under `temp`: by rename, shared blocks or hard link where possible, else by copy."""
    if move and not source.is_symlink() and _renamed(source, temp):
        return
    if not _cloned(source, temp) and not _linked(source.resolve(), temp):
        shutil.copyfile(source, temp)
    if move:
        source.unlink()


def refer(source: Path, temp: Path, *, link: bool) -> bool:
    """Put a file's content under `temp` without copying it: by shared blocks, else, with `link`, by a hard link."""
    return _cloned(source, temp) or (link and _linked(source.resolve(), temp))


def _renamed(source: Path, temp: Path) -> bool:
    try:
        source.replace(temp)
    except OSError as err:
        if err.errno in _NO_LINK:
            return False
        raise
    return True


def _cloned(source: Path, temp: Path) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    with source.open("rb") as reading, temp.open("wb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
        except OSError:
            return False  # the file system cannot share blocks
    return True


def _linked(source: Path, temp: Path) -> bool:
    temp.unlink()
    try:
        os.link(source, temp)
    except OSError as err:
        if err.errno in _NO_LINK:
            return False
        raise
    return True
