"""HEAD, POST and DELETE /api/blobs/<digest>: the raw files that `create` refers to."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from corral import BadRequest, ModelNotFound
from corral.server import KERNEL
from corral_http.decoding import chunks


@dataclass(slots=True)
class _Arrivals:
    """Uploads of one blob that overlap: it belongs to all who sent it."""

    begun: int = 0
    present: int = 0


class Blobs:
    """Knows which blobs came in here and have been asked for by nobody since: only those can be taken back.

    Whoever asks for a blob that is there renews its age, which other servers of the store see.
    """

    def __init__(self) -> None:
        self._fresh: dict[str, int] = {}  # file name → time of the last change in ns
        self._arriving: dict[str, _Arrivals] = {}  # by file name

    async def exists(self, request: web.Request) -> web.Response:
        """200 or 404, without a body.  Raises BadRequest for an ill-formed digest."""
        return web.Response(status=200 if self._claim(request) else 404)

    async def upload(self, request: web.Request) -> web.Response:
        """201 for a new blob; 200, body unread, for one that is there.  Raises BadRequest when the bytes are others."""
        store, digest = request.app[KERNEL].store, request.match_info["digest"]
        if self._claim(request):
            return web.Response(status=200)
        name = store.path(digest).name
        arrivals = self._arriving.setdefault(name, _Arrivals())
        arrivals.begun += 1
        arrivals.present += 1
        try:
            await store.put(chunks(request), digest=digest)
        finally:
            arrivals.present -= 1
            if not arrivals.present:
                del self._arriving[name]
        if arrivals.begun == 1:
            self._fresh[name] = store.path(digest).stat().st_mtime_ns
        return web.Response(status=201)

    async def discard(self, request: web.Request) -> web.Response:
        """Take back an upload that was of no use.  Raises ModelNotFound, BadRequest when it may be of use to others."""
        store, digest = request.app[KERNEL].store, request.match_info["digest"]
        path = store.path(digest)
        models = await asyncio.to_thread(store.list)
        if not path.is_file():
            raise ModelNotFound(f'blob "{digest}" not found')
        used = any(store.path(layer.digest) == path for model in models for layer in model.layers)
        if used or self._fresh.pop(path.name, None) != path.stat().st_mtime_ns:
            raise BadRequest(f'blob "{digest}" is kept: others use it or have asked for it', code="blob_in_use")
        path.unlink()
        return web.Response(status=200)

    def _claim(self, request: web.Request) -> bool:
        """Whether the blob is there; if so, it is the asker's as much as its sender's from now on."""
        store, digest = request.app[KERNEL].store, request.match_info["digest"]
        if not store.has(digest):
            return False
        path = store.path(digest)
        self._fresh.pop(path.name, None)
        with suppress(PermissionError):  # of another user, in a store that may be read
            path.touch()
        return True
