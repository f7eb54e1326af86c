"""Who asks: known to whatever runs for a request, so that clients that must wait are served fairly."""

import hashlib
from contextvars import ContextVar

from aiohttp import web

from corral import Handler

CLIENT: ContextVar[str] = ContextVar("client", default="")
_KEYS = ("Authorization", "x-api-key")


async def named(request: web.Request, handler: Handler) -> web.StreamResponse:
    """`handler` with CLIENT set to what tells clients apart: the key they send (hashed), else their address."""
    key = next((request.headers[name] for name in _KEYS if name in request.headers), "")
    CLIENT.set(hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:16] if key else request.remote or "")
    return await handler(request)
