"""The store as a client sees it that runs beside its server: a file goes in without being sent or copied.

Where the file system can share blocks, a blob is the user's file until one of the two is changed.  Elsewhere only a
hard link will do, and who edits that file in place edits the model: so a model keeps one only where that was asked for.
"""

import os
import secrets
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from corral_store import files, lock
from corral_store.blobs import BlobFolder
from corral_store.plugin import root_of
from corral_store.store import OllamaStore
from corral_store.tree import ManifestTree

if TYPE_CHECKING:
    from corral.kernel import Kernel

Has = Callable[[str], Awaitable[bool]]


class Neighbour:
    """The folder of blobs, and what was put into it through here.

    `link`: hard links may stay.  `passing`: most files are only converted, so they may be links until `take_back`.
    """

    def __init__(self, root: Path, *, link: bool, passing: bool) -> None:
        self._root, self._link, self._passing = root, link, passing
        self._blobs = BlobFolder(root / "blobs")
        self._tree = ManifestTree(root / "manifests", self._blobs.root)
        self._given: dict[str, tuple[int, int]] = {}  # digest → inode and time of the last change

    @classmethod
    async def of(cls, kernel: "Kernel", has: Has, *, link: bool, passing: bool) -> Self | None:
        """None unless this user owns the configured store, and the server, asked with `has`, keeps its blobs there."""
        settings = kernel.config.kernel
        if not isinstance(kernel.stores.get(settings.store), OllamaStore):
            return None
        found = cls(root_of(settings.models), link=link, passing=passing)
        try:
            if not hasattr(os, "geteuid") or found._blobs.root.stat().st_uid != os.geteuid():
                return None
            proof = found._blobs.put_bytes(secrets.token_bytes(32))
        except OSError:
            return None  # no such folder, or not ours to write in
        try:
            return found if await has(proof.digest) else None
        finally:
            found._blobs.remove(proof.digest)

    async def give(self, path: Path) -> str | None:
        """The digest of a file, which is in the store now; None when it could only be copied.

        Raises BadRequest for what is no file, OSError.
        """
        files.require_regular(path)
        with files.temporary(self._blobs.root) as temp:
            if not await files.in_thread(files.refer, path, temp, link=self._link or self._passing):
                return None
            digest, _ = await self._blobs.hash(temp)
            await files.in_thread(self._publish, temp, digest)
        return digest

    def _publish(self, temp: Path, digest: str) -> None:
        with lock.exclusive(self._root):
            if self._blobs.path(digest).is_file():
                self._blobs.touch(digest)
                return
            status = temp.stat()
            self._given[digest] = (status.st_ino, status.st_mtime_ns)
            files.publish(temp, self._blobs.path(digest))

    def take_back(self) -> None:
        """Remove what was given here, is in no model, and was asked for by nobody since.  Blocking.  Raises OSError.

        What a model uses, and was linked only in passing, becomes a copy.
        """
        with lock.exclusive(self._root):
            used, broken = self._tree.used()
            for digest, mark in self._given.items() if not broken else ():
                path = self._blobs.path(digest)
                status = path.stat() if digest not in used and path.is_file() else None
                if status and (status.st_ino, status.st_mtime_ns) == mark:
                    path.unlink()
        for digest, (inode, _) in self._given.items() if not self._link else ():
            path = self._blobs.path(digest)
            if path.is_file() and path.stat().st_ino == inode and path.stat().st_nlink > 1:
                with files.temporary(self._blobs.root) as temp:
                    shutil.copyfile(path, temp)
                    files.publish(temp, path)
