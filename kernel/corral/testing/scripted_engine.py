"""An engine that answers from a script, one byte a token, under a test's full control: no clock, no chance."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from corral import (
    BadRequest,
    CorralError,
    DoneEvent,
    EmbedJob,
    Event,
    Job,
    ModelInfo,
    PrefillEvent,
    RunnerSettings,
    RunnerStats,
    ScoredToken,
    TokensEvent,
    Weights,
)


class ScriptedEngine:
    """Change the attributes before (or during) a request; read the counters after it.

    `reply` makes a job's answer.  `pause_at` n stops every job before its token n: `paused` is then set, and the job
    goes on when `resume` is.  `error_at` n raises `error` there instead.  `endings` receives "done", "cancelled" or
    "error" for every job, so a test can wait for an end without sleeping.
    """

    name = "scripted"

    def __init__(self) -> None:
        self.reply: Callable[[Job], bytes] = lambda job: b"Hello!"
        self.vector: Callable[[tuple[int, ...]], tuple[float, ...]] = lambda token_ids: (3.0, 4.0 * len(token_ids))
        self.pause_at = -1
        self.paused, self.resume = asyncio.Event(), asyncio.Event()
        self.error_at = -1
        self.error: Exception = CorralError("the script says so")
        self.open_error: Exception | None = None
        self.loading, self.may_load = asyncio.Event(), asyncio.Event()
        self.may_load.set()
        self.cached_tokens = 0
        self.jobs: list[Job] = []
        self.embed_jobs: list[EmbedJob] = []
        self.settings: list[RunnerSettings] = []
        self.endings: asyncio.Queue[str] = asyncio.Queue()
        self.opened = self.closed = self.cancelled = self.active = self.most_active = 0

    def fits(self, info: ModelInfo) -> bool:
        """Every architecture."""
        return True

    async def open(self, weights: Weights, settings: RunnerSettings) -> "ScriptedRunner":
        """Waits for `may_load`; raises `open_error` when there is one."""
        self.loading.set()
        await self.may_load.wait()
        if self.open_error is not None:
            raise self.open_error
        self.opened += 1
        self.settings.append(settings)
        return ScriptedRunner(self, weights.info, settings)


class ScriptedRunner:
    """One opened model of a ScriptedEngine."""

    def __init__(self, engine: ScriptedEngine, info: ModelInfo, settings: RunnerSettings) -> None:
        self.engine, self.info = engine, info
        self.alive = True
        self._slots = asyncio.Semaphore(settings.n_parallel)

    async def submit(self, job: Job) -> AsyncGenerator[Event, None]:
        """PrefillEvent, a TokensEvent a byte, DoneEvent; at most `n_parallel` jobs at once."""
        engine = self.engine
        engine.jobs.append(job)
        ending = "cancelled"
        try:
            async with self._slots, aclosing(self._run(job)) as events:
                engine.active += 1
                engine.most_active = max(engine.most_active, engine.active)
                try:
                    async for event in events:
                        yield event
                finally:
                    engine.active -= 1
            ending = "done"
        except Exception:  # whatever the script says
            ending = "error"
            raise
        finally:
            engine.cancelled += ending == "cancelled"
            engine.endings.put_nowait(ending)

    async def _run(self, job: Job) -> AsyncGenerator[Event, None]:
        engine, total = self.engine, len(job.token_ids)
        cached = min(engine.cached_tokens, total)
        prompt = [_scored(token_id, max(job.n_logprobs, 0)) for token_id in job.token_ids[1:]]
        known = tuple(prompt) if job.prompt_logprobs else ()
        yield PrefillEvent(done_tokens=total, total_tokens=total, cached_tokens=cached, queue_ns=1, logprobs=known)
        produced, reason = 0, "stop"
        for token_id in engine.reply(job):
            if produced == job.max_tokens or (not job.shift and total + produced >= job.num_ctx):
                reason = "length"
                break
            if produced == engine.error_at:
                raise engine.error
            if produced == engine.pause_at:
                engine.paused.set()
                await engine.resume.wait()
            scored = (_scored(token_id, job.n_logprobs),) if job.n_logprobs >= 0 else ()
            yield TokensEvent(token_ids=(token_id,), logprobs=scored)
            produced += 1
        yield DoneEvent(reason=reason, prompt_tokens=total, cached_tokens=cached, eval_tokens=produced)

    async def embed(self, job: EmbedJob) -> tuple[tuple[float, ...], ...]:
        """`vector` of every input.  Raises BadRequest for a model whose file says it only completes."""
        self.engine.embed_jobs.append(job)
        if self.info.metadata.get("embeds") is False:
            raise BadRequest("this model has no embeddings")
        return tuple(self.engine.vector(token_ids) for token_ids in job.inputs)

    def stats(self) -> RunnerStats:
        """Made-up sizes."""
        return RunnerStats(weights_bytes=1000, kv_bytes=24, kv_tokens=self.info.context_length)

    async def close(self) -> None:
        """Counts."""
        self.alive = False
        self.engine.closed += 1


def _scored(token_id: int, n_rivals: int) -> ScoredToken:
    """Log-probability -0.5 for what was chosen, falling by one for each rival."""
    rivals = tuple(((token_id + step) % 256, -0.5 - step) for step in range(n_rivals))
    return ScoredToken(token_id=token_id, logprob=-0.5, top=rivals)
