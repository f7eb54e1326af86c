"""The compiled loop every thread of a team runs: claim chunks of the current op until none is left, then the next op.

A chunk is claimed by compare-and-swap on a word that carries the number of the step, so nothing has to be reset between
steps and a thread that slept through the end of a step can never touch the next one.  A thread waits only for chunks
that others have claimed and not finished; one that holds no chunk is never waited for.
"""

from corral_engine.native.machine import (
    atomic_add,
    atomic_load,
    atomic_store,
    call_kernel,
    call_plain,
    compare_and_swap,
    fence,
    pause,
)
from corral_engine.native.optable import COUNTER_BYTES, DONE_BYTES, ENV_COLUMNS, OP_BYTES, Env, Op
from corral_engine.native.simd import inline, load_i64, store_i64

SPINS = 400
"""Rounds of pausing (about ten microseconds) before a waiting thread offers its core to others."""

_EPOCH_SHIFT = 24
_COUNT_MASK = (1 << _EPOCH_SHIFT) - 1

_KERNEL, _KERNEL_ONE = 8 * Op.KERNEL, 8 * Op.KERNEL_ONE
_ROWS_FROM, _ROWS, _TILE, _OUTER = 8 * Op.ROWS_FROM, 8 * Op.ROWS, 8 * Op.TILE, 8 * Op.OUTER
_GRAIN, _GRAIN_ONE = 8 * Op.GRAIN, 8 * Op.GRAIN_ONE
_FOLLOWERS, _AWAIT = 8 * Op.FOLLOWERS, 8 * Op.AWAIT
_EPOCH, _N_OPS, _YIELD = 8 * Env.EPOCH, 8 * Env.N_OPS, 8 * Env.YIELD


def begin(prepared: int, env: int, counters: int) -> None:
    """Open a step: publish its number, then its environment.  Run by the thread that asked for the step."""
    atomic_store(env + _EPOCH, load_i64(prepared + _EPOCH))
    fence()
    for column in range(1, ENV_COLUMNS):
        store_i64(env + 8 * column, load_i64(prepared + 8 * column))
    for i in range(load_i64(env + _N_OPS)):
        atomic_store(counters + i * COUNTER_BYTES + DONE_BYTES, 0)


@inline
def _rows(op, env):  # type: ignore[no-untyped-def]
    column = load_i64(op + _ROWS_FROM)
    return load_i64(env + 8 * column) if column else load_i64(op + _ROWS)


@inline
def _wait(op, env, counter, epoch):  # type: ignore[no-untyped-def]
    """Until every chunk of an op is done; False when the step is over."""
    rows = _rows(op, env)
    units = load_i64(op + _OUTER) * ((rows + load_i64(op + _TILE) - 1) // load_i64(op + _TILE))
    grain = load_i64(op + _GRAIN_ONE) if rows == 1 else load_i64(op + _GRAIN)
    chunks = (units + grain - 1) // grain
    spins = 0
    while atomic_load(counter + DONE_BYTES) < chunks:
        if atomic_load(env + _EPOCH) != epoch:
            return False
        pause()
        spins += 1
        if spins > SPINS and load_i64(env + _YIELD) != 0:
            call_plain(load_i64(env + _YIELD))
    return True


def run(table: int, env: int, counters: int, first: int, last: int, epoch: int, scratch: int) -> None:
    """Take part in ops `first … last - 1` of step `epoch`."""
    i = first
    while i < last:
        op, counter = table + i * OP_BYTES, counters + i * COUNTER_BYTES
        rows = _rows(op, env)
        units = load_i64(op + _OUTER) * ((rows + load_i64(op + _TILE) - 1) // load_i64(op + _TILE))
        kernel, grain = load_i64(op + _KERNEL), load_i64(op + _GRAIN)
        if rows == 1:
            kernel, grain = load_i64(op + _KERNEL_ONE), load_i64(op + _GRAIN_ONE)
        chunks = (units + grain - 1) // grain
        followers = load_i64(op + _FOLLOWERS)
        while chunks > 0:
            seen = atomic_load(counter)
            index, desired = 0, (epoch << _EPOCH_SHIFT) + 1
            if seen >> _EPOCH_SHIFT == epoch:
                index, desired = seen & _COUNT_MASK, seen + 1
            elif seen >> _EPOCH_SHIFT > epoch:
                return
            if index >= chunks:
                break
            if not compare_and_swap(counter, seen, desired):
                continue
            if atomic_load(env + _EPOCH) != epoch:
                return
            start, end = index * grain, min((index + 1) * grain, units)
            call_kernel(kernel, op, env, rows, start, end, scratch)
            for follower in range(1, followers + 1):
                other = op + follower * OP_BYTES
                call_kernel(load_i64(other + _KERNEL), other, env, rows, start, end, scratch)
            atomic_add(counter + DONE_BYTES, 1)
        for back in range(load_i64(op + _AWAIT)):
            if not _wait(op - back * OP_BYTES, env, counter - back * COUNTER_BYTES, epoch):
                return
        i += 1 + followers


def build(what: str):  # type: ignore[no-untyped-def]
    """The function called "begin" or "run"."""
    return {"begin": begin, "run": run}[what]
