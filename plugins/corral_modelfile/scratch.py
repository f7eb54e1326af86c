"""Folders to work in, on the disk of the store, gone when the work is."""

import asyncio
import tempfile
from pathlib import Path

from corral import CorralError
from corral_store.work import WorkFolder


class Scratch:
    """Makes folders when asked; `remove` takes all of them away."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._work: WorkFolder | None = None

    async def folder(self) -> Path:
        """A new, empty folder.  Raises CorralError when the disk refuses."""
        try:
            return await asyncio.to_thread(self._make)
        except OSError as err:
            raise CorralError(f"no folder to work in below {self._root}: {err.strerror}", code="store_error") from err

    def _make(self) -> Path:
        if self._work is None:
            self._work = WorkFolder(self._root, "create-")
        return Path(tempfile.mkdtemp(dir=self._work.path))

    async def remove(self) -> None:
        if self._work is not None:
            await asyncio.to_thread(self._work.remove)
