"""serve, the server in the command's own process, and what Ctrl+C does."""

import argparse
import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator

import pytest
import structlog

import corral_native_api.plugin
from corral import CorralError, config
from corral.kernel import Kernel
from corral.testing import doubles
from corral.testing.fixtures import found
from corral_cli.client import Client
from corral_cli.interrupt import unless_interrupted
from corral_cli.local import connect
from corral_cli.serve import Serve, warm_up


@pytest.fixture(autouse=True)
def _log_is_reset() -> Iterator[None]:
    """Serving sets the process's log up; the next test must not write to this one's stderr."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def make() -> Callable[[str], Kernel]:
    """A kernel on stand-ins that speaks the native API, for a host."""

    def kernel(host: str) -> Kernel:
        settings = config.KernelSettings(host=host, store="memory")
        plugins = found([doubles.Plugin, corral_native_api.plugin.Plugin])
        return Kernel(config.Config(kernel=settings), plugins)

    return kernel


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_command_brings_its_own_server(make: Callable[[str], Kernel]) -> None:
    async with connect(make("127.0.0.1:1")) as client:
        assert client.is_local
        assert (await client.get("/api/tags"))["models"] is not None
        port = client.port
    assert not await Client(f"127.0.0.1:{port}").is_up()


async def test_a_host_elsewhere_is_not_replaced(make: Callable[[str], Kernel], monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(self: Client) -> bool:
        return False

    monkeypatch.setattr(Client, "is_up", refused)
    with pytest.raises(CorralError, match="could not connect to corral server, run 'corral serve' to start it"):
        async with connect(make("example.com:1")):
            pass


async def test_engines_that_can_are_warmed_up(make: Callable[[str], Kernel]) -> None:
    kernel, warmed = make("127.0.0.1:1"), asyncio.Event()
    loop = asyncio.get_running_loop()
    warm_up(kernel)  # an engine without `warm` is left alone
    kernel.engines["scripted"].warm = lambda: loop.call_soon_threadsafe(warmed.set)  # type: ignore[attr-defined]
    warm_up(kernel)
    async with asyncio.timeout(20):
        await warmed.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_serving(make: Callable[[str], Kernel], capsys, number: signal.Signals) -> None:
    host = f"127.0.0.1:{free_port()}"
    serving = asyncio.ensure_future(Serve().run(argparse.Namespace(), make(host)))
    async with asyncio.timeout(20):
        while not await Client(host).is_up():  # noqa: ASYNC110  only a connection tells
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), number)
        assert await serving == 0
    assert capsys.readouterr().out == ""
    assert not await Client(host).is_up()


async def test_a_port_in_use(make: Callable[[str], Kernel]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CorralError, match=f"^listen tcp {host}: bind: address already in use$"):
            await Serve().run(argparse.Namespace(), make(host))


async def test_serving_on_a_host_that_is_not_found(make: Callable[[str], Kernel], monkeypatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(CorralError, match=r"^listen tcp foo:1: bind: name or service not known \(the host is that of"):
        await Serve().run(argparse.Namespace(), make("foo:1"))


async def test_ctrl_c_ends_the_work_and_not_the_program() -> None:
    ended = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    assert not await unless_interrupted(work())
    assert ended == ["cancelled"]
    assert signal.getsignal(signal.SIGINT) is not None


async def test_work_that_ends_by_itself() -> None:
    assert await unless_interrupted(asyncio.sleep(0))


async def test_a_cancellation_from_outside_goes_through() -> None:
    began = asyncio.Event()

    async def work() -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(unless_interrupted(work()))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
