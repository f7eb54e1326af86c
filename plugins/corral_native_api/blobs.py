"""HEAD and POST /api/blobs/<digest>: the raw files that `create` refers to."""

from aiohttp import web

from corral.server import KERNEL
from corral_http.decoding import chunks


async def exists(request: web.Request) -> web.Response:
    """200 or 404, without a body.  Raises BadRequest for an ill-formed digest."""
    return web.Response(status=200 if request.app[KERNEL].store.has(request.match_info["digest"]) else 404)


async def upload(request: web.Request) -> web.Response:
    """201 for a new blob; 200, body unread, for one that is there.  Raises BadRequest when the bytes are others."""
    store, digest = request.app[KERNEL].store, request.match_info["digest"]
    if store.has(digest):
        return web.Response(status=200)
    await store.put(chunks(request), digest=digest)
    return web.Response(status=201)
