"""The middleware: an exchange is refused by its `Origin`, answered when it is a preflight, refused by its `Host`."""

from aiohttp import hdrs, web

from corral import Handler
from corral.server import HEADERS, KERNEL
from corral_origin import hosts, origins

METHODS = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_STAINLESS = (
    "arch", "async", "custom-poll-interval", "helper-method", "lang", "os", "package-version", "poll-helper",
    "retry-count", "runtime", "runtime-version", "timeout",
)  # fmt: skip
ALLOWED_HEADERS = ",".join(
    [
        *("Authorization", "Content-Type", "User-Agent", "Accept", "X-Requested-With", "OpenAI-Beta"),
        *(f"x-stainless-{name}" for name in _STAINLESS),
        *("x-api-key", "anthropic-version", "anthropic-beta"),
    ]
)
MAX_AGE_S = 43200  # how long a browser may remember a preflight's answer


async def guard(request: web.Request, handler: Handler, *, hosts: str, check_host: str) -> web.StreamResponse:
    """The middleware.  `hosts` are further names allowed in `Host`, `check_host` says when it is looked at."""
    return _by_origin(request) or _by_host(request, hosts, check_host) or await handler(request)


def _by_origin(request: web.Request) -> web.Response | None:
    """An answer that ends the exchange: 403, or 204 for a preflight; None lets it pass, with headers for a page."""
    given = request.headers.getall(hdrs.ORIGIN, [])
    host = request.headers.get(hdrs.HOST, "")
    if not given or given in ([f"http://{host}"], [f"https://{host}"]):
        return None
    setting = request.app[KERNEL].config.kernel.origins
    if len(given) > 1 or not origins.is_allowed(given[0], setting):
        return web.Response(status=403)
    is_open = origins.allows_all(setting)
    headers = {"Access-Control-Allow-Origin": "*" if is_open else given[0]}
    if request.method != hdrs.METH_OPTIONS:
        request[HEADERS].update(headers if is_open else {**headers, "Vary": "Origin"})
        return None
    headers |= {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
        "Access-Control-Max-Age": str(MAX_AGE_S),
    }
    if not is_open:
        headers["Vary"] = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    return web.Response(status=204, headers=headers)


def _by_host(request: web.Request, further: str, check_host: str) -> web.Response | None:
    """403 for a strange host, 204 for OPTIONS to a known name; None lets the exchange pass."""
    listening = request.app[KERNEL].config.kernel.host
    if check_host == "never" or (check_host == "loopback" and not hosts.listens_on_loopback(listening)):
        return None
    given = request.headers.getall(hdrs.HOST, [""])
    name = hosts.without_port(given[0])
    address = hosts.parse_address(name)
    known = hosts.is_allowed_name(name, further) if address is None else hosts.is_allowed_address(address)
    if len(given) > 1 or not known:
        return web.Response(status=403)
    if address is None and request.method == hdrs.METH_OPTIONS:
        return web.Response(status=204)
    return None
