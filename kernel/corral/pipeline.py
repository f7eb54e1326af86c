"""From a typed request to pieces of an answer: check, lease, interceptors, render, run, detokenize, parse."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from corral import protocols, runners, types
from corral.errors import Unsupported
from corral.models import Description
from corral.options import resolve_options
from corral.pool import Resident
from corral.prompt import render

if TYPE_CHECKING:
    from corral.kernel import Kernel

REPEAT_LIMIT = 30  # the same token this often in a row ends a generation, as in the reference
DEFAULT_CONTEXT = 4096


class Pipeline:
    """What dialects call.  Every method raises CorralErrors; closing a stream stops its work within one step."""

    def __init__(self, kernel: "Kernel") -> None:
        self.kernel = kernel

    async def describe(self, model: types.StoredModel) -> Description:
        """Header, template and capabilities, read off the event loop."""
        return await asyncio.to_thread(self.kernel.catalog.describe, model)

    async def prepare(
        self, request: types.ChatRequest, model: types.StoredModel
    ) -> tuple[types.ChatRequest, Description]:
        """Check what the model must be able to do; fill in what the request leaves to it.  Raises BadRequest."""
        what = await self.describe(model)
        if request.template is not None:
            what = replace(what, template=self.kernel.templates["go"].compile(request.template, model.config.parser))
        have = what.capabilities | what.template.capabilities
        if request.think and "thinking" not in have:
            raise Unsupported(f'"{request.model}" does not support thinking')
        if "completion" not in have:
            verb = "chat" if request.prompt is None else "generate"
            why = "" if self.kernel.engines else f": there is no engine here{self.kernel.engines.hint}"
            raise Unsupported(f'"{request.model}" does not support {verb}{why}')
        images = request.images or any(message.images for message in request.messages)
        implied = {"tools": request.tools, "insert": request.suffix, "vision": images}
        needs = [*request.needs, *(need for need, given in implied.items() if given)]
        if missing := [need for need in needs if need not in have]:
            raise Unsupported(f"{model.ref.full_name} does not support " + "\n".join(missing))
        think = True if request.think is None and "thinking" in have else request.think
        options = resolve_options(model.parameters, request.overrides)
        options = replace(options, num_ctx=self.context_length(options, what))
        return replace(request, think=think, options=options), what

    def context_length(self, options: types.Options, what: Description) -> int:
        """num_ctx in force: request or model, else the server's setting, else 4096; never past the trained context."""
        asked = options.num_ctx or self.kernel.config.kernel.context_length or DEFAULT_CONTEXT
        return max(4, min(asked, what.info.context_length or asked))

    async def chat(self, request: types.ChatRequest) -> types.Pieces:
        """Answer a chat or a completion.  The last piece carries `done_reason` and `usage`."""
        began = time.perf_counter_ns()
        model = self.kernel.find(request.model)
        ready, what = await self.prepare(request, model)
        async with self.kernel.pool.lease(model, request.keep_alive_s) as resident:
            load_ns, resident.num_ctx = time.perf_counter_ns() - began, ready.options.num_ctx
            call: types.Generate = partial(_generate, what=what, resident=resident, load_ns=load_ns)
            for interceptor in reversed([*self.kernel.interceptors.values()]):
                call = partial(_wrapped, interceptor, call)
            async with aclosing(call(ready)) as pieces:
                async for piece in pieces:
                    if piece.usage is not None:
                        usage = replace(piece.usage, total_ns=time.perf_counter_ns() - began)
                        piece = replace(piece, usage=usage)
                    yield piece

    async def render_only(self, request: types.ChatRequest) -> types.Rendered:
        """The prompt that `chat` would run, whole where `chat` would refuse it for its length."""
        model = self.kernel.find(request.model)
        ready, what = await self.prepare(request, model)
        async with self.tokenizer(model) as tokenizer:
            return (await asyncio.to_thread(render, ready, what, tokenizer, runs=False))[0]

    @asynccontextmanager
    async def tokenizer(self, model: types.StoredModel) -> AsyncIterator[protocols.Tokenizer]:
        """The model's tokenizer for as long as the block runs; the model cannot be unloaded meanwhile."""
        async with self.kernel.pool.lease(model) as resident:
            yield resident.tokenizer

    async def load(self, model: types.StoredModel, keep_alive_s: float | None, num_ctx: int = 0) -> int:
        """Load a model (or renew its keep-alive); the time it took in ns."""
        began = time.perf_counter_ns()
        async with self.kernel.pool.lease(model, keep_alive_s) as resident:
            resident.num_ctx = num_ctx or resident.num_ctx
            return time.perf_counter_ns() - began


def _wrapped(interceptor: protocols.Interceptor, call: types.Generate, request: types.ChatRequest) -> types.Pieces:
    return interceptor.wrap(request, call)


async def _generate(request: types.ChatRequest, *, what: Description, resident: Resident, load_ns: int) -> types.Pieces:
    """The innermost `Generate`: render, run, detokenize, parse."""
    tokenizer, runner = resident.tokenizer, resident.required_runner
    rendered, frame = await asyncio.to_thread(render, request, what, tokenizer)
    parser = None if request.raw else what.template.parser(frame, rendered.text)
    stream = tokenizer.stream(request.options.stop)
    job = _job(request, what, rendered, resident, parser)
    if request.tools:
        job = replace(job, constraint=what.template.constrain(frame, request.constraint, request.tool_choice))
    output: list[int] = []
    usage = types.Usage(prompt_tokens=len(rendered.token_ids), load_ns=load_ns)
    began, repeats, calls, reason = time.perf_counter_ns(), 0, 0, "stop"
    async with aclosing(runner.submit(job)) as events:
        async for event in events:
            if isinstance(event, runners.PrefillEvent):
                if event.logprobs:
                    yield types.Piece(prompt_logprobs=_logprobs(event.logprobs, tokenizer))
                prompt_ns = time.perf_counter_ns() - began - event.queue_ns
                usage = replace(usage, cached_tokens=event.cached_tokens, queue_ns=event.queue_ns, prompt_ns=prompt_ns)
                if request.tells_prompt:
                    yield types.Piece(prompt_usage=usage)
            elif isinstance(event, runners.DoneEvent):
                reason = event.reason
                usage = replace(usage, drafted_tokens=event.drafted_tokens, accepted_tokens=event.accepted_tokens)
                usage = replace(usage, prompt_ns=event.prompt_ns or usage.prompt_ns, eval_ns=event.eval_ns)
            else:
                for token_id in event.token_ids:
                    repeats = repeats + 1 if output and token_id == output[-1] else 0
                    output.append(token_id)
                text = "".join(map(stream.push, event.token_ids))
                for piece in _parse(parser, text, _logprobs(event.logprobs, tokenizer)):
                    calls += len(piece.tool_calls)
                    yield piece
                enough = 0 < request.max_tool_calls <= calls
                if enough or stream.stopped_by is not None or repeats >= REPEAT_LIMIT:
                    break
    for piece in [*_parse(parser, stream.flush(), ()), *(parser.finish() if parser else ())]:
        yield piece
    eval_ns = usage.eval_ns or time.perf_counter_ns() - began - usage.queue_ns - usage.prompt_ns
    yield types.Piece(
        done_reason=reason,
        stop_text=stream.stopped_by or "",
        usage=replace(usage, eval_tokens=len(output), eval_ns=eval_ns),
        context=None if request.raw else (*rendered.token_ids, *output),
        truncated=rendered.truncated,
    )


def _job(
    request: types.ChatRequest,
    what: Description,
    rendered: types.Rendered,
    resident: Resident,
    parser: protocols.OutputParser | None,
) -> runners.Job:
    options, tokenizer = request.options, resident.tokenizer
    bound = 10 * options.num_ctx  # even "until the end" ends, as in the reference
    waits = request.prompt is None or (parser is not None and not parser.thinking_opens)  # else constrained at once
    return runners.Job(
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
        must_answer=True,  # calls of tools are part of the constraint
        adapters=tuple(runners.AdapterSpec(path=str(path)) for path in what.model.adapters),
        cache_key=request.cache_key,
    )


def _parse(
    parser: protocols.OutputParser | None, text: str, logprobs: tuple[types.TokenLogprob, ...]
) -> Iterable[types.Piece]:
    """The pieces in `text`; log-probabilities ride on the first of them, on an empty one when there is no text."""
    pieces = list(parser.push(text)) if parser and text else [types.Piece(text=text)] if text else []
    if logprobs:
        pieces[:1] = [replace(pieces[0] if pieces else types.Piece(), logprobs=logprobs)]
    return pieces


def _logprobs(
    scored: tuple[runners.ScoredToken, ...], tokenizer: protocols.Tokenizer
) -> tuple[types.TokenLogprob, ...]:
    def named(token_id: int, logprob: float, top: tuple[types.TokenLogprob, ...] = ()) -> types.TokenLogprob:
        return types.TokenLogprob(token=tokenizer.token_bytes(token_id), logprob=logprob, token_id=token_id, top=top)

    return tuple(named(s.token_id, s.logprob, tuple(named(i, lp) for i, lp in s.top)) for s in scored)
