"""The loaded models: one runner per weights, reference counts, keep_alive, eviction, one load at a time."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from corral.config import duration_s
from corral.errors import Busy, CorralError, OutOfMemory, Unsupported
from corral.log import get_logger
from corral.protocols import Tokenizer, Weights
from corral.runners import Runner, RunnerSettings
from corral.types import LoadedModel, StoredModel

if TYPE_CHECKING:
    from corral.kernel import Kernel

BUSY = "server busy, please try again.  maximum pending requests exceeded"
SLOW_DISK = 20e6  # bytes a second


class Resident:
    """A model in memory.  `active` counts the requests that hold it; nothing is closed while it is above zero."""

    weights: Weights
    tokenizer: Tokenizer

    def __init__(self, key: str, model: StoredModel, keep_alive_s: float) -> None:
        self.key, self.model, self.keep_alive_s = key, model, keep_alive_s
        self.runner: Runner | None = None
        self.active, self.load_ms, self.num_ctx = 0, 0, 0  # the context of the latest request
        self.expires_at: float | None = None  # on the monotonic clock; None while in use or never
        self.timer: asyncio.TimerHandle | None = None

    @property
    def required_runner(self) -> Runner:
        """Raises Unsupported for a file that has a vocabulary and no tensors."""
        if self.runner is None:
            raise Unsupported(f'"{self.model.ref.name}" holds a vocabulary only: it can tokenize and nothing else')
        return self.runner

    def stop_clock(self) -> None:
        """In use, or going."""
        self.expires_at = None
        if self.timer:
            self.timer.cancel()


class ModelPool:
    """Use `lease`: it loads on a miss, counts the holder, and starts the keep-alive clock when the last one leaves."""

    def __init__(self, kernel: "Kernel") -> None:
        self.kernel = kernel
        self.settings = kernel.config.kernel
        keep_alive_s = duration_s(self.settings.keep_alive)
        self.default_keep_alive_s = math.inf if keep_alive_s < 0 else keep_alive_s
        self._residents: dict[str, Resident] = {}
        self._loading: dict[str, asyncio.Task[Resident]] = {}
        self._waiting: list[asyncio.Task[Resident]] = []  # the load each queued request waits for
        self._load_lock = asyncio.Lock()
        self._idle = asyncio.Condition()
        self._closing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Abort what loads, close what is loaded."""
        for task in self._loading.values():
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        for resident in list(self._residents.values()):
            self._drop(resident)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def end_generations(self) -> None:
        """Shutting down: every generation ends now, with the reason "shutdown", so that its stream ends in order."""
        runners = [resident.runner for resident in self._residents.values() if resident.runner]
        await asyncio.gather(*(runner.close() for runner in runners), return_exceptions=True)

    @asynccontextmanager
    async def lease(self, model: StoredModel, keep_alive_s: float | None = None) -> AsyncIterator[Resident]:
        """Hold a model for the length of one request.  `keep_alive_s` replaces the model's value unless None.

        Raises Busy when the load queue is full, and whatever loading raises.
        """
        resident = await self._acquire(model)
        if keep_alive_s is not None:
            resident.keep_alive_s = keep_alive_s
        try:
            yield resident
        finally:
            await self._release(resident)

    async def _release(self, resident: Resident) -> None:
        resident.active -= 1
        if resident.active == 0:
            self._start_clock(resident)
            async with self._idle:
                self._idle.notify_all()

    async def _acquire(self, model: StoredModel) -> Resident:
        key = "|".join(map(str, (*model.weights, *model.drafts)))
        resident = self._residents.get(key)
        if resident and resident.runner and not resident.runner.alive:
            self._drop(resident)
        if resident is None or key not in self._residents:
            return await self._join_load(key, model)
        resident.active += 1
        resident.stop_clock()
        return resident

    async def _join_load(self, key: str, model: StoredModel) -> Resident:
        """Wait for the one load of this model, and hold it; the load is aborted when nobody waits for it any more."""
        task = self._loading.get(key)
        if len(self._waiting) >= self.settings.max_queue + (self.settings.num_parallel if task else 0):
            raise Busy(BUSY)
        if task is None:
            task = asyncio.create_task(self._load(key, model), name=f"load {model.ref.name}")
            self._loading[key] = task
            task.add_done_callback(lambda done: (self._loading.pop(key, None), done.cancelled() or done.exception()))
        self._waiting.append(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.done() and not task.cancelled() and not task.exception():
                await self._release(task.result())
            elif self._waiting.count(task) == 1:
                task.cancel()
            raise
        finally:
            self._waiting.remove(task)

    async def _load(self, key: str, model: StoredModel) -> Resident:
        async with self._load_lock:
            await self._make_room()
            began = time.perf_counter()
            resident = Resident(key, model, self.default_keep_alive_s)
            resident.weights = await asyncio.to_thread(self.kernel.open, model)
            try:
                while True:
                    try:
                        async with asyncio.timeout(self._patience_s(model)):
                            await self._open(resident)
                        break
                    except TimeoutError as err:
                        asked = f"load_timeout = {self.settings.load_timeout}"
                        raise CorralError(f'"{model.ref.name}" did not load in time ({asked})', code="timeout") from err
                    except OutOfMemory:
                        if not self._evict() and not self._closing:
                            raise
                        await asyncio.wait(self._closing)  # which, unlike gather, cancels nothing
            except BaseException:
                resident.weights.close()
                raise
            self._residents[key] = resident
            resident.active = self._waiting.count(self._loading[key])  # held for each of them before anybody may evict
            if not resident.active:
                self._start_clock(resident)
            resident.load_ms = round((time.perf_counter() - began) * 1e3)
            size = resident.runner.stats().weights_bytes if resident.runner else 0
            get_logger("pool").info("model.loaded", model=model.ref.name, size_bytes=size, load_ms=resident.load_ms)
            return resident

    def _patience_s(self, model: StoredModel) -> float | None:
        """How long a load may take: `load_timeout` beyond what a slow disk needs for the file; None means for ever."""
        allowed_s = duration_s(self.settings.load_timeout)
        return allowed_s + model.size_bytes / SLOW_DISK if allowed_s > 0 else None

    async def _open(self, resident: Resident) -> None:
        """Build the tokenizer and open the runner side by side."""
        weights, info = resident.weights, resident.weights.info

        def build() -> Tokenizer:
            vocab = weights.vocab()
            return self.kernel.tokenizers[vocab.model].build(vocab)

        tokenizer = asyncio.create_task(asyncio.to_thread(build))
        try:
            if info.tensors:
                engine = next((engine for engine in self.kernel.engines.values() if engine.fits(info)), None)
                if engine is None:
                    there_is = self.kernel.engines.there_is
                    raise Unsupported(f"no engine here runs architecture {info.architecture!r} (engines: {there_is})")
                resident.runner = await engine.open(weights, self._runner_settings(resident.model))
            resident.tokenizer = await tokenizer
        except BaseException:
            await asyncio.gather(tokenizer, return_exceptions=True)
            if resident.runner:
                await resident.runner.close()
            raise

    def _runner_settings(self, model: StoredModel) -> RunnerSettings:
        s, draft = self.settings, next(map(str, model.drafts), "")
        n, most, k, v = s.num_parallel, s.max_queue, s.kv_cache_type, s.kv_cache_type_v or s.kv_cache_type
        return RunnerSettings(
            n_parallel=n, kv_type_k=k, kv_type_v=v, max_queue=most, isolation=s.isolation, draft=draft
        )

    async def _make_room(self) -> None:
        """Evict until one more model may be loaded."""
        while len(self._residents) >= (self.settings.max_loaded_models or 3):
            if not self._evict():
                async with self._idle:
                    await self._idle.wait()

    def _evict(self) -> bool:
        """Drop the idle model with the shortest keep-alive; False when all are in use."""
        idle = [resident for resident in self._residents.values() if resident.active == 0]
        if idle:
            self._drop(min(idle, key=lambda resident: (resident.keep_alive_s, resident.key)))
        return bool(idle)

    def _start_clock(self, resident: Resident) -> None:
        if resident.keep_alive_s <= 0:
            self._drop(resident)
        elif math.isfinite(resident.keep_alive_s) and self._residents.get(resident.key) is resident:
            resident.expires_at = time.monotonic() + resident.keep_alive_s
            resident.timer = asyncio.get_running_loop().call_later(resident.keep_alive_s, self._drop, resident)

    def _drop(self, resident: Resident) -> None:
        """Forget a resident and close it in the background."""
        if self._residents.get(resident.key) is resident:
            del self._residents[resident.key]
            resident.stop_clock()
            task = asyncio.ensure_future(self._close(resident))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _close(self, resident: Resident) -> None:
        async with self._idle:  # a request that holds it ends first
            await self._idle.wait_for(lambda: not resident.active)
        try:
            if resident.runner:
                await resident.runner.close()
        except CorralError as err:
            get_logger("pool").warning("model.close_failed", model=resident.model.ref.name, error=err.message)
        resident.weights.close()
        get_logger("pool").info("model.unloaded", model=resident.model.ref.name)

    async def unload(self, model: StoredModel) -> None:
        """Unload now, or as soon as the requests that hold the model end.  Nothing happens when it is not loaded."""
        resident = self._residents.get("|".join(map(str, (*model.weights, *model.drafts))))
        if resident is not None:
            resident.keep_alive_s = 0
            if resident.active == 0:
                self._drop(resident)

    def loaded(self) -> list[LoadedModel]:
        """What is in memory, longest remaining life first."""
        now, wall, rows = time.monotonic(), time.time(), []
        for resident in self._residents.values():
            at = wall + (resident.expires_at or now + resident.keep_alive_s) - now
            s = resident.runner.stats() if resident.runner else None
            size, room = (s.weights_bytes + s.kv_bytes, s.kv_tokens) if s else (0, 0)
            n_ctx = min(resident.num_ctx or room, room, resident.weights.info.context_length or room)
            did = {"active": s.active, "queued": s.queued, "load_ms": resident.load_ms, **s.totals.facts} if s else {}
            row = LoadedModel(model=resident.model, size_bytes=size, context_length=n_ctx, expires_at=at, activity=did)
            rows.append(row)
        return sorted(rows, key=lambda row: -row.expires_at)
