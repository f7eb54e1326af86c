"""The endpoints of an online account, answered by a server that has none."""

from aiohttp import web

from corral import Forbidden, JSONObject
from corral_native_api.bodies import SearchBody
from corral_native_api.chunks import ErrorWire, Wire, reply

SIGN_IN = "https://ollama.com/connect"


class Cloud(Wire, frozen=True):
    """Whether models may run elsewhere; `source` says what decided it."""

    disabled: bool
    source: str


class Status(Wire, frozen=True):
    """/api/status."""

    cloud: Cloud


class Recommendations(Wire, frozen=True):
    """/api/experimental/model-recommendations."""

    recommendations: list[JSONObject]


async def status(request: web.Request) -> web.Response:
    """GET /api/status: there is no cloud here."""
    return reply(Status(cloud=Cloud(disabled=True, source="config")))


async def me(request: web.Request) -> web.Response:
    """POST /api/me: nobody is signed in."""
    return reply(ErrorWire(error="unauthorized", signin_url=SIGN_IN), status=401)


async def sign_out(request: web.Request) -> web.Response:
    """POST /api/signout and DELETE /api/user/keys/…: nobody was signed in."""
    return reply(ErrorWire(error="you are not currently signed in"), status=401)


async def web_search(request: web.Request, body: SearchBody) -> web.Response:
    """Raises Forbidden."""
    raise Forbidden("ollama cloud is disabled: web search is unavailable")


async def web_fetch(request: web.Request, body: SearchBody) -> web.Response:
    """Raises Forbidden."""
    raise Forbidden("ollama cloud is disabled: web fetch is unavailable")


async def recommendations(request: web.Request) -> web.Response:
    """GET /api/experimental/model-recommendations: none."""
    return reply(Recommendations(recommendations=[]))
