"""A runner in a process of its own: a crash there ends its requests and nothing else."""

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import signal
import socket
from collections.abc import AsyncGenerator, Coroutine
from multiprocessing.process import BaseProcess
from pathlib import Path

import msgspec

from corral import CorralError, DoneEvent, EmbedJob, Event, Job, RunnerDied, RunnerSettings, RunnerStats
from corral.log import configure, get_logger
from corral_engine import messages as m
from corral_engine.abandon import settled
from corral_engine.engine import CorralEngine, Parts
from corral_engine.lora import open_weights
from corral_engine.plugin import EngineConfig

WINDOW = 64  # events a reader may be behind
_EXIT_S = 10.0
_DIED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check the server's log for details"
)


class ProcessRunner:
    """`corral.Runner` at the parent's end of the socket."""

    def __init__(self, process: BaseProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Queue[m.FromChild | CorralError]] = {}
        self._stats = RunnerStats()
        self._dead = False
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, config: EngineConfig, parts: Parts, path: Path, settings: RunnerSettings) -> "ProcessRunner":
        """Start the process and wait until the model is open.  Raises what opening raises, or RunnerDied."""
        starting = asyncio.create_task(cls._start(config, parts, path, settings))
        try:
            runner = await asyncio.shield(starting)
            first = await runner._next()
        except BaseException:
            await settled(starting)
            if not starting.exception():
                await starting.result()._kill()  # the child sees that nobody listens any more, and ends
            raise
        if not isinstance(first, m.Stats):
            await runner._kill()
            raise m.error_of(first) if isinstance(first, m.Failed) else RunnerDied(_DIED)
        runner._stats = first.stats
        runner._task = asyncio.create_task(runner._read(), name="runner process reader")
        return runner

    @classmethod
    async def _start(cls, config: EngineConfig, parts: Parts, path: Path, settings: RunnerSettings) -> "ProcessRunner":
        """Start the process.  Raises CorralError."""
        ours, theirs = socket.socketpair()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=child_main, args=(config, parts, path, settings, theirs), daemon=True)
        try:
            await asyncio.get_running_loop().run_in_executor(None, process.start)
        except Exception as err:  # what a plugin offers may be impossible to send
            ours.close()
            raise CorralError(f"a runner's process cannot be started: {err}; `isolation` may be set to thread") from err
        finally:
            theirs.close()
        return cls(process, *await asyncio.open_connection(sock=ours))

    @property
    def alive(self) -> bool:
        return not self._dead and not self._closing

    @property
    def process_id(self) -> int | None:
        return self._process.pid

    def stats(self) -> RunnerStats:
        return self._stats

    async def submit(self, job: Job) -> AsyncGenerator[Event, None]:
        """See `corral.Runner`."""
        request, replies = self._begin()
        self._send(m.Submit(id=request, job=job))
        ended = False
        try:
            while True:
                message = await self._reply(replies)
                if not isinstance(message, m.Told):
                    ended = True
                    raise RunnerDied(_DIED)
                event = message.event
                ended = isinstance(event, DoneEvent)
                self._send(m.Credit(id=request))
                yield event
                if ended:
                    return
        except CorralError:
            ended = True
            raise
        finally:
            del self._replies[request]
            if not ended:
                self._send(m.Cancel(id=request))

    async def embed(self, job: EmbedJob) -> tuple[tuple[float, ...], ...]:
        """See `corral.Runner`."""
        request, replies = self._begin()
        self._send(m.Embed(id=request, job=job))
        try:
            message = await self._reply(replies)
            if not isinstance(message, m.Vectors):
                raise RunnerDied(_DIED)
            return message.vectors
        except asyncio.CancelledError:
            self._send(m.Cancel(id=request))
            raise
        finally:
            del self._replies[request]

    async def close(self) -> None:
        """Ask the child to end; kill it when it does not."""
        if self._closing:
            return
        self._closing = True
        self._send(m.Close())
        try:
            async with asyncio.timeout(_EXIT_S):
                if self._task is not None:
                    await self._task
        except TimeoutError:
            self._process.kill()
        await self._kill()

    # --- the socket -----------------------------------------------------------------------------------------------

    def _begin(self) -> "tuple[int, asyncio.Queue[m.FromChild | CorralError]]":
        if not self.alive:
            raise RunnerDied(_DIED if self._dead else "the model is being unloaded; try again")
        request = next(self._ids)
        self._replies[request] = asyncio.Queue()
        return request, self._replies[request]

    async def _reply(self, replies: "asyncio.Queue[m.FromChild | CorralError]") -> m.FromChild:
        message = await replies.get()
        if isinstance(message, m.Failed):
            raise m.error_of(message)
        if isinstance(message, CorralError):
            raise message
        return message

    def _send(self, message: m.Message) -> None:
        if not self._dead:
            m.send(self._writer, [message])

    async def _next(self) -> m.FromChild | None:
        frame = await m.receive(self._reader)
        return m.from_child.decode(frame) if frame is not None else None

    async def _read(self) -> None:
        """Hand every message to its request until the child has gone."""
        try:
            while (message := await self._next()) is not None:
                if isinstance(message, m.Stats):
                    self._stats = message.stats
                elif message.id in self._replies:
                    self._replies[message.id].put_nowait(message)
        except (msgspec.DecodeError, RunnerDied):
            self._process.kill()
        self._dead = True
        self._stats = RunnerStats()
        how = "" if self._closing else await asyncio.get_running_loop().run_in_executor(None, self._how_it_ended)
        for replies in self._replies.values():
            replies.put_nowait(RunnerDied(_DIED + how))

    def _how_it_ended(self) -> str:
        """For the error, and in the log; blocking."""
        self._process.join(_EXIT_S)
        code = self._process.exitcode
        number = -code if code is not None and code < 0 else 0
        name = signal.Signals(number).name if number in signal.valid_signals() and number else ""
        get_logger("engine").error("runner.died", process_id=self._process.pid, exit_code=code, signal=name or None)
        perhaps = ", perhaps because memory ran out" if name == "SIGKILL" else ""
        return f" (its process was ended by {name}{perhaps})" if name else f" (its process ended with exit code {code})"

    async def _kill(self) -> None:
        self._dead = True
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

        def join() -> None:
            self._process.join(_EXIT_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process.close()

        await asyncio.get_running_loop().run_in_executor(None, join)


# --- in the child -----------------------------------------------------------------------------------------------------


def child_main(
    config: EngineConfig, parts: Parts, path: Path, settings: RunnerSettings, connection: socket.socket
) -> None:
    """Serve one model over `connection` until it is closed.  The parent decides when to end, not the terminal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    configure()
    engine = CorralEngine(config, lambda: parts)
    asyncio.run(_Child(connection).run(engine, path, msgspec.structs.replace(settings, isolation="thread")))
    os._exit(0)  # threads of native code have nothing left to say


class _Child:
    """The child's end of the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._credits: dict[int, asyncio.Semaphore] = {}
        self._told = RunnerStats()

    async def run(self, engine: CorralEngine, path: Path, settings: RunnerSettings) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._connection)
        first = asyncio.create_task(m.receive(reader))
        try:
            weights = open_weights(path, engine.parts().loaders)
            opening = asyncio.create_task(engine.open(weights, settings))
            await asyncio.wait([opening, first], return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():  # nothing is asked of a model that is not open: the parent has gone
                opening.cancel()
                await settled(opening)
                return
            self._runner = opening.result()
        except CorralError as err:
            m.send(self._writer, [m.failed(0, err)])
            await self._writer.drain()
            return
        self._tell_stats(first=True)
        watching = asyncio.create_task(self._watch())
        frame = await first
        while frame is not None:
            message = m.from_parent.decode(frame)
            if isinstance(message, m.Close):
                break
            self._handle(message)
            frame = await m.receive(reader)
        await self._runner.close()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        watching.cancel()
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
            self._writer.close()
            await self._writer.wait_closed()

    def _handle(self, message: m.FromParent) -> None:
        match message:
            case m.Submit(id=request, job=job):
                self._credits[request] = asyncio.Semaphore(WINDOW)
                self._start(request, self._generate(request, job))
            case m.Embed(id=request, job=job):
                self._start(request, self._embed(request, job))
            case m.Cancel(id=request) if request in self._tasks:
                self._tasks[request].cancel()
            case m.Credit(id=request) if request in self._credits:
                self._credits[request].release()

    def _start(self, request: int, work: Coroutine[None, None, None]) -> None:
        task = self._tasks[request] = asyncio.create_task(work)

        def forget(_: object) -> None:
            self._tasks.pop(request, None)
            self._credits.pop(request, None)

        task.add_done_callback(forget)

    async def _generate(self, request: int, job: Job) -> None:
        credit = self._credits[request]
        try:
            async with contextlib.aclosing(self._runner.submit(job)) as events:
                async for event in events:
                    await credit.acquire()
                    m.send(self._writer, [m.told(request, event)])
        except CorralError as err:
            m.send(self._writer, [m.failed(request, err)])

    async def _embed(self, request: int, job: EmbedJob) -> None:
        try:
            vectors = await self._runner.embed(job)
        except CorralError as err:
            m.send(self._writer, [m.failed(request, err)])
        else:
            m.send(self._writer, [m.Vectors(id=request, vectors=vectors)])

    def _tell_stats(self, *, first: bool = False) -> None:
        stats = self._runner.stats()
        if first or stats != self._told:
            self._told = stats
            m.send(self._writer, [m.Stats(stats=stats)])

    async def _watch(self) -> None:
        """Tell the parent about changes; end the process when the runner has died."""
        while True:
            await asyncio.sleep(0.02)
            self._tell_stats()
            if not self._runner.alive:
                os._exit(1)
