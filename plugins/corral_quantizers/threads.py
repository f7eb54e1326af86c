"""Work on chunks of weights, spread over a few threads: the kernels run without the interpreter lock."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
CHUNK_WEIGHTS = 1 << 18  # a megabyte of float32, kept in a core's cache; every block size divides it


def available_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def thread_pool(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for one task; on leaving, what has not begun is dropped."""
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="quantize")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(work: Callable[[int, int], T], n_weights: int, pool: ThreadPoolExecutor, n_threads: int) -> Iterator[T]:
    """The results of `work(start, stop)` for consecutive chunks of `n_weights` weights, a few chunks ahead of use."""
    pending: deque[Future[T]] = deque()
    for start in range(0, n_weights, CHUNK_WEIGHTS):
        pending.append(pool.submit(work, start, min(start + CHUNK_WEIGHTS, n_weights)))
        if len(pending) > 2 * n_threads:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def over_chunks(work: Callable[[int, int], None], n_weights: int, n_threads: int) -> None:
    """Call `work(start, stop)` for consecutive chunks of `n_weights` weights; the first error is raised."""
    if n_threads == 1 or n_weights <= CHUNK_WEIGHTS:
        for start in range(0, n_weights, CHUNK_WEIGHTS):
            work(start, min(start + CHUNK_WEIGHTS, n_weights))
        return
    with thread_pool(n_threads) as pool:
        for _ in in_order(work, n_weights, pool, n_threads):
            pass
