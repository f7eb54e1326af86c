"""What Ctrl+C means while a command runs: end this answer, not the program."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager


@contextmanager
def on_signal(callback: Callable[[], None], *signals: signal.Signals) -> Iterator[None]:
    """Call `callback` for each of `signals` while the block runs, as a signal handler.  Main thread only."""
    before = {number: signal.signal(number, lambda *_: callback()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def unless_interrupted(work: Coroutine[object, object, None]) -> bool:
    """Do `work`; Ctrl+C cancels it.  Whether it came to its end.  Raises what `work` raises."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    interrupted = False

    def stop() -> None:
        nonlocal interrupted
        interrupted = True
        loop.call_soon_threadsafe(task.cancel)

    with on_signal(stop, signal.SIGINT):
        try:
            await task
        except asyncio.CancelledError:
            if not interrupted:
                task.cancel()
                raise
    return not interrupted
