"""A team of threads that run an op table together.

The calling thread always works; the others sleep on a lock between steps and run compiled code without the interpreter
lock.  Nobody waits for a thread that was late to wake up: it finds the work done and goes back to sleep.  The team
watches how long steps take and leaves the others asleep while that is faster, as it is when another process keeps a
core busy.
"""

import ctypes
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corral_engine.native.optable import CACHE_LINE_BYTES, COUNTER_BYTES, ENV_COLUMNS, OP_COLUMNS, Env

Int64 = NDArray[np.int64]


def default_threads() -> int:
    """Physical cores this process may use, within its control group's quota."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_core_of(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota()))


def _core_of(cpu: int) -> str:
    """The set of hardware threads that share a core with `cpu`, as the kernel writes it."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)


def _quota() -> int:
    """Whole cores that the control group allows; many when it sets no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return 1 << 16


def aligned(n_bytes: int) -> NDArray[np.uint8]:
    """Zeroed memory that starts on a cache line."""
    raw = np.zeros(n_bytes + CACHE_LINE_BYTES, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE_BYTES
    return raw[start : start + n_bytes]


class Table:
    """An op table with its counters.  `rows` int64 (N, OP_COLUMNS)."""

    def __init__(self, rows: Int64, scratch_bytes: int) -> None:
        self.rows = aligned(rows.nbytes).view(np.int64).reshape(-1, OP_COLUMNS)
        self.rows[:] = rows
        self.scratch_bytes = scratch_bytes
        self.counters = aligned(len(rows) * COUNTER_BYTES)


class Team:
    """`n_threads` threads, the caller among them.  `begin` and `run` are the interpreter's two functions."""

    def __init__(self, n_threads: int, begin: Callable[..., None], run: Callable[..., None]) -> None:
        self.n_threads = max(1, n_threads)
        self._begin, self._run = begin, run
        self._epoch = 0
        self._prepared: Int64 = np.zeros(ENV_COLUMNS, np.int64)
        self._prepared[Env.YIELD] = _yield_address()
        self._env = aligned(ENV_COLUMNS * 8).view(np.int64)
        self._work: Work | None = None
        self._scratch = [aligned(CACHE_LINE_BYTES) for _ in range(self.n_threads)]
        self._stopped = False
        self._paces: dict[int, Pace] = {}
        self._sleep = [threading.Lock() for _ in range(1, self.n_threads)]
        self._threads = [
            threading.Thread(target=self._member, args=(i,), name=f"corral-compute-{i}", daemon=True)
            for i in range(1, self.n_threads)
        ]
        for lock, thread in zip(self._sleep, self._threads, strict=True):
            lock.acquire()
            thread.start()

    def set(self, column: Env, value: int) -> None:
        """Set a column of the next step's environment."""
        self._prepared[column] = value

    def run(self, table: Table, n_ops: int, kind: int = 0) -> None:
        """Run the first `n_ops` ops of a table with the environment that was set.

        `kind` > 0 groups steps that cost about the same, so that their times can be compared.
        """
        if n_ops == 0:
            return
        self._epoch += 1
        self._prepared[Env.EPOCH], self._prepared[Env.N_OPS] = self._epoch, n_ops
        pace = self._paces.setdefault(kind, Pace()) if kind and self.n_threads > 1 else None
        alone = self.n_threads == 1 or (pace is not None and pace.choose_one())
        started = time.perf_counter_ns()
        self._begin(self._prepared.ctypes.data, self._env.ctypes.data, table.counters.ctypes.data)
        self._work = work = Work(table, n_ops, self._epoch)
        if not alone:
            self._wake()
        self._take_part(0, work)
        if pace is not None:
            pace.note(time.perf_counter_ns() - started, one=alone)

    def _wake(self) -> None:
        for lock in self._sleep:
            if lock.locked():
                lock.release()

    def _take_part(self, member: int, work: "Work") -> None:
        table = work.table
        if len(self._scratch[member]) < table.scratch_bytes:
            self._scratch[member] = aligned(table.scratch_bytes)
        self._run(
            table.rows.ctypes.data,
            self._env.ctypes.data,
            table.counters.ctypes.data,
            0,
            work.n_ops,
            work.epoch,
            self._scratch[member].ctypes.data,
        )

    def _member(self, index: int) -> None:
        while True:
            self._sleep[index - 1].acquire()
            if self._stopped:
                return
            work = self._work  # perhaps of a step that is over: its number tells
            if work is not None:
                self._take_part(index, work)

    def close(self) -> None:
        """End the threads; waits for a late one to finish."""
        self._stopped = True
        self._wake()
        for thread in self._threads:
            thread.join()
        self._work = None


@dataclass(frozen=True, slots=True)
class Work:
    """What the members of a team are to run."""

    table: Table
    n_ops: int
    epoch: int


def _yield_address() -> int:
    """The address of the C library's sched_yield, 0 where there is none."""
    try:
        function = ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError, TypeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


_SMOOTHING = 0.25  # weight of the newest step in a running mean
_MARGIN = 0.97  # one thread must be this much faster to be preferred
_PROBE_STEPS = 64  # steps between looks at the other choice while all is well
_SUSPICIOUS_STEPS = 8  # the same when steps have become slow
_SUSPICION = 1.3


class Pace:
    """Decides from measured times whether the whole team or one thread alone is faster for one kind of step."""

    def __init__(self) -> None:
        self._mean = {False: 0.0, True: 0.0}  # by "one thread", in ns; 0 is unknown
        self._best = float("inf")  # of the team
        self._since_probe = 0
        self._patience = _SUSPICIOUS_STEPS

    def choose_one(self) -> bool:
        """Whether the next step should be run by one thread."""
        team, one = self._mean[False], self._mean[True]
        if not team:
            return False
        prefers_one = 0 < one < team * _MARGIN
        self._since_probe += 1
        if self._since_probe >= self._wait(prefers_one, team):
            self._since_probe = 0
            if prefers_one:
                self._patience = min(2 * self._patience, 2 * _PROBE_STEPS)
            return not prefers_one
        return prefers_one

    def _wait(self, prefers_one: bool, team: float) -> int:
        if prefers_one:
            return self._patience
        self._patience = _SUSPICIOUS_STEPS
        return _SUSPICIOUS_STEPS if team > self._best * _SUSPICION else _PROBE_STEPS

    def note(self, duration_ns: int, *, one: bool) -> None:
        """A step took this long."""
        mean = self._mean[one]
        self._mean[one] = duration_ns if not mean else mean + _SMOOTHING * (duration_ns - mean)
        if not one:
            self._best = min(self._best, duration_ns)
