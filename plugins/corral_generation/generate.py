"""The innermost step of a request: render, run, detokenize, parse."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

from msgspec.structs import replace

from corral import (
    AdapterSpec,
    ChatRequest,
    Description,
    DoneEvent,
    Job,
    OutputParser,
    Piece,
    Pieces,
    PrefillEvent,
    Rendered,
    ScoredToken,
    Tokenizer,
    TokenLogprob,
    Usage,
)
from corral.kernel import Kernel
from corral.pool import Resident
from corral_generation.bias import by_token
from corral_generation.catalog import Catalog
from corral_generation.options import within_room
from corral_generation.prepare import prepare
from corral_generation.prompt import render
from corral_generation.tally import ThinkingTally
from corral_http.clients import CLIENT


class PromptGeneration:
    """Generation by rendering a prompt and running it."""

    def __init__(self, kernel: Kernel, *, isolate_clients: bool) -> None:
        """`isolate_clients`: clients share no cached prefix, so that none can tell what another has asked."""
        self.kernel, self.isolate_clients = kernel, isolate_clients
        self.describe = Catalog(kernel).describe

    def prepare(self, request: ChatRequest, what: Description) -> tuple[ChatRequest, Description]:
        """See `prepare.prepare`."""
        return prepare(self.kernel, request, what)

    def render(self, request: ChatRequest, what: Description, tokenizer: Tokenizer) -> Rendered:
        """The prompt that `generate` would run, whole where `generate` would refuse it for its length."""
        return render(request, what, tokenizer, runs=False)[0]

    async def generate(self, request: ChatRequest, what: Description, resident: Resident, load_ns: int) -> Pieces:
        """The pieces of the answer; `load_ns` is what the model's loading took."""
        tokenizer, runner = resident.tokenizer, resident.required_runner
        options = replace(request.options, num_ctx=within_room(request.options.num_ctx, runner))
        if options.logit_bias:
            options = await asyncio.to_thread(by_token, options, tokenizer)
        request = replace(request, options=options)
        rendered, frame = await asyncio.to_thread(render, request, what, tokenizer)
        parser = None if request.raw else what.template.parser(frame, rendered.text)
        tally = ThinkingTally(parser) if parser else None
        stream = tokenizer.stream(request.options.stop, special=parser.tags if parser else False)
        job = _job(request, what, rendered, resident, parser)
        if self.isolate_clients:
            job = replace(job, cache_key=f"{job.client} {job.cache_key}")
        if request.tools:
            constrain, asked_for = what.template.constrain, (request.constraint, request.tool_choice)
            constraint = await asyncio.to_thread(constrain, frame, *asked_for)  # schemas may be large
            asked = constraint is not None and not constraint.kind.endswith("?")  # else it only holds what may come
            job = replace(job, constraint=constraint, must_answer=asked)
        output: list[int] = []
        usage = Usage(prompt_tokens=len(rendered.token_ids), load_ns=load_ns)
        began, calls, reason = time.perf_counter_ns(), 0, "stop"
        async with aclosing(runner.submit(job)) as events:
            async for event in events:
                if isinstance(event, PrefillEvent):
                    if event.logprobs:
                        yield Piece(prompt_logprobs=_logprobs(event.logprobs, tokenizer))
                    spent = time.perf_counter_ns() - began - event.queue_ns
                    usage = replace(usage, cached_tokens=event.cached_tokens, queue_ns=event.queue_ns, prompt_ns=spent)
                    if request.tells_prompt:
                        yield Piece(prompt_usage=usage)
                elif isinstance(event, DoneEvent):
                    reason = event.reason
                    usage = replace(usage, drafted_tokens=event.drafted_tokens, accepted_tokens=event.accepted_tokens)
                    usage = replace(usage, prompt_ns=event.prompt_ns or usage.prompt_ns, eval_ns=event.eval_ns)
                else:
                    output += event.token_ids
                    texts = [stream.push(token_id) for token_id in event.token_ids]
                    for piece in _scored(_parse(tally, texts), _logprobs(event.logprobs, tokenizer)):
                        calls += len(piece.tool_calls)
                        yield piece
                    if stream.stopped_by is not None or 0 < request.max_tool_calls <= calls:
                        break
        rest = stream.flush()
        for piece in tally.finish(rest) if tally else _parse(None, [rest]):
            yield piece
        usage = replace(usage, thinking_tokens=tally.tokens if tally else 0)
        eval_ns = usage.eval_ns or time.perf_counter_ns() - began - usage.queue_ns - usage.prompt_ns
        yield Piece(
            done_reason=reason,
            stop_text=stream.stopped_by or "",
            usage=replace(usage, eval_tokens=len(output), eval_ns=eval_ns),
            context=None if request.raw else (*rendered.token_ids, *output),
            truncated=rendered.truncated,
        )


def _job(
    request: ChatRequest,
    what: Description,
    rendered: Rendered,
    resident: Resident,
    parser: OutputParser | None,
) -> Job:
    options, tokenizer = request.options, resident.tokenizer
    bound = 10 * options.num_ctx  # even "until the end" ends, as in the reference
    span = parser.thinking_span if parser and request.thinking_tokens >= 0 else None
    waits = request.prompt is None or (parser is not None and not parser.thinking_opens)  # else constrained at once
    return Job(
        token_ids=rendered.token_ids,
        options=options,
        eog_ids=() if options.ignore_eos else tuple(sorted(tokenizer.eog_ids)),
        max_tokens=min(options.num_predict, bound) if options.num_predict > 0 else bound,
        num_ctx=options.num_ctx,
        num_keep=len(rendered.token_ids) if options.num_keep < 0 else options.num_keep + int(tokenizer.adds_bos),
        shift=request.shift and not request.strict_context,
        n_logprobs=request.top_logprobs if request.logprobs else -1,
        prompt_logprobs=request.prompt_logprobs,
        constraint=request.constraint,
        constraint_after=parser.answer_after if parser and waits else "",
        thinking_opens=parser.thinking_opens if parser and waits else "",
        thinking_limit=(*span, request.thinking_tokens) if span else None,
        must_answer=True,  # calls of tools are part of the constraint
        adapters=tuple(AdapterSpec(path=str(path)) for path in what.model.adapters),
        cache_key=request.cache_key,
        client=CLIENT.get(),
    )


def _parse(tally: ThinkingTally | None, texts: Sequence[str]) -> list[Piece]:
    """The pieces in the texts of tokens; without a parser all of it is text."""
    if tally:
        return tally.push(texts)
    text = "".join(texts)
    return [Piece(text=text)] if text else []


def _scored(pieces: list[Piece], logprobs: tuple[TokenLogprob, ...]) -> list[Piece]:
    """Log-probabilities ride on the first of the pieces, on an empty one when there is no text."""
    if logprobs:
        pieces[:1] = [replace(pieces[0] if pieces else Piece(), logprobs=logprobs)]
    return pieces


def _logprobs(scored: tuple[ScoredToken, ...], tokenizer: Tokenizer) -> tuple[TokenLogprob, ...]:
    def named(token_id: int, logprob: float, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        return TokenLogprob(token=tokenizer.token_bytes(token_id), logprob=logprob, token_id=token_id, top=top)

    return tuple(named(s.token_id, s.logprob, tuple(named(i, lp) for i, lp in s.top)) for s in scored)
