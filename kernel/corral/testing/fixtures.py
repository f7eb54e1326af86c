"""Fixtures for plugin authors: import all of them in your conftest, with `from corral.testing.fixtures import *`.

A test module says which plugins it is about with a fixture of its own:

    @pytest.fixture
    def plugins() -> list[type]:
        return [corral_brevity.Plugin]
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from corral import config as configuration
from corral.kernel import Kernel
from corral.plugins import Found, discover
from corral.server import build_app
from corral.testing import doubles as doubles_module

__all__ = ["client", "doubles", "kernel", "make_kernel", "plugins", "settings", "tables"]


def found(plugins: Iterable[type]) -> list[Found]:
    """Plugin classes as discovery would find them; the name is that of the package, without "corral_"."""
    result = []
    for plugin in plugins:
        parts = plugin.__module__.split(".")
        name = parts[-1] if parts[0] == "corral" else parts[0].removeprefix("corral_")
        result.append(Found(name, "test", partial(_itself, plugin), built_in=True, value=plugin.__module__))
    return result


def _generation(found: Iterable[Found]) -> list[Found]:
    """The plugin "generation" as it is installed, unless the test brings its own: prompts and answers are real."""
    named = {plugin.name for plugin in found}
    return [plugin for plugin in discover() if plugin.name == "generation" and plugin.name not in named]


def _itself(plugin: type) -> type:
    return plugin


@pytest.fixture
def plugins() -> list[type]:
    """The plugins under test, beside the doubles: override it."""
    return []


@pytest.fixture
def settings() -> dict[str, Any]:
    """Keys of `[kernel]` for the test's kernel: override it."""
    return {}


@pytest.fixture
def tables() -> dict[str, dict[str, Any]]:
    """The plugins' own tables, by plugin name: override it."""
    return {}


@pytest_asyncio.fixture
async def make_kernel() -> AsyncIterator[Callable[..., Any]]:
    """`await make_kernel(plugins, tables={…}, max_queue=1)`: a live kernel on these plugins, closed after the test."""
    async with AsyncExitStack() as stack:

        async def make(plugins: Iterable[type], tables: dict[str, dict[str, Any]] | None = None, **keys: Any) -> Kernel:
            settings = configuration.KernelSettings(**keys)
            offered = found(plugins)
            config = configuration.Config(kernel=settings, plugins=tables or {})
            kernel = Kernel(config, [*_generation(offered), *offered])
            return await stack.enter_async_context(kernel.live())

        yield make


@pytest_asyncio.fixture
async def kernel(
    make_kernel: Callable[..., Any],
    plugins: list[type],
    tables: dict[str, dict[str, Any]],
    settings: dict[str, Any],
) -> Kernel:
    """A live kernel on the doubles and the `plugins` under test."""
    keys = {"store": "memory", **settings}
    live: Kernel = await make_kernel([doubles_module.Plugin, *plugins], tables, **keys)
    return live


@pytest.fixture
def doubles(kernel: Kernel) -> doubles_module.Plugin:
    """The stand-ins that `kernel` runs on."""
    plugin = kernel.plugins.manager.get_plugin("doubles")
    assert isinstance(plugin, doubles_module.Plugin)
    return plugin


@pytest_asyncio.fixture
async def client(kernel: Kernel) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """An HTTP client of `kernel`, served as in production: a client that leaves cancels its request."""
    server = TestServer(build_app(kernel))
    await server.start_server(auto_decompress=False)
    async with TestClient(server, raise_for_status=False) as client:
        yield client
