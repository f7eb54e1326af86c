"""A path that is served only without its last slash: the client is sent there, as by the reference."""

from aiohttp import web

from corral import Handler


async def redirect(request: web.Request, handler: Handler) -> web.StreamResponse:
    """307, which keeps method and body, when the path is served without its last slash; else what `handler` says."""
    path = request.rel_url.raw_path
    if request.match_info.http_exception is None or len(path) < 2 or not path.endswith("/"):
        return await handler(request)
    there = request.rel_url.with_path(path[:-1], encoded=True, keep_query=True)
    info = await request.app.router.resolve(request.clone(rel_url=there))
    if info.http_exception is not None:
        return await handler(request)
    return web.Response(status=307, headers={"Location": str(there)})
