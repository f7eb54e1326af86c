"""Embedding runs: inputs of all requests packed into one batch a step, their hidden states pooled as the model says.

An encoder's input is evaluated whole.  A causal model's is evaluated in pieces, like a prompt, so that the streams
beside it go on.  Pages are scratch: an input has all it needs, or waits until there are as many.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corral import CorralError, OutOfMemory
from corral_engine.batching import NO_ADAPTERS, Feed, make_batch
from corral_engine.fairness import Ledger
from corral_engine.hyperparameters import Pooling
from corral_engine.kv_cache import PagePool, SequenceCache
from corral_engine.program import PAGE_SIZE, AdapterSet, Executor, Float32
from corral_engine.rank import RankHead

Vector = tuple[float, ...]

_LEAST_ROWS = 32


class Pooled:
    """The hidden states of one input, as they come, on their way to one vector that is not normalised."""

    def __init__(self, pooling: Pooling) -> None:
        self._pooling, self._n_rows = pooling, 0
        self._kept: NDArray[np.float64] | Float32 | None = None

    def add(self, states: Float32) -> None:
        """The next rows (T, E).  However they are cut into pieces, a mean adds them up one by one."""
        self._n_rows += len(states)
        if self._pooling == "mean":
            rows = states.astype(np.float64)
            self._kept = np.add.reduce(rows if self._kept is None else np.vstack([self._kept, rows]), axis=0)
        elif self._pooling not in ("cls", "rank"):
            self._kept = states[-1].copy()
        elif self._kept is None:
            self._kept = states[0].copy()

    def vector(self) -> Float32:
        """Of all rows that were added, at least one."""
        assert self._kept is not None
        return (self._kept / self._n_rows if self._pooling == "mean" else self._kept).astype(np.float32)


@dataclass(slots=True)
class _Input:
    """One input on its way: the first `n_done` tokens are evaluated."""

    index: int
    tokens: tuple[int, ...]
    cache: SequenceCache
    pooled: Pooled
    n_done: int = 0


class EmbedTask:
    """The inputs of one request; `done` is called with the vectors or an error, on the runner's thread."""

    def __init__(
        self,
        inputs: Sequence[tuple[int, ...]],
        done: Callable[["tuple[Vector, ...] | CorralError"], None],
        adapters: AdapterSet = NO_ADAPTERS,
        client: str = "",
    ) -> None:
        self.done, self.adapters, self.client = done, adapters, client
        self.vectors: list[Vector] = [()] * len(inputs)
        self.unopened = deque(enumerate(inputs))
        self.opened: deque[_Input] = deque()  # those that hold pages
        self.n_rows = 0  # evaluated so far
        self.arrived_ns = time.perf_counter_ns()
        self.cancelled = False

    def close(self) -> None:
        """Give all pages back."""
        for each in self.opened:
            each.cache.close((), 0)
        self.opened.clear()


@dataclass(frozen=True, slots=True)
class _Piece:
    """Tokens `start … end - 1` of an input: its part of a step."""

    task: EmbedTask
    input: _Input
    start: int
    end: int


class Embedder:
    """All embedding requests of one model.  Called on the runner's thread only."""

    def __init__(
        self,
        executor: Executor,
        pool: PagePool,
        pooling: Pooling,
        max_rows: int,
        *,
        causal: bool,
        head: RankHead | None = None,
    ) -> None:
        """`head` is a reranker's: with it a vector is the scores of the model's labels."""
        self.executor, self.pool, self.pooling, self.causal, self.head = executor, pool, pooling, causal, head
        self.tasks: list[EmbedTask] = []
        self.starved_ns: int | None = None  # when the request arrived whose next input found too few pages
        self._max_rows = max_rows

    def submit(self, task: EmbedTask) -> None:
        self.tasks.append(task)

    def drop_cancelled(self) -> bool:
        """Whether anybody left."""
        gone = [task for task in self.tasks if task.cancelled]
        for task in gone:
            self._forget(task)
        return bool(gone)

    def fail_all(self, error: CorralError) -> None:
        for task in list(self.tasks):
            self._fail(task, error)

    def step(self, max_rows: int, ledger: Ledger, before_ns: int | None = None) -> int:
        """Evaluate about `max_rows` tokens; how many.  0 when nothing can be done until somebody gives pages back.

        With `before_ns` only requests that arrived before it may take pages: somebody else waits for them.
        """
        pieces = self._pieces(min(max_rows, self._max_rows), ledger, before_ns)
        if not pieces:
            return 0
        feeds = [
            Feed(p.input.tokens[p.start : p.end], p.start, p.input.cache.pages, p.end - p.start, p.task.adapters)
            for p in pieces
        ]
        try:
            states = self.executor.run(make_batch(feeds), hidden=True)
        except MemoryError:
            self._give_in(pieces)
            return 1
        row = 0
        for piece, feed in zip(pieces, feeds, strict=True):
            self._take_in(piece, states[row : row + feed.n_outputs])
            row += feed.n_outputs
        return row

    # --- what comes next ------------------------------------------------------------------------------------------

    def _pieces(self, max_rows: int, ledger: Ledger, before_ns: int | None) -> list[_Piece]:
        """What has pages goes on; then it is the turn of the client, and of its request, that was served least."""
        pieces: list[_Piece] = []
        room = max_rows

        def take(task: EmbedTask, each: _Input) -> None:
            nonlocal room
            size = self._fitting(len(each.tokens) - each.n_done, room, first=not pieces)
            if size:
                pieces.append(_Piece(task, each, each.n_done, each.n_done + size))
                room, task.n_rows = room - size, task.n_rows + size
                ledger.charge(task.client, size)

        for task in sorted(self.tasks, key=lambda task: (not task.opened, ledger.served(task.client), task.n_rows)):
            for each in task.opened:
                take(task, each)
            while task.unopened and self._may_open(task, before_ns):
                if not self._fitting(len(task.unopened[0][1]), room, first=not pieces):
                    break
                if (opened := self._open(task)) is None:
                    break
                take(task, opened)
        return pieces

    def _fitting(self, n_tokens: int, room: int, *, first: bool) -> int:
        """How many tokens of an input fit into what is left of a step; an encoder's first input always does."""
        if self.causal:
            return min(n_tokens, room)
        return n_tokens if first or n_tokens <= room else 0

    def _may_open(self, task: EmbedTask, before_ns: int | None) -> bool:
        """Whether nobody who came earlier waits for pages."""
        return (before_ns is None or task.arrived_ns < before_ns) and (
            self.starved_ns is None or task.arrived_ns <= self.starved_ns
        )

    def _open(self, task: EmbedTask) -> _Input | None:
        """The next input, with pages for all of it; None when there are too few."""
        index, tokens = task.unopened[0]
        n_pages = -(-len(tokens) // PAGE_SIZE)
        if n_pages > self.pool.n_free and n_pages > self.pool.n_available():  # asking evicts nothing
            self.starved_ns = task.arrived_ns
            return None
        if task.arrived_ns == self.starved_ns:
            self.starved_ns = None
        cache = SequenceCache(self.pool, ("embed", id(task)))
        cache.reserve(len(tokens))
        task.unopened.popleft()
        task.opened.append(_Input(index, tokens, cache, Pooled(self.pooling if self.head is None else "rank")))
        return task.opened[-1]

    def give_way(self, arrived_ns: int) -> bool:
        """The newest request that came after `arrived_ns` gives back the pages of an input, to evaluate it anew later.

        False when there is none.
        """
        newest = max((task for task in self.tasks if task.opened), key=lambda task: task.arrived_ns, default=None)
        if newest is None or newest.arrived_ns < arrived_ns:
            return False
        each = newest.opened.pop()
        each.cache.close((), 0)
        newest.unopened.appendleft((each.index, each.tokens))
        return True

    # --- what came of it ------------------------------------------------------------------------------------------

    def _take_in(self, piece: _Piece, states: Float32) -> None:
        task, each = piece.task, piece.input
        each.pooled.add(states)
        each.n_done = piece.end
        if each.n_done < len(each.tokens):
            return
        each.cache.close((), 0)
        task.opened.remove(each)
        vector = each.pooled.vector()
        task.vectors[each.index] = tuple((vector if self.head is None else self.head(vector)).tolist())
        if not task.opened and not task.unopened:
            self.tasks.remove(task)
            task.done(tuple(task.vectors))

    def _give_in(self, pieces: list[_Piece]) -> None:
        """There was no memory for a step: make steps smaller, at last do without the newest of its requests."""
        n_rows = sum(piece.end - piece.start for piece in pieces)
        if n_rows > _LEAST_ROWS and (len(pieces) > 1 or self.causal):
            self._max_rows = max(_LEAST_ROWS, n_rows // 2)
            return
        newest = max((piece.task for piece in pieces), key=lambda task: task.arrived_ns)
        self._fail(newest, OutOfMemory("no memory to embed so many tokens at once: send fewer or shorter inputs"))

    def _fail(self, task: EmbedTask, error: CorralError) -> None:
        self._forget(task)
        task.done(error)

    def _forget(self, task: EmbedTask) -> None:
        task.close()
        self.tasks.remove(task)
        if task.arrived_ns == self.starved_ns:
            self.starved_ns = None
