"""Folders to work in, on the disk of a store: gone when the work is, or once whoever made them is.

Each holds a lock file that its maker keeps locked, and the system lets go of it however a process ends.  A folder
without one is left alone until nobody has written to it for an hour.
"""

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

from corral_store import lock
from corral_store.blobs import GRACE_S

FOLDER = "work"  # in the store's root
_OWNER = "owner.lock"


class WorkFolder:
    """A new, empty folder `path`, made under the store's lock, so that nobody sees it without its owner."""

    def __init__(self, root: Path, prefix: str) -> None:
        """Blocks.  Raises OSError, CorralError for a store that this version only reads."""
        with lock.exclusive(root):
            sweep(root)
            (root / FOLDER).mkdir(exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root / FOLDER))
            self._owner = (self._folder / _OWNER).open("w+b")
            lock.take(self._owner)
        self.path = self._folder / "files"
        self.path.mkdir()

    def remove(self) -> None:
        """Take everything away.  Blocks."""
        self._owner.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def sweep(root: Path) -> int:
    """Remove the folders whose makers are gone; how many bytes were in them.  The caller holds the store's lock."""
    work, size = root / FOLDER, 0
    for folder in work.iterdir() if work.is_dir() else ():
        if _is_left(folder):
            size += sum(_status(path)[0] for path in folder.rglob("*"))
            shutil.rmtree(folder, ignore_errors=True)
    return size


def _is_left(folder: Path) -> bool:
    owner = folder / _OWNER
    if not owner.is_file():
        return max(_status(path)[1] for path in (folder, *folder.rglob("*"))) < time.time() - GRACE_S
    with contextlib.suppress(OSError), owner.open("r+b") as file:  # another user's, or removed meanwhile
        return lock.take(file, wait=False)
    return False


def _status(path: Path) -> tuple[int, float]:
    """(bytes of a file, time of the last change)."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0, 0.0
    return 0 if path.is_dir() else status.st_size, status.st_mtime
