"""The files of a model on their way to the server: sent, or, where it shares a store with us, just put there."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from corral import CorralError

if TYPE_CHECKING:
    from corral.kernel import Kernel
    from corral_cli.client import Client
    from corral_cli.progress import Progress
    from corral_store.neighbour import Neighbour

_AT_ONCE = 2


class Uploads:
    """Sends files; `take_back` removes from the server what no model uses, as the parts of a converted one."""

    def __init__(self, client: "Client", display: "Progress") -> None:
        self._client, self._display = client, display
        self._neighbour: Neighbour | None = None
        self._sent: list[str] = []  # digests of blobs that the server did not have

    async def look_around(self, kernel: "Kernel", *, link: bool, passing: bool) -> None:
        """Find out whether the server's store is ours, too.  `link`: links may stay; `passing`: until `take_back`."""
        if self._client.is_local and kernel.stores:
            from corral_store.neighbour import Neighbour

            self._neighbour = await Neighbour.of(kernel, self._client.has_blob, link=link, passing=passing)

    async def send(self, paths: Iterable[Path]) -> Mapping[Path, str]:
        """Every file, two at a time; their digests.  Raises CorralError for the first that fails."""
        slots, digests = asyncio.Semaphore(_AT_ONCE), dict[Path, str]()

        async def send(path: Path) -> None:
            async with slots:
                digests[path] = await self._given(path) or await self._uploaded(path)

        try:
            async with asyncio.TaskGroup() as tasks:
                for path in dict.fromkeys(paths):
                    tasks.create_task(send(path))
        except* (CorralError, OSError) as failures:
            first = failures.exceptions[0]
            raise first if isinstance(first, CorralError) else CorralError(str(first)) from None
        return digests

    async def _given(self, path: Path) -> str | None:
        digest = await self._neighbour.give(path) if self._neighbour else None
        if digest:
            self._display.show(f"sharing file {digest}")
        return digest

    async def _uploaded(self, path: Path) -> str:
        loop, size = asyncio.get_running_loop(), path.stat().st_size
        digest = await asyncio.to_thread(digest_of, path)

        def sent(n_bytes: int) -> None:
            loop.call_soon_threadsafe(self._display.copying, digest, size, n_bytes)

        if await self._client.upload(digest, path, sent):
            self._sent.append(digest)
        self._display.copying(digest, size, size)
        return digest

    async def take_back(self) -> None:
        """Remove what was sent or put there and is in no model.  What a server keeps or cannot remove, it prunes."""
        if self._neighbour:
            with suppress(CorralError, OSError):
                await asyncio.to_thread(self._neighbour.take_back)
        for digest in self._sent:
            with suppress(CorralError):
                await self._client.discard(digest)


def digest_of(path: Path) -> str:
    """`sha256:<hex>` of a file's content."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
