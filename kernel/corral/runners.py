"""The contract between kernel and engine: only these structs cross it, so a runner can live in another process."""

from collections.abc import AsyncGenerator
from typing import Protocol

from corral import types


class RunnerSettings(types.Settings, frozen=True):
    """How to open a model.  0 and "" mean "the engine decides".  Sizes in bytes, counts in tokens.

    `kv_tokens` is the KV budget shared by all sequences; a request's own `num_ctx` is bounded by it, not by a reload.
    `isolation` is "thread" or "process"; `draft` the path of a smaller model that guesses ahead.
    """

    n_threads: int = 0
    n_parallel: int = 1
    kv_tokens: int = 0
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    max_queue: int = 512
    isolation: str = "thread"
    memory_bytes: int = 0
    draft: str = ""


class AdapterSpec(types.Value, frozen=True):
    """A LoRA adapter to apply, with the user's scale."""

    path: str
    scale: float = 1.0


class Job(types.Value, frozen=True):
    """One sequence to generate.  `max_tokens` < 0 means until the end; counts are tokens.

    `n_logprobs`: -1 none, 0 the chosen token's only, n the best n too.  The constraint begins after the text
    `constraint_after` was generated, or at once if the answer does not begin with `thinking_opens`; `must_answer`
    forbids ending before.  Jobs with different `cache_key`s share no cached prefix.
    """

    token_ids: tuple[int, ...]
    options: types.Options = types.Options()
    eog_ids: tuple[int, ...] = ()
    max_tokens: int = -1
    num_ctx: int = 4096
    num_keep: int = 0
    shift: bool = True
    n_logprobs: int = -1
    prompt_logprobs: bool = False
    constraint: types.Constraint | None = None
    constraint_after: str = ""
    thinking_opens: str = ""
    thinking_limit: tuple[str, str, str, int] | None = None  # opens, ends, is written to end it, after so many tokens
    must_answer: bool = False
    adapters: tuple[AdapterSpec, ...] = ()
    cache_key: str = ""
    client: str = ""  # whose tokens these are: clients that must wait are served fairly


class ScoredToken(types.Value, frozen=True):
    """A token id with its log-probability and the best rivals `(id, logprob)`, descending."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class TokensEvent(types.Value, frozen=True):
    """Tokens that were generated in one step (several when speculation was right)."""

    token_ids: tuple[int, ...]
    logprobs: tuple[ScoredToken, ...] = ()


class PrefillEvent(types.Value, frozen=True):
    """How much of the prompt is evaluated; the last one, with done = total, always comes before the first token."""

    done_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    queue_ns: int = 0
    logprobs: tuple[ScoredToken, ...] = ()


class DoneEvent(types.Value, frozen=True):
    """The end of a sequence.  reason: "stop" (an end-of-generation token), "length", "shutdown".  Times in ns."""

    reason: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    eval_tokens: int = 0
    queue_ns: int = 0
    prompt_ns: int = 0
    eval_ns: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0


Event = TokensEvent | PrefillEvent | DoneEvent


class EmbedJob(types.Value, frozen=True):
    """Sequences to embed; each vector is pooled as the model says and not normalised."""

    inputs: tuple[tuple[int, ...], ...]
    adapters: tuple[AdapterSpec, ...] = ()
    client: str = ""


class RunnerStats(types.Value, frozen=True):
    """A snapshot.  Bytes, tokens, counts; `totals` is what finished generations cost, all together."""

    weights_bytes: int = 0
    kv_bytes: int = 0
    kv_tokens: int = 0
    kv_tokens_used: int = 0
    active: int = 0
    queued: int = 0
    totals: types.Usage = types.Usage()


class Runner(Protocol):
    """A model ready to run.  Only structs cross this border, so a runner can live in another process.

    Closing the generator of `submit` cancels the job within one step.  Raises Busy, BadRequest, RunnerDied.
    """

    def submit(self, job: Job) -> AsyncGenerator[Event, None]: ...
    async def embed(self, job: EmbedJob) -> tuple[tuple[float, ...], ...]: ...
    def stats(self) -> RunnerStats: ...
    @property
    def alive(self) -> bool: ...
    async def close(self) -> None: ...
