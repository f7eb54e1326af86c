"""Laws of every engine and its runners.  Subclass `RunnerContract` in a test module and supply its two fixtures."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from corral.errors import BadRequest, Busy, ContextOverflow, RunnerDied
from corral.protocols import Engine, Weights
from corral.runners import DoneEvent, EmbedJob, Event, Job, PrefillEvent, Runner, RunnerSettings, TokensEvent
from corral.types import Options

GREEDY = Options(temperature=0.0)
_PATIENCE_S = 30.0


async def collect(runner: Runner, job: Job) -> list[Event]:
    """All events of one job."""
    async with aclosing(runner.submit(job)) as events:
        return [event async for event in events]


def tokens_of(events: list[Event]) -> tuple[int, ...]:
    """The generated tokens."""
    return tuple(token for event in events if isinstance(event, TokensEvent) for token in event.token_ids)


async def until_idle(runner: Runner) -> None:
    """Wait until nothing runs.  Fails when the runner does not come to rest."""
    async with asyncio.timeout(_PATIENCE_S):
        while runner.stats().active or runner.stats().queued:  # noqa: ASYNC110  a runner has no such event
            await asyncio.sleep(0.001)


class RunnerContract:
    """A subclass supplies `engine` and `weights`: a small model that generates text, with a context of at least 64."""

    prompt: tuple[int, ...] = (5, 6, 7, 8, 9, 10, 11, 12)

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError("supply the engine under test")

    @pytest.fixture
    def weights(self) -> Weights:
        raise NotImplementedError("supply an open model that the engine fits")

    @pytest.fixture
    async def runner(self, engine: Engine, weights: Weights) -> AsyncIterator[Runner]:
        opened = await engine.open(weights, RunnerSettings(n_parallel=2, max_queue=2, kv_tokens=512))
        yield opened
        await opened.close()
        weights.close()

    def job(self, **changes: object) -> Job:
        """A greedy job of a few tokens."""
        settings: dict[str, object] = {"token_ids": self.prompt, "options": GREEDY, "max_tokens": 8, "num_ctx": 64}
        return Job(**{**settings, **changes})  # type: ignore[arg-type]

    async def test_the_engine_fits_the_model(self, engine: Engine, weights: Weights) -> None:
        assert engine.fits(weights.info)

    async def test_events_come_in_order(self, runner: Runner) -> None:
        events = await collect(runner, self.job())
        kinds = [type(event) for event in events]
        assert kinds[0] is PrefillEvent
        assert kinds[-1] is DoneEvent
        assert kinds.count(DoneEvent) == 1
        prefills = [event for event in events if isinstance(event, PrefillEvent)]
        assert prefills[-1].done_tokens == prefills[-1].total_tokens == len(self.prompt)
        assert kinds.index(TokensEvent) > max(i for i, kind in enumerate(kinds) if kind is PrefillEvent)

    async def test_the_end_counts_what_was_done(self, runner: Runner) -> None:
        events = await collect(runner, self.job())
        done = events[-1]
        assert isinstance(done, DoneEvent)
        assert done.reason == "length"
        assert done.prompt_tokens == len(self.prompt)
        assert done.eval_tokens == len(tokens_of(events)) == 8
        assert done.prompt_ns > 0
        assert done.eval_ns >= 0

    @pytest.mark.parametrize("most", [0, 1, 5])
    async def test_no_more_tokens_than_asked(self, runner: Runner, most: int) -> None:
        assert len(tokens_of(await collect(runner, self.job(max_tokens=most)))) == most

    async def test_an_end_token_ends_and_is_not_delivered(self, runner: Runner) -> None:
        first = tokens_of(await collect(runner, self.job()))[0]
        events = await collect(runner, self.job(eog_ids=(first,)))
        assert tokens_of(events) == ()
        assert isinstance(events[-1], DoneEvent)
        assert events[-1].reason == "stop"

    async def test_a_seed_decides(self, runner: Runner) -> None:
        jobs = [self.job(options=Options(seed=seed, temperature=2.0), max_tokens=16) for seed in (1, 1, 2)]
        first, again, other = [tokens_of(await collect(runner, job)) for job in jobs]
        assert first == again
        assert first != other

    async def test_company_changes_nothing(self, runner: Runner) -> None:
        jobs = [self.job(max_tokens=20), self.job(token_ids=self.prompt[::-1], max_tokens=20)]
        alone = [tokens_of(await collect(runner, job)) for job in jobs]
        together = await asyncio.gather(*(collect(runner, job) for job in jobs))
        assert [tokens_of(events) for events in together] == alone

    async def test_reuse_changes_nothing(self, runner: Runner) -> None:
        first = await collect(runner, self.job())
        second = await collect(runner, self.job())
        assert tokens_of(first) == tokens_of(second)
        assert isinstance(second[-1], DoneEvent)
        assert second[-1].cached_tokens < len(self.prompt)

    async def test_closing_the_stream_cancels(self, runner: Runner) -> None:
        async with aclosing(runner.submit(self.job(max_tokens=-1))) as events:
            async for event in events:
                if isinstance(event, TokensEvent):
                    break
        await until_idle(runner)
        assert runner.stats().kv_tokens_used == 0

    async def test_a_full_queue_is_busy(self, runner: Runner) -> None:
        streams = [runner.submit(self.job(max_tokens=-1, cache_key=str(i))) for i in range(4)]
        waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
        async with asyncio.timeout(_PATIENCE_S):
            while runner.stats().active + runner.stats().queued < len(streams):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        with pytest.raises(Busy, match="server busy, please try again"):
            await collect(runner, self.job())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for stream in streams:
            await stream.aclose()
        await until_idle(runner)
        assert tokens_of(await collect(runner, self.job()))

    async def test_bad_prompts_are_refused(self, runner: Runner) -> None:
        with pytest.raises(BadRequest, match="empty"):
            await collect(runner, self.job(token_ids=()))
        with pytest.raises(BadRequest, match="vocabulary"):
            await collect(runner, self.job(token_ids=(1, 1 << 30)))
        with pytest.raises(BadRequest, match="vocabulary"):
            await collect(runner, self.job(token_ids=(-1,)))
        with pytest.raises(ContextOverflow, match="exceeds the available context size"):
            await collect(runner, self.job(token_ids=self.prompt * 8, num_ctx=64))

    @pytest.mark.parametrize("shift", [True, False])
    async def test_a_full_context(self, runner: Runner, shift: bool) -> None:
        events = await collect(runner, self.job(num_ctx=32, max_tokens=60, shift=shift, num_keep=4))
        assert len(tokens_of(events)) == (60 if shift else 24)
        assert isinstance(events[-1], DoneEvent)
        assert events[-1].reason == "length"

    async def test_scores_are_log_probabilities(self, runner: Runner) -> None:
        events = await collect(runner, self.job(n_logprobs=3))
        scores = [score for event in events if isinstance(event, TokensEvent) for score in event.logprobs]
        assert [score.token_id for score in scores] == list(tokens_of(events))
        for score in scores:
            assert score.logprob <= 0
            assert len(score.top) == 3
            assert score.top[0] == (score.token_id, score.logprob)  # greedy: the best is the one that was chosen
            assert [logprob for _, logprob in score.top] == sorted((p for _, p in score.top), reverse=True)

    async def test_embeddings_are_one_a_text(self, runner: Runner) -> None:
        inputs = (self.prompt, self.prompt[:3], self.prompt)
        vectors = await runner.embed(EmbedJob(inputs=inputs))
        assert len(vectors) == 3
        assert vectors[0] == vectors[2] != vectors[1]
        assert await runner.embed(EmbedJob(inputs=())) == ()
        assert await runner.embed(EmbedJob(inputs=inputs[1:2])) == (vectors[1],)

    async def test_closing_ends_what_runs(self, engine: Engine, weights: Weights) -> None:
        runner = await engine.open(weights, RunnerSettings(kv_tokens=256))
        async with aclosing(runner.submit(self.job(max_tokens=-1))) as events:
            async for event in events:
                if isinstance(event, TokensEvent):
                    break
            closing = asyncio.create_task(runner.close())
            rest = [event async for event in events]
        await closing
        assert isinstance(rest[-1], DoneEvent)
        assert rest[-1].reason == "shutdown"
        assert not runner.alive
        with pytest.raises(RunnerDied):
            await collect(runner, self.job())
        weights.close()
