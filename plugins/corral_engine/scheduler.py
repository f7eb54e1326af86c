"""Continuous batching: each step runs one batch made of every live sequence's next tokens and of prompt chunks."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import numpy as np
from msgspec.structs import replace

from corral import Busy, CorralError, DoneEvent, OutOfMemory, RunnerDied, Usage
from corral.log import get_logger
from corral_engine.batching import Feed, make_batch, share_between
from corral_engine.embedding import Embedder, EmbedTask
from corral_engine.fairness import Ledger
from corral_engine.kv_cache import PagePool
from corral_engine.program import PAGE_SIZE, Executor, Float32
from corral_engine.sequence import Sequence
from corral_engine.speculation import FREE, Price, Quote

BUSY = "server busy, please try again.  maximum pending requests exceeded"
MIN_CHUNK = 32
SCORED_ROWS = 64  # rows of a prompt whose logits are kept at once: each is as long as the vocabulary
_SMOOTHING = 0.3  # weight of the latest step in the measured speed


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """Counts in tokens or sequences; a step that serves streams should not take longer than `step_s`."""

    n_parallel: int = 1
    max_queue: int = 512
    prefill_chunk: int = 512
    step_s: float = 0.25
    stall_s: float = 300.0  # a stream that nobody reads for so long is given up


@dataclass(frozen=True, slots=True)
class Plan:
    """One sequence's part of a step."""

    sequence: Sequence
    tokens: list[int]
    n_drafts: int
    n_outputs: int


class Scheduler:
    """All sequences of one model.  Called from the runner's thread only, except `check_queue`."""

    def __init__(
        self,
        executor: Executor,
        pool: PagePool,
        settings: SchedulerSettings,
        embedder: Embedder,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.executor, self.pool, self.settings, self.embedder, self._clock = executor, pool, settings, embedder, clock
        self.waiting: deque[Sequence] = deque()
        self.active: list[Sequence] = []  # oldest first
        self._no_room = False  # the first in the queue does not fit until somebody leaves
        self._blocked_ns: int | None = None  # when the first in the queue arrived, while it waits for pages
        self._rows_per_s = 0.0
        self._price = Price()
        self._ledger = Ledger()
        self.totals = Usage()  # of every sequence that finished
        self._most_rows = settings.prefill_chunk

    # --- what the runner calls ------------------------------------------------------------------------------------

    def check_queue(self, n_more: int = 0) -> None:
        """Raises Busy when a newcomer would find the queue full; `n_more` are on their way."""
        settings = self.settings
        n_present = len(self.waiting) + len(self.active) + len(self.embedder.tasks)
        if n_present + n_more >= settings.n_parallel + settings.max_queue:
            raise Busy(BUSY)

    def submit(self, item: Sequence | EmbedTask) -> None:
        if isinstance(item, EmbedTask):
            self.embedder.submit(item)
            self._ledger.arrive(item.client)
        else:
            self.waiting.append(item)
            self._ledger.arrive(item.job.client)

    @property
    def n_used_tokens(self) -> int:
        """KV tokens held by running sequences, in whole pages."""
        caches = [sequence.cache for sequence in self.active]  # read once: the runner's thread may take it away
        return len({page for cache in caches if cache is not None for page in cache.pages}) * PAGE_SIZE

    def step(self) -> bool:
        """Run one batch of each kind.  False when there is nothing to do until something is submitted or read."""
        self._drop_cancelled()
        self._admit()
        plans = self._plan()
        if plans:
            self._generate(plans)
        self._drop_finished()
        return self._embed() or bool(plans)

    def _generate(self, plans: list[Plan]) -> None:
        began = self._clock()
        try:
            logits = self._execute(plans)
        except MemoryError:
            self._give_in(plans)
            return
        self._learn_speed(plans, self._clock() - began)
        self._deliver(plans, logits)

    def _embed(self) -> bool:
        """Texts to embed, of those who came before the first that waits for room."""
        if not self.embedder.tasks:
            return False
        n_tasks, began = len(self.embedder.tasks), self._clock()
        n_rows = self.embedder.step(self._chunk(bool(self.active)), self._ledger, self._blocked_ns)
        self._learn_rate(n_rows, self._clock() - began)
        if len(self.embedder.tasks) < n_tasks:
            self._somebody_left()
        self._no_room &= not n_rows  # pages may have been given back
        return n_rows > 0

    def end_all(self, reason: str) -> None:
        """Finish everything that is queued or running."""
        self.embedder.fail_all(RunnerDied("the model was unloaded"))
        for sequence in (*self.active, *self.waiting):
            sequence.finish(reason)
        self.active, self.waiting = [], deque()

    def fail_all(self, error: CorralError) -> None:
        self.embedder.fail_all(error)
        for sequence in (*self.active, *self.waiting):
            sequence.fail(error)
        self.active, self.waiting = [], deque()

    # --- who takes part -------------------------------------------------------------------------------------------

    def _drop_cancelled(self) -> None:
        if gone := [sequence for sequence in self.waiting if sequence.cancelled]:
            for sequence in gone:
                sequence.finish("cancelled")
                self._count(sequence)
            self.waiting = deque(sequence for sequence in self.waiting if not sequence.finished)
            self._somebody_left()
        if self.embedder.drop_cancelled():
            self._somebody_left()
        now = self._clock()
        for sequence in self.active:
            if sequence.cancelled:
                sequence.finish("cancelled")
            elif not sequence.outbox.is_full:
                sequence.read_at = now
            elif now - sequence.read_at > self.settings.stall_s:
                sequence.fail(CorralError(f"nobody has read this stream for {self.settings.stall_s:.0f} seconds"))
        self._drop_finished()

    def _drop_finished(self) -> None:
        if any(sequence.finished for sequence in self.active):
            for sequence in self.active:
                if sequence.finished:
                    self._count(sequence)
            self.active = [sequence for sequence in self.active if not sequence.finished]
            self._somebody_left()

    def _count(self, sequence: Sequence) -> None:
        if sequence.cost is not None:
            self.totals = _sum(self.totals, sequence.cost)

    def _somebody_left(self) -> None:
        self._no_room = False
        embedding = (task.client for task in self.embedder.tasks)
        self._ledger.keep((*embedding, *(sequence.job.client for sequence in (*self.active, *self.waiting))))

    def _next(self) -> Sequence:
        """Who gets the next slot: one that gave way before, else the oldest of the client served least."""

        def claim(sequence: Sequence) -> tuple[bool, int]:
            return not sequence.started_ns, self._ledger.served(sequence.job.client)

        return min(self.waiting, key=claim)

    def _admit(self) -> None:
        if self._no_room:
            return
        self._blocked_ns = None
        while self.waiting and len(self.active) < self.settings.n_parallel:
            sequence = self._next()
            if self.embedder.starved_ns is not None and self.embedder.starved_ns < sequence.arrived_ns:
                self._blocked_ns = sequence.arrived_ns
                return
            cache = sequence.open_cache(self.pool)
            n_pages = -(-(len(sequence.tokens) + 1) // PAGE_SIZE) - cache.n_pages
            if self.active and n_pages > self.pool.n_available():
                sequence.close_cache()
                self._no_room, self._blocked_ns = True, sequence.arrived_ns
                return
            cache.reserve(len(sequence.tokens))
            self.waiting.remove(sequence)
            self.active.append(sequence)
            self.active.sort(key=lambda s: s.arrived_ns)
            sequence.read_at = self._clock()
            sequence.start()

    def _make_room(self, sequence: Sequence, n_tokens: int) -> bool:
        """Pages for `n_tokens`, preempting the newest sequences if need be.  False: this one itself had to give way."""
        while sequence.cache is not None and not sequence.cache.reserve(n_tokens):
            if not self.embedder.give_way(self.active[-1].arrived_ns):
                self._preempt(self.active[-1])
        return sequence.cache is not None

    def _preempt(self, sequence: Sequence) -> None:
        """Take the pages of a sequence away; it waits in front of the queue and its tokens are evaluated again."""
        sequence.close_cache()
        self.active.remove(sequence)
        self.waiting.appendleft(sequence)
        self._no_room, self._blocked_ns = True, sequence.arrived_ns

    def _plan(self) -> list[Plan]:
        ready = [sequence for sequence in self.active if not sequence.outbox.is_full]
        decoding = [sequence for sequence in ready if sequence.is_decoding]
        quote = self._price.of(len(decoding)) if decoding else FREE
        plans = []
        for sequence in decoding:
            with _blame(sequence):
                if plan := self._plan_decode(sequence, quote):
                    plans.append(plan)
        prefilling = [sequence for sequence in ready if not sequence.is_decoding and sequence.cache is not None]
        shares = share_between([(s.job.client, s.n_pending) for s in prefilling], self._chunk(bool(plans)))
        for sequence, share in zip(prefilling, shares, strict=True):
            if share and (plan := self._plan_prefill(sequence, share)):
                plans.append(plan)
        return [plan for plan in plans if plan.sequence.cache is not None]  # without those preempted meanwhile

    def _plan_decode(self, sequence: Sequence, quote: Quote) -> Plan | None:
        if sequence.cache is None:
            return None
        drafts = list(sequence.drafts(quote))
        if drafts and not sequence.cache.reserve(len(sequence.tokens) + len(drafts)):
            drafts = []
        if not self._make_room(sequence, len(sequence.tokens)):
            return None
        return Plan(sequence, [sequence.tokens[-1], *drafts], len(drafts), 1 + len(drafts))

    def _plan_prefill(self, sequence: Sequence, share: int) -> Plan | None:
        scores_prompt = sequence.job.prompt_logprobs and sequence.n_generated == 0
        if scores_prompt:
            share = min(share, SCORED_ROWS)
        if not self._make_room(sequence, sequence.n_done + share):
            return None
        tokens = sequence.tokens[sequence.n_done : sequence.n_done + share]
        if scores_prompt:
            return Plan(sequence, tokens, 0, len(tokens))
        return Plan(sequence, tokens, 0, 1 if share == sequence.n_pending else 0)

    def _chunk(self, others_wait: bool) -> int:
        """Prompt tokens for one step: as many as the measured speed allows within the time of a step."""
        seconds = self.settings.step_s * (1 if others_wait else 2) / (2 if self.embedder.tasks else 1)
        if not self._rows_per_s:
            return min(self._most_rows, 4 * MIN_CHUNK)
        return min(self._most_rows, max(MIN_CHUNK, int(self._rows_per_s * seconds)))

    def _learn_speed(self, plans: list[Plan], seconds: float) -> None:
        if all(plan.sequence.is_decoding for plan in plans):
            self._price.learn(len(plans), sum(plan.n_drafts for plan in plans), seconds)
        self._learn_rate(sum(len(plan.tokens) for plan in plans), seconds)

    def _learn_rate(self, n_rows: int, seconds: float) -> None:
        if n_rows < MIN_CHUNK or seconds <= 0:
            return
        speed = n_rows / seconds
        self._rows_per_s += (speed - self._rows_per_s) * (_SMOOTHING if self._rows_per_s else 1)

    # --- running --------------------------------------------------------------------------------------------------

    def _give_in(self, plans: list[Plan]) -> None:
        """There was no memory for a step: make steps smaller, at last do without the newest of its sequences."""
        n_rows = sum(len(plan.tokens) for plan in plans)
        if n_rows > MIN_CHUNK and self._most_rows > MIN_CHUNK:
            self._most_rows = max(MIN_CHUNK, min(n_rows, self._most_rows) // 2)
            return
        newest = max((plan.sequence for plan in plans), key=lambda sequence: sequence.arrived_ns)
        newest.fail(OutOfMemory(f"no memory to evaluate {n_rows} tokens: shorten the prompt or load a smaller model"))

    def _execute(self, plans: list[Plan]) -> Float32:
        feeds = []
        for plan in plans:
            self._ledger.charge(plan.sequence.job.client, len(plan.tokens))
            cache = plan.sequence.cache
            pages = cache.pages if cache is not None else []
            feeds.append(Feed(plan.tokens, plan.sequence.n_done, pages, plan.n_outputs, plan.sequence.adapters))
        return self.executor.run(make_batch(feeds))

    def _deliver(self, plans: list[Plan], logits: Float32) -> None:
        ends = np.cumsum([plan.n_outputs for plan in plans])
        for plan, end in zip(plans, ends, strict=True):
            rows = logits[end - plan.n_outputs : end]
            with _blame(plan.sequence):
                self._advance(plan, rows)

    def _advance(self, plan: Plan, rows: Float32) -> None:
        sequence = plan.sequence
        if sequence.is_decoding:
            sequence.decoded(plan.tokens[1:], rows)
            return
        is_last = len(plan.tokens) == sequence.n_pending
        sequence.prefilled(len(plan.tokens), rows if sequence.job.prompt_logprobs else rows[:0])
        if is_last:
            sequence.decoded((), rows[-1:])


@contextmanager
def _blame(sequence: Sequence) -> Iterator[None]:
    """What goes wrong inside is a fault of this sequence, and not the others'."""
    try:
        yield
    except CorralError as err:
        sequence.fail(err)
    except Exception as err:
        get_logger("engine").exception("sequence.failed")
        sequence.fail(CorralError(f"no next token could be chosen ({type(err).__name__}): see the log"))


def _sum(totals: Usage, done: DoneEvent) -> Usage:
    """What another generation adds."""
    costs = {name: value for name, value in msgspec.structs.asdict(done).items() if name != "reason"}
    return replace(totals, **{name: getattr(totals, name) + value for name, value in costs.items()})
