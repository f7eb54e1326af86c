"""The folder `blobs/`: files named by the sha256 of their content."""

import contextlib
import hashlib
import time
from collections.abc import AsyncIterable
from pathlib import Path
from typing import IO, Protocol

from corral import BadRequest, Layer
from corral_store import digests, files

BLOCK_BYTES = 4 << 20
GRACE_S = 3600.0  # unreferenced files younger than this may belong to a pull or create that is still running


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class BlobFolder:
    """The blobs of one store.  Methods raise OSError; the store words it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where a blob lies, there or not.  Raises BadRequest("invalid digest format")."""
        return self.root / digests.file_name(digest)

    async def put(self, chunks: AsyncIterable[bytes], wanted: str | None) -> Layer:
        """Write a blob as it arrives.  Raises BadRequest, keeping nothing, when it is not the `wanted` one.

        What `chunks` raises passes through; only the disk's own faults become a CorralError.
        """
        if wanted is not None:
            wanted = digests.canonical(wanted)
        with files.temporary(self.root) as temp:
            with temp.open("wb", buffering=0) as file:
                digest, size = await _write(chunks, file, self.root)
            if wanted not in (None, digest):
                raise BadRequest(f'digest mismatch, expected "{wanted}", got "{digest}"', code="digest_mismatch")
            with files.guarded("writing a blob", self.root):
                await files.in_thread(files.publish, temp, self.path(digest))
        return Layer(media_type="", digest=digest, size_bytes=size)

    async def adopt(self, source: Path, *, move: bool) -> Layer:
        """Take a local file in.  Cancelled, it stops within one block, and a file to be moved is where it was.

        A file that stays where it is may be changed by others, so the store's own link or copy is hashed.
        """
        files.require_regular(source)
        with files.temporary(self.root) as temp:
            if move:
                digest, size = await self.hash(source)
            await files.in_thread(files.take, source, temp, move=move)
            if not move:
                digest, size = await self.hash(temp)
            await files.in_thread(files.publish, temp, self.path(digest))
        return Layer(media_type="", digest=digest, size_bytes=size)

    async def hash(self, path: Path) -> tuple[str, int]:
        """The digest and the length of a file.  Cancelled, it ends within one block."""
        state, size = hashlib.sha256(), 0
        with path.open("rb", buffering=0) as file:
            while block := await files.in_thread(_hash_block, file, state):
                size += block
        return f"sha256:{state.hexdigest()}", size

    def put_bytes(self, data: bytes) -> Layer:
        """Write a small blob, blocking."""
        digest = digests.of(data)
        path = self.path(digest)
        if not path.is_file():
            files.write(data, path, self.root)
        return Layer(media_type="", digest=digest, size_bytes=len(data))

    def touch(self, digest: str) -> None:
        """Start a blob's grace anew, as far as its owner lets us."""
        with contextlib.suppress(PermissionError):
            self.path(digest).touch()

    def remove(self, digest: str) -> None:
        """Missing blobs are no fault."""
        self.path(digest).unlink(missing_ok=True)

    def migrate(self) -> None:
        """Rename `sha256:<hex>`, as old versions wrote them, to `sha256-<hex>`."""
        for path in self.root.glob("sha256:*"):
            path.replace(path.with_name(path.name.replace(":", "-", 1)))

    def stale(self, used: set[str]) -> list[Path]:
        """Files no manifest needs and nobody has written to for an hour.

        The parts of an unfinished download stand or fall together: some are complete long before the others.
        """
        now = time.time()
        groups: dict[str, list[Path]] = {}
        for path in self.root.iterdir():
            if path.is_file() and not (digests.is_blob_name(path.name) and digests.canonical(path.name) in used):
                groups.setdefault(path.name.partition("-partial")[0], []).append(path)
        return [path for paths in groups.values() if max(map(_modified, paths)) < now - GRACE_S for path in paths]

    def drop(self, path: Path) -> int:
        """Remove a file of the folder; how many bytes it had."""
        try:
            size = path.lstat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size

    def sha256(self, path: Path) -> str:
        """The digest of a file's content, blocking."""
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _hash_block(file: IO[bytes], state: _Hash) -> int:
    block = file.read(BLOCK_BYTES)
    state.update(block)
    return len(block)


async def _write(chunks: AsyncIterable[bytes], file: IO[bytes], where: Path) -> tuple[str, int]:
    """Write chunks of any size in blocks; (digest, bytes)."""
    state, size, pending = hashlib.sha256(), 0, bytearray()

    def flush(block: bytes) -> None:
        state.update(block)
        view = memoryview(block)
        with files.guarded("writing a blob", where):
            while view:
                view = view[file.write(view) :]

    async for chunk in chunks:
        pending += chunk
        size += len(chunk)
        if len(pending) >= BLOCK_BYTES:
            block, pending = bytes(pending), bytearray()
            await files.in_thread(flush, block)
    await files.in_thread(flush, bytes(pending))
    return f"sha256:{state.hexdigest()}", size
