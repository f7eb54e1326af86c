"""Blocking work on a thread, told as a stream of statuses and stopped when nobody listens any more."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

from corral import CorralError, Progress

T = TypeVar("T")
Tell = Callable[[Progress], None]
ShouldStop = Callable[[], bool]
_PERIOD_S = 0.06  # statuses are told this far apart; the last one always


class Stopped(CorralError):
    """Raised inside the work when `should_stop` answered yes; nobody waits for its result."""


class Work(Generic[T]):
    """Run `function(tell, should_stop)`: iterate `steps()` to its end, then read `result`."""

    result: T

    def __init__(self, function: Callable[[Tell, ShouldStop], T]) -> None:
        self._function = function
        self._latest: Progress | None = None
        self._stop = threading.Event()

    async def steps(self) -> AsyncGenerator[Progress, None]:
        """The newest status, a few times a second.  Raises what the work raises; closed, it ends the work first."""
        task = asyncio.ensure_future(asyncio.to_thread(self._function, self._tell, self._stop.is_set))
        try:
            running = True
            while running:
                running = bool((await asyncio.wait([task], timeout=_PERIOD_S))[1])
                latest, self._latest = self._latest, None
                if latest is not None:
                    yield latest
            self.result = task.result()
        finally:
            self._stop.set()
            await asyncio.gather(task, return_exceptions=True)

    def _tell(self, progress: Progress) -> None:
        self._latest = progress
