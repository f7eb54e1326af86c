"""Folders to work in, on the disk of the store, gone when the work is."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from corral import CorralError

FOLDER = "work"  # in the store's root; what a killed program left in it, the store's prune removes


class Scratch:
    """Makes folders when asked; `remove` takes all of them away."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder: Path | None = None

    async def folder(self) -> Path:
        """A new, empty folder.  Raises CorralError when the disk refuses."""
        try:
            return await asyncio.to_thread(self._make)
        except OSError as err:
            raise CorralError(f"no folder to work in below {self._root}: {err.strerror}", code="store_error") from err

    def _make(self) -> Path:
        if self._folder is None:
            parent = self._root / FOLDER
            parent.mkdir(exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="create-", dir=parent))
        return Path(tempfile.mkdtemp(dir=self._folder))

    async def remove(self) -> None:
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
