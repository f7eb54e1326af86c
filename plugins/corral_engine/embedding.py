"""Embedding runs: many inputs packed into one batch, their hidden states pooled as the model says."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from corral import Busy, CorralError
from corral_engine.batching import NO_ADAPTERS, Feed, make_batch
from corral_engine.hyperparameters import Pooling
from corral_engine.kv_cache import PagePool, SequenceCache
from corral_engine.program import PAGE_SIZE, AdapterSet, Executor
from corral_engine.rank import RankHead

Vector = tuple[float, ...]


class EmbedTask:
    """The inputs of one request; `done` is called with the vectors or an error, on the runner's thread."""

    def __init__(
        self,
        inputs: Sequence[tuple[int, ...]],
        done: Callable[["tuple[Vector, ...] | CorralError"], None],
        adapters: AdapterSet = NO_ADAPTERS,
    ) -> None:
        self.inputs, self.done, self.adapters = inputs, done, adapters
        self.vectors: list[Vector] = []
        self.cancelled = False


class Embedder:
    """Runs embed tasks, one packed batch at a time.  Each input is evaluated whole: its pages are only scratch."""

    def __init__(
        self, executor: Executor, pool: PagePool, pooling: Pooling, max_rows: int, head: RankHead | None = None
    ) -> None:
        """`head` is a reranker's: with it a vector is the scores of the model's labels."""
        self.executor, self.pool, self.pooling, self.max_rows, self.head = executor, pool, pooling, max_rows, head

    def step(self, task: EmbedTask) -> bool:
        """Embed the next inputs of `task`.  True when the task is finished, one way or the other."""
        if task.cancelled:
            return True
        caches: list[SequenceCache] = []
        feeds: list[Feed] = []
        n_rows = 0
        try:
            for tokens in task.inputs[len(task.vectors) :]:
                if feeds and n_rows + len(tokens) > self.max_rows:
                    break
                cache = SequenceCache(self.pool, ("embed", id(task)))
                caches.append(cache)
                if not cache.reserve(len(tokens)):
                    break
                feeds.append(Feed(tokens, 0, cache.pages, len(tokens), task.adapters))
                n_rows += len(tokens)
            if not feeds:
                task.done(Busy(_no_room(len(task.inputs[len(task.vectors)]), self.pool)))
                return True
            states = self.executor.run(make_batch(feeds), hidden=True)
        finally:
            for cache in caches:
                cache.close((), 0)
        start = 0
        for feed in feeds:
            own = states[start : start + feed.n_outputs]
            task.vectors.append(pool_states(own, self.pooling) if self.head is None else _plain(self.head(own[0])))
            start += feed.n_outputs
        if len(task.vectors) < len(task.inputs):
            return False
        task.done(tuple(task.vectors))
        return True


def _no_room(n_tokens: int, pool: PagePool) -> str:
    return (
        f"an input of {n_tokens} tokens does not fit beside the running requests: the KV cache has room for "
        f"{pool.n_pages * PAGE_SIZE} tokens in all; try again or raise its budget"
    )


def pool_states(states: NDArray[np.float32], pooling: Pooling) -> Vector:
    """Hidden states (T, E) of one input → its vector, not normalised."""
    if pooling == "mean":
        vector = states.mean(axis=0, dtype=np.float64).astype(np.float32)
    elif pooling == "cls":
        vector = states[0]
    else:
        vector = states[-1]
    return _plain(vector)


def _plain(vector: NDArray[np.float32]) -> Vector:
    result: Vector = tuple(vector.tolist())
    return result
