"""What plugins hang on the gate and the command line: routes, middlewares, commands, engines."""

from collections.abc import Iterable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from corral import CorralError, Middleware, Settings, hookimpl
from corral.config import Config
from corral.errors import PluginError
from corral.kernel import Kernel
from corral.plugins import Found
from corral.server import build_app
from corral_http.frames import sse

SEEN = web.RequestKey("seen", tuple[str, ...])


class Dialect:
    """Answers GET `path` with its own name."""

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path

    def table(self, kernel: Kernel) -> list[web.RouteDef]:
        async def answer(request: web.Request) -> web.Response:
            if "fail" in request.query:
                raise CorralError("no")
            return web.Response(text=self.name, headers={"Seen": ",".join(request.get(SEEN, ()))})

        return [web.get(self.path, answer)]

    def render_error(self, error: CorralError, status: int) -> bytes:
        return f'{{"{self.name}":"{error.message}"}}'.encode()


def plugin(name: str, **offers: Any) -> Found:
    """A plugin that answers each hook named in `offers` with the given providers."""

    class Plugin:
        class Config(Settings, frozen=True):
            """No keys."""

        def __init__(self, config: Config) -> None:
            """Nothing to keep."""

    for hook, providers in offers.items():

        def answer(self: Any, providers: Iterable[Any] = tuple(providers)) -> Iterable[Any]:
            return providers

        setattr(Plugin, hook, hookimpl(answer))
    return Found(name, f"{name} 1", lambda: Plugin, built_in=False, value=name)


def marking(name: str) -> Middleware:
    async def wrap(request: web.Request, handler: Any) -> web.StreamResponse:
        request[SEEN] = (*request.get(SEEN, ()), name)
        response: web.StreamResponse = await handler(request)
        return response

    return Middleware(name=name, wrap=wrap)


async def test_corral_routes_answer_and_render_their_own_errors() -> None:
    kernel = Kernel(Config(), [plugin("a", corral_routes=[Dialect("one", "/one"), Dialect("two", "/two")])])
    async with TestClient(TestServer(build_app(kernel))) as client:
        assert await (await client.get("/two")).text() == "two"
        failed = await client.get("/one?fail=1")
        assert (failed.status, await failed.json()) == (500, {"one": "no"})
        assert (await client.get("/three")).status == 404


def test_a_path_served_twice_names_both_dialects() -> None:
    kernel = Kernel(Config(), [plugin("a", corral_routes=[Dialect("one", "/x"), Dialect("two", "/x")])])
    with pytest.raises(PluginError, match=r"'one'.*'two'"):
        build_app(kernel)


async def test_corral_middlewares_wrap_every_exchange_first_outermost() -> None:
    plugins = [
        plugin("a", corral_routes=[Dialect("one", "/one")], corral_middlewares=[marking("outer"), marking("middle")]),
        plugin("b", corral_middlewares=[marking("inner")]),
    ]
    async with TestClient(TestServer(build_app(Kernel(Config(), plugins)))) as client:
        assert (await client.get("/one")).headers["Seen"] == "outer,middle,inner"


@pytest.mark.parametrize(("hook", "kind"), [("corral_engines", "engines"), ("corral_commands", "commands")])
def test_providers_are_kept_by_name_in_order_of_boot(hook: str, kind: str) -> None:
    def named(name: str) -> Any:
        return type("Provider", (), {"name": name})()

    kernel = Kernel(Config(), [plugin("a", **{hook: [named("z"), named("y")]}), plugin("b", **{hook: [named("x")]})])
    kernel.plugins.require()
    assert list(getattr(kernel, kind)) == ["z", "y", "x"]


def test_a_server_sent_event() -> None:
    assert sse(b"{}") == b"data: {}\n\n"
    assert sse(b"{}", "ping") == b"event: ping\ndata: {}\n\n"
