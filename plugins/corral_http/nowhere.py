"""Paths that are not served, and methods a path does not take: errors in the shape of a dialect, not plain text."""

from collections.abc import Callable

from aiohttp import web

from corral import CorralError, Handler, ModelNotFound


async def told(
    request: web.Request, handler: Handler, render: Callable[[CorralError, int], bytes]
) -> web.StreamResponse:
    """What `handler` answers; where the server has no such route, an error as `render` writes it."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as err:
        allow = err.headers.get("Allow", "")
        text = f"{request.path} takes {allow}, not {request.method}" if allow else f"there is no {request.path} here"
        body = render(ModelNotFound(text), err.status)
        headers = {"Allow": allow} if allow else None
        return web.Response(
            status=err.status, body=body, content_type="application/json", charset="utf-8", headers=headers
        )
