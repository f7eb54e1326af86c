"""A model on its own thread: jobs come in from the event loop, events go back through one bounded queue a job."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor

from corral import CorralError, DoneEvent, EmbedJob, Event, Job, RunnerDied, RunnerStats
from corral.log import get_logger
from corral_engine.embedding import EmbedTask, Vector
from corral_engine.model import Model
from corral_engine.scheduler import Scheduler
from corral_engine.sequence import Sequence

Item = Event | CorralError

MAILBOX_SIZE = 64  # events a reader may be behind before its sequence pauses
_LOOK_AGAIN_S = 1.0
_MAX_COMPILING = 2  # constraints at once
_DIED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check the server's log for details"
)


class Mailbox:
    """Events of one job on their way from the runner's thread to the loop's reader."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self.loop, self._wake = loop, wake
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._n_put = self._n_taken = 0
        self.unsent: list[Item] = []
        self.ended = False
        self.abandoned = False  # nobody reads it any more

    @property
    def is_full(self) -> bool:
        return self._n_put - self._n_taken >= MAILBOX_SIZE

    def put(self, item: Item) -> None:
        """On the runner's thread: kept until the end of the step."""
        self._n_put += 1
        self.unsent.append(item)
        self.ended = isinstance(item, DoneEvent | CorralError)

    def receive(self, items: list[Item]) -> None:
        """On the loop: let the reader have them."""
        for item in items:
            self._queue.put_nowait(item)

    async def get(self) -> Item:
        item = await self._queue.get()
        was_full = self.is_full
        self._n_taken += 1
        if was_full:
            self._wake()
        return item


def flush(mailboxes: set[Mailbox]) -> None:
    """On the runner's thread: hand everything over, one call a loop; forget mailboxes that need nothing more."""
    mailboxes.difference_update([mailbox for mailbox in mailboxes if mailbox.abandoned])
    letters: dict[asyncio.AbstractEventLoop, list[tuple[Mailbox, list[Item]]]] = {}
    for mailbox in [mailbox for mailbox in mailboxes if mailbox.unsent]:
        letters.setdefault(mailbox.loop, []).append((mailbox, mailbox.unsent))
        mailbox.unsent = []
        if mailbox.ended:
            mailboxes.discard(mailbox)
    for loop, batch in letters.items():
        with contextlib.suppress(RuntimeError):  # a closed loop has no reader left
            loop.call_soon_threadsafe(_deliver, batch)


def _deliver(batch: list[tuple[Mailbox, list[Item]]]) -> None:
    for mailbox, items in batch:
        mailbox.receive(items)


class ThreadRunner:
    """`corral.Runner` in this process."""

    def __init__(self, model: Model, scheduler: Scheduler) -> None:
        self.model, self.scheduler = model, scheduler
        self._condition = threading.Condition()
        self._inbox: deque[Sequence | EmbedTask] = deque()
        self._mailboxes: set[Mailbox] = set()  # of the jobs the scheduler knows; the runner's thread only
        self._wanted = False
        self._closing = False
        self._dead: str | None = None
        # Compiling may be slow: it must not take the threads that all other requests need.
        self._compiling = ThreadPoolExecutor(_MAX_COMPILING, thread_name_prefix=f"constraints {model.name}")
        self._thread = threading.Thread(target=self._run, name=f"runner {model.name}", daemon=True)
        self._thread.start()

    # --- on the event loop ----------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self._dead is None and not self._closing

    async def submit(self, job: Job) -> AsyncGenerator[Event, None]:
        """See `corral.Runner`.  Raises Busy, BadRequest, ContextOverflow, Unsupported, RunnerDied."""
        self._require_alive()
        self.scheduler.check_queue(len(self._inbox))
        loop = asyncio.get_running_loop()
        mailbox = Mailbox(loop, self._wake)
        threads = None if job.constraint is None else self._compiling
        sequence = await loop.run_in_executor(threads, self.model.sequence, job, mailbox)
        self._enqueue(sequence)
        try:
            while True:
                item = await mailbox.get()
                if isinstance(item, CorralError):
                    raise item
                yield item
                if isinstance(item, DoneEvent):
                    return
        finally:
            sequence.cancelled = mailbox.abandoned = True
            self._wake()

    async def embed(self, job: EmbedJob) -> tuple[Vector, ...]:
        """One vector an input.  Raises Busy, BadRequest, ContextOverflow, Unsupported, RunnerDied."""
        self._require_alive()
        self.scheduler.check_queue(len(self._inbox))
        if not job.inputs:
            return ()
        loop = asyncio.get_running_loop()
        adapters = await loop.run_in_executor(None, self.model.check_embed, job)
        future: asyncio.Future[tuple[Vector, ...]] = loop.create_future()

        def settle(result: tuple[Vector, ...] | CorralError) -> None:
            if future.done():
                return
            if isinstance(result, CorralError):
                future.set_exception(result)
            else:
                future.set_result(result)

        def done(result: tuple[Vector, ...] | CorralError) -> None:
            loop.call_soon_threadsafe(settle, result)

        task = EmbedTask(job.inputs, done, adapters, job.client)
        self._enqueue(task)
        try:
            return await future
        finally:
            task.cancelled = True
            self._wake()

    def stats(self) -> RunnerStats:
        scheduler, pools = self.scheduler, [self.model.pool, *([self.model.draft.pool] if self.model.draft else [])]
        return RunnerStats(
            weights_bytes=self.model.weights_bytes,
            kv_bytes=sum(pool.n_touched * pool.storage.page_bytes for pool in pools),
            kv_tokens=self.model.n_kv_tokens,
            kv_tokens_used=scheduler.n_used_tokens,
            active=len(scheduler.active) + len(self.model.embedder.tasks),
            queued=len(scheduler.waiting) + len(self._inbox),
            totals=scheduler.totals,
        )

    async def close(self) -> None:
        """End every generation with "shutdown", stop the thread, give the memory back."""
        self._closing = True
        self._wake()
        self._compiling.shutdown(wait=False)  # what is being compiled finds that nobody runs it
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _require_alive(self) -> None:
        if not self.alive:
            raise RunnerDied(self._dead or "the model is being unloaded; try again")

    def _enqueue(self, item: Sequence | EmbedTask) -> None:
        with self._condition:
            self._require_alive()
            self.scheduler.check_queue(len(self._inbox))
            self._inbox.append(item)
            self._wanted = True
            self._condition.notify()

    def _wake(self) -> None:
        with self._condition:
            self._wanted = True
            self._condition.notify()

    # --- on the runner's thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        """Steps until closed.  Whatever goes wrong here ends this runner and its own requests, nothing else."""
        try:
            while not self._closing:
                self._take_inbox()
                worked = self.scheduler.step()
                flush(self._mailboxes)
                if not worked:
                    self._wait()
        except Exception as err:  # the runner thread: any fault must reach the requests that wait for it
            get_logger("engine").exception("runner.died", model=self.model.name)
            with self._condition:  # nobody may enqueue after this
                self._dead = f"{_DIED} ({type(err).__name__})"
        self._end()

    def _take_inbox(self) -> None:
        while self._inbox:
            item = self._inbox.popleft()
            self.scheduler.submit(item)
            if isinstance(item, Sequence) and isinstance(item.outbox, Mailbox):
                self._mailboxes.add(item.outbox)

    def _wait(self) -> None:
        with self._condition:
            paused = bool(self.scheduler.active)  # somebody does not read: look again now and then
            self._condition.wait_for(lambda: self._wanted, timeout=_LOOK_AGAIN_S if paused else None)
            self._wanted = False

    def _end(self) -> None:
        self._take_inbox()
        if self._dead is not None:
            self.scheduler.fail_all(RunnerDied(self._dead))
        else:
            self.scheduler.end_all("shutdown")
        flush(self._mailboxes)
        self.model.close()
