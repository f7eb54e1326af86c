"""One generation: its tokens, its place in the KV cache, and what becomes of each sampled token."""

import time
from collections.abc import Callable, Sequence as Items
from typing import Protocol

import numpy as np

from corral import CorralError, DoneEvent, Event, Job, PrefillEvent, ScoredToken, TokensEvent
from corral_engine.answer import ActiveConstraint
from corral_engine.batching import NO_ADAPTERS
from corral_engine.kv_cache import PagePool, SequenceCache, common_length
from corral_engine.loops import LoopWatch
from corral_engine.program import AdapterSet, Float32
from corral_engine.sampling import Sampler
from corral_engine.scores import score
from corral_engine.speculation import FREE, Drafter, Quote

MIN_FREE = 4  # tokens that `num_keep` must leave free


class Outbox(Protocol):
    """Where a sequence's events go.  While it is full the sequence pauses."""

    @property
    def is_full(self) -> bool: ...
    def put(self, item: "Event | CorralError") -> None: ...


class Sequence:
    """The state of one job.  `n_done` of `tokens` are in the KV cache; the others are still to be evaluated."""

    def __init__(
        self,
        job: Job,
        outbox: Outbox,
        sampler: Sampler,
        n_ctx: int,
        drafter: Drafter | None = None,
        adapters: AdapterSet = NO_ADAPTERS,
        constraint: ActiveConstraint | None = None,
        may_shift: bool = True,
        loop_tokens: int = 0,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """`n_ctx` is the context it may use: the job's own, within the model's and the cache's.  `loop_tokens`: see
        `loops.LoopWatch`.
        """
        self.job, self.outbox, self.sampler, self.n_ctx, self.may_shift = job, outbox, sampler, n_ctx, may_shift
        self.drafter, self.adapters, self.constraint, self.clock = drafter, adapters, constraint, clock
        self.loop = LoopWatch(loop_tokens)
        self.tokens = list(job.token_ids)
        self.n_prompt = len(self.tokens)
        self.eog_ids = frozenset(job.eog_ids)
        self.n_done = 0
        self.n_generated = 0
        self.n_cached = 0
        self._n_scored = 0  # tokens of the prompt whose successors' scores were told
        self.n_drafted = 0
        self.n_accepted = 0
        self.cache: SequenceCache | None = None
        self.cancelled = False
        self.finished = False
        self.cost: DoneEvent | None = None  # once it has finished, cancelled ones included
        self.read_at = 0.0  # the scheduler's clock when its outbox was last seen with room
        self.arrived_ns = clock()
        self.started_ns = 0
        self.first_token_ns = 0

    @property
    def n_pending(self) -> int:
        """Tokens to evaluate before the next one can be sampled: 1 while decoding, more while prefilling."""
        return len(self.tokens) - self.n_done

    @property
    def is_decoding(self) -> bool:
        return self.n_pending == 1 and self.n_generated > 0

    # --- the cache ------------------------------------------------------------------------------------------------

    def open_cache(self, pool: PagePool) -> SequenceCache:
        """Take over what is known of the tokens."""
        specs = tuple((spec.path, spec.scale) for spec in self.job.adapters)
        self.cache = SequenceCache(pool, (self.job.cache_key, specs))
        self.n_done = 0 if self.job.prompt_logprobs else self.cache.reuse(self.tokens)
        return self.cache

    def close_cache(self) -> None:
        """Leave the pages to others; all tokens are to be evaluated again if it goes on."""
        if self.cache is not None:
            self.cache.close(self.tokens, self.n_done)
            self.cache, self.n_done = None, 0
        if self.drafter is not None:
            self.drafter.close()

    def start(self) -> None:
        """It has its slot: the first time, the clock of the prompt begins."""
        if not self.started_ns:
            self.started_ns = self.clock()
            self.n_cached = self.n_done
            self._tell_progress(())

    # --- progress -------------------------------------------------------------------------------------------------

    def drafts(self, quote: Quote = FREE) -> Items[int]:
        """Guesses at the next tokens, to be evaluated along with the last one.  `quote`: what they cost."""
        room = self.n_ctx - len(self.tokens) - 1
        if self.job.max_tokens >= 0:
            room = min(room, self.job.max_tokens - self.n_generated - 1)
        if room <= 0:
            return ()
        if self.constraint is not None and (forced := self.constraint.forced_tokens()):
            return tuple(forced)[:room]
        guesses = self.drafter.propose(self.tokens, quote)[:room] if self.drafter is not None else ()
        return guesses[: self.constraint.count_valid(guesses)] if guesses and self.constraint is not None else guesses

    def prefilled(self, n_fed: int, logits: Float32) -> None:
        """A chunk of the prompt was evaluated.  `logits` (n_fed, V) only if the prompt's own scores are wanted."""
        first, told = self.n_done, self._n_scored
        self.n_done += n_fed
        self._share()
        scores: tuple[ScoredToken, ...] = ()
        if len(logits):  # what was told before the sequence had to give way is not told again
            wanted = self.tokens[max(first, told) + 1 : min(self.n_done + 1, self.n_prompt)]
            n_top, new = max(self.job.n_logprobs, 0), logits[max(0, told - first) :]
            scores = tuple(score(row, token, n_top) for row, token in zip(new, wanted, strict=False))
            self._n_scored = max(told, self.n_done)
        if self.n_generated == 0:
            self._tell_progress(scores)

    def _tell_progress(self, scores: tuple[ScoredToken, ...]) -> None:
        self.outbox.put(
            PrefillEvent(
                done_tokens=self.n_done,
                total_tokens=self.n_prompt,
                cached_tokens=self.n_cached,
                queue_ns=self.started_ns - self.arrived_ns,
                logprobs=scores,
            )
        )

    def decoded(self, drafts: Items[int], logits: Float32) -> None:
        """Sample from `logits` (1 + drafts, V): the row of the last token, then one for each draft that holds.

        Raises CorralError when sampling is impossible; the caller fails this sequence alone.
        """
        if not self.first_token_ns:
            self.first_token_ns = self.clock()
        if self.job.max_tokens == 0:
            self.finish("length")
            return
        emitted: list[int] = []
        scores: list[ScoredToken] = []
        guesses = () if self.constraint is not None and self.constraint.forced_tokens() else drafts
        reason, ended_by_eog = None, False
        for row, draft in zip(logits, (*drafts, -1), strict=True):
            token = self._sample(row)
            self.n_generated += 1
            if token in self.eog_ids:
                reason, ended_by_eog = "stop", True
                break
            self.tokens.append(token)
            emitted.append(token)
            if self.job.n_logprobs >= 0:
                scores.append(score(row, token, self.job.n_logprobs))
            reason = self._after(token)
            if reason is not None or token != draft:
                break
        self.n_done = len(self.tokens) - (0 if ended_by_eog else 1)  # the last one sampled was not evaluated yet
        self._count_drafts(len(guesses), common_length(emitted, guesses))
        self._share()
        if emitted:
            self.outbox.put(TokensEvent(token_ids=tuple(emitted), logprobs=tuple(scores)))
        if reason is not None:
            self.finish(reason)
        elif len(self.tokens) >= self.n_ctx:
            self._shift()

    def _sample(self, row: Float32) -> int:
        constraint = self.constraint
        if constraint is not None and (forced := constraint.forced_tokens()):
            return forced[0]
        token = self.sampler.sample(row, self.tokens)
        if constraint is None or constraint.allows(token):
            return token
        masked = constraint.masked(row)
        if not np.isfinite(masked.max()):
            raise CorralError("no token of this model's vocabulary can continue the required format")
        return self.sampler.sample(masked, self.tokens)

    def _after(self, token: int) -> str | None:
        """Why the sequence ends with this token, if it does."""
        if self.constraint is not None:
            self.constraint.accept(token)
            if self.constraint.is_finished:
                return "stop"
        if 0 <= self.job.max_tokens <= self.n_generated or self.loop.closes(token):
            return "length"
        if len(self.tokens) >= self.n_ctx and not self.may_shift:
            return "length"
        return None

    def _count_drafts(self, n_drafted: int, n_accepted: int) -> None:
        self.n_drafted += n_drafted
        self.n_accepted += n_accepted
        if self.drafter is not None:
            self.drafter.learn(n_drafted, n_accepted)

    def _share(self) -> None:
        if self.cache is not None:
            self.cache.share(self.tokens, self.n_done)

    def _shift(self) -> None:
        """The context is full: forget the older half of what need not be kept and evaluate the rest anew.

        Recomputing is exact; rotating cached keys would leave traces of the forgotten text in the values.
        """
        keep = self.n_prompt if self.job.num_keep < 0 else self.job.num_keep
        keep = max(0, min(keep, self.n_ctx - MIN_FREE))
        discard = max(1, (len(self.tokens) - keep) // 2)
        pool = self.cache.pool if self.cache is not None else None
        self.close_cache()
        del self.tokens[keep : keep + discard]
        if pool is not None:
            self.open_cache(pool)

    # --- the end --------------------------------------------------------------------------------------------------

    def finish(self, reason: str) -> None:
        """Tell the end and let go of the cache."""
        now = self.clock()
        started = self.started_ns or now
        first = self.first_token_ns or now
        self.cost = DoneEvent(
            reason=reason,
            prompt_tokens=self.n_prompt,
            cached_tokens=self.n_cached,
            eval_tokens=self.n_generated,
            queue_ns=started - self.arrived_ns,
            prompt_ns=first - started,
            eval_ns=now - first,
            drafted_tokens=self.n_drafted,
            accepted_tokens=self.n_accepted,
        )
        self._end(self.cost)

    def fail(self, error: CorralError) -> None:
        """Tell what went wrong and let go of the cache."""
        self._end(error)

    def _end(self, item: "Event | CorralError") -> None:
        self.finished = True
        self.close_cache()
        if not self.cancelled:
            self.outbox.put(item)
