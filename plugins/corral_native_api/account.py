"""The endpoints of an online account, answered by a server that has none."""

from aiohttp import web

from corral import Forbidden
from corral_native_api.bodies import SearchBody
from corral_native_api.chunks import reply

SIGN_IN = "https://ollama.com/connect"


async def status(request: web.Request) -> web.Response:
    """GET /api/status: there is no cloud here."""
    return reply({"cloud": {"disabled": True, "source": "config"}})


async def me(request: web.Request) -> web.Response:
    """POST /api/me: nobody is signed in."""
    return reply({"error": "unauthorized", "signin_url": SIGN_IN}, status=401)


async def sign_out(request: web.Request) -> web.Response:
    """POST /api/signout and DELETE /api/user/keys/…: nobody was signed in."""
    return reply({"error": "you are not currently signed in"}, status=401)


async def web_search(request: web.Request, body: SearchBody) -> web.Response:
    """Raises Forbidden."""
    raise Forbidden("ollama cloud is disabled: web search is unavailable")


async def web_fetch(request: web.Request, body: SearchBody) -> web.Response:
    """Raises Forbidden."""
    raise Forbidden("ollama cloud is disabled: web fetch is unavailable")


async def recommendations(request: web.Request) -> web.Response:
    """GET /api/experimental/model-recommendations: none."""
    return reply({"recommendations": []})
