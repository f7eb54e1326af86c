"""From a typed request to pieces of an answer: lease, interceptors, render, encode, run, detokenize, parse."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from corral import context, protocols, types
from corral.errors import BadRequest, Unsupported
from corral.models import Description
from corral.options import resolve_options
from corral.pool import Resident

if TYPE_CHECKING:
    from corral.kernel import Kernel

REPEAT_LIMIT = 30  # the same token this often in a row ends a generation, as in the reference
DEFAULT_CONTEXT = 4096


class Pipeline:
    """What dialects call.  Every method raises CorralErrors; closing a stream stops its work within one step."""

    def __init__(self, kernel: "Kernel") -> None:
        self.kernel = kernel

    # --- preparing ------------------------------------------------------------------------------------------------

    async def describe(self, model: types.StoredModel) -> Description:
        """Header, template and capabilities, read off the event loop."""
        return await asyncio.to_thread(self.kernel.catalog.describe, model)

    async def prepare(
        self, request: types.ChatRequest, model: types.StoredModel
    ) -> tuple[types.ChatRequest, Description]:
        """Check what the model must be able to do and fill in what the request leaves to the model.

        Raises Unsupported, BadRequest.
        """
        description = await self.describe(model)
        if request.template is not None:
            engine = self.kernel.templates["go"]
            description = replace(description, template=engine.compile(request.template))
        have = description.capabilities | description.template.capabilities
        if request.think and "thinking" not in have:
            raise Unsupported(f'"{request.model}" does not support thinking')
        needs = ("completion", *request.needs, *(("tools",) if request.tools else ()))
        missing = [need for need in (*needs, *(("insert",) if request.suffix else ())) if need not in have]
        if "completion" in missing:
            verb = "generate" if request.prompt is not None else "chat"
            raise Unsupported(f'"{request.model}" does not support {verb}')
        if missing:
            raise Unsupported(f"{model.ref.full_name} does not support " + "\n".join(missing))
        has_images = request.images or any(message.images for message in request.messages)
        if has_images and "vision" not in have:
            raise Unsupported(f"{model.ref.full_name} does not support vision: send the request without images")
        think = request.think if request.think is not None or "thinking" not in have else True
        options = resolve_options(model.parameters, request.overrides)
        options = replace(options, num_ctx=self.context_length(options, description))
        return replace(request, think=think, options=options), description

    def context_length(self, options: types.Options, description: Description) -> int:
        """num_ctx in force: request or model, else the server's setting, else 4096; never past the trained context."""
        asked = options.num_ctx or self.kernel.config.kernel.context_length or DEFAULT_CONTEXT
        trained = description.info.context_length
        return max(4, min(asked, trained) if trained else asked)

    @staticmethod
    def conversation(request: types.ChatRequest, model: types.StoredModel) -> tuple[types.Message, ...]:
        """The model's SYSTEM and MESSAGEs around the request's own messages."""
        if request.prompt is None:
            own = tuple(replace(message, role=message.role.lower()) for message in request.messages)
            system = model.system if not (own and own[0].role == "system") else ""
            history = model.messages
        else:
            own = (types.Message(role="user", content=request.prompt, images=request.images),)
            system = model.system if request.system is None else request.system
            history = model.messages if request.context is None else ()
        head = (types.Message(role="system", content=system),) if system else ()
        return (*head, *history, *own)

    # --- rendering ------------------------------------------------------------------------------------------------

    def render(
        self, request: types.ChatRequest, description: Description, tokenizer: protocols.Tokenizer
    ) -> tuple[types.Rendered, protocols.Conversation]:
        """The prompt as text and tokens, cut to the context as the request allows.  Raises ContextOverflow."""
        options, template = request.options, description.template
        may_cut = request.truncate and not request.strict_context
        bos = tokenizer.decode([tokenizer.bos_id], special=True) if tokenizer.bos_id >= 0 else ""
        frame = protocols.Conversation(tools=request.tools, think=request.think, bos=bos)
        if request.raw or request.prompt_token_ids is not None or request.suffix:
            frame = replace(frame, prompt=request.prompt or "", suffix=request.suffix)
            text = template.render(frame) if request.suffix else request.prompt or ""
        else:
            messages = self.conversation(request, description.model)

            def count(candidate: tuple[types.Message, ...]) -> int:
                return len(_encode(tokenizer, template.render(replace(frame, messages=candidate)), bos))

            if may_cut and len(messages) > 1:
                messages = context.drop_oldest(messages, options.num_ctx, count)
            frame = replace(frame, messages=messages)
            text = template.render(frame)
        token_ids = list(request.prompt_token_ids or _encode(tokenizer, text, bos))
        if request.context:
            token_ids = [*request.context, *token_ids]
        keep = options.num_keep + (1 if tokenizer.adds_bos and options.num_keep >= 0 else 0)
        kept, truncated = context.fit(
            token_ids, num_ctx=options.num_ctx, num_keep=keep, may_cut=may_cut, may_shift=request.shift
        )
        if truncated is None and request.prompt is None and frame.messages:
            truncated = self._dropped(request, description, tokenizer, frame, len(kept), bos)
        return types.Rendered(text=text, token_ids=kept, truncated=truncated), frame

    def _dropped(
        self,
        request: types.ChatRequest,
        what: Description,
        tokenizer: protocols.Tokenizer,
        frame: protocols.Conversation,
        kept: int,
        bos: str,
    ) -> types.Truncated | None:
        """How many tokens the dropped messages would have had; None when none were dropped."""
        everything = self.conversation(request, what.model)
        if len(everything) == len(frame.messages):
            return None
        text = what.template.render(replace(frame, messages=everything))
        return types.Truncated(prompt_tokens=len(_encode(tokenizer, text, bos)), kept_tokens=kept)

    # --- generating -----------------------------------------------------------------------------------------------

    async def chat(self, request: types.ChatRequest) -> types.Pieces:
        """Answer a chat or a completion.  The last piece carries `done_reason` and `usage`."""
        began = time.perf_counter_ns()
        model = self.kernel.find(request.model)
        ready, description = await self.prepare(request, model)
        async with self.kernel.pool.lease(model, request.keep_alive_s) as resident:
            load_ns = time.perf_counter_ns() - began
            call: types.Generate = partial(self._generate, description=description, resident=resident, load_ns=load_ns)
            for interceptor in reversed(list(self.kernel.interceptors.values())):
                call = partial(_wrapped, interceptor, call)
            async with aclosing(call(ready)) as pieces:
                async for piece in pieces:
                    if piece.usage is not None:
                        usage = replace(piece.usage, total_ns=time.perf_counter_ns() - began)
                        piece = replace(piece, usage=usage)
                    yield piece

    async def _generate(
        self, request: types.ChatRequest, *, description: Description, resident: Resident, load_ns: int
    ) -> types.Pieces:
        """The innermost `Generate`: render, run, detokenize, parse."""
        tokenizer, runner, options = resident.tokenizer, resident.required_runner, request.options
        rendered, frame = await asyncio.to_thread(self.render, request, description, tokenizer)
        parser = description.template.parser(frame, rendered.text) if not request.raw else None
        text_stream = tokenizer.stream(options.stop)
        job = self._job(request, description, rendered, tokenizer)
        output: list[int] = []
        usage = types.Usage(prompt_tokens=len(rendered.token_ids), load_ns=load_ns)
        began, repeats, last = time.perf_counter_ns(), 0, -1
        reason = "stop"
        async with aclosing(runner.submit(job)) as events:
            async for event in events:
                if isinstance(event, protocols.PrefillEvent):
                    if event.logprobs:
                        yield types.Piece(prompt_logprobs=_logprobs(event.logprobs, tokenizer))
                    usage = replace(usage, cached_tokens=event.cached_tokens, queue_ns=event.queue_ns)
                    usage = replace(usage, prompt_ns=time.perf_counter_ns() - began - event.queue_ns)
                elif isinstance(event, protocols.DoneEvent):
                    reason = event.reason
                    usage = replace(
                        usage,
                        drafted_tokens=event.drafted_tokens,
                        accepted_tokens=event.accepted_tokens,
                    )
                else:
                    output += event.token_ids
                    for token_id in event.token_ids:
                        repeats = repeats + 1 if token_id == last else 0
                        last = token_id
                    text = "".join(map(text_stream.push, event.token_ids))
                    for piece in _parse(parser, text, _logprobs(event.logprobs, tokenizer)):
                        yield piece
                    if text_stream.stopped_by is not None or repeats >= REPEAT_LIMIT:
                        break
        held = text_stream.flush()
        for piece in [*_parse(parser, held, ()), *(parser.finish() if parser else ())]:
            yield piece
        ended = time.perf_counter_ns()
        usage = replace(usage, eval_tokens=len(output), eval_ns=ended - began - usage.queue_ns - usage.prompt_ns)
        yield types.Piece(
            done_reason=reason,
            stop_text=text_stream.stopped_by or "",
            usage=usage,
            context=None if request.raw else (*rendered.token_ids, *output),
            truncated=rendered.truncated,
        )

    def _job(
        self,
        request: types.ChatRequest,
        description: Description,
        rendered: types.Rendered,
        tokenizer: protocols.Tokenizer,
    ) -> protocols.Job:
        options, model = request.options, description.model
        bound = 10 * options.num_ctx
        asked = options.num_predict
        return protocols.Job(
            token_ids=rendered.token_ids,
            options=options,
            eog_ids=() if options.ignore_eos else tuple(sorted(tokenizer.eog_ids)),
            max_tokens=min(asked, bound) if asked > 0 else bound,
            num_ctx=options.num_ctx,
            num_keep=len(rendered.token_ids) if options.num_keep < 0 else options.num_keep + int(tokenizer.adds_bos),
            shift=request.shift and not request.strict_context,
            n_logprobs=request.top_logprobs if request.logprobs else -1,
            prompt_logprobs=request.prompt_logprobs,
            constraint=request.constraint,
            adapters=tuple(protocols.AdapterSpec(path=str(path)) for path in model.adapters),
            cache_key=request.cache_key,
        )

    async def render_only(self, request: types.ChatRequest) -> types.Rendered:
        """The prompt that `chat` would run, without loading an engine for it."""
        model = self.kernel.find(request.model)
        ready, description = await self.prepare(request, model)
        async with self.tokenizer(model) as tokenizer:
            rendered, _ = await asyncio.to_thread(self.render, ready, description, tokenizer)
            return rendered

    # --- everything else ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def tokenizer(self, model: types.StoredModel) -> AsyncIterator[protocols.Tokenizer]:
        """The model's tokenizer for as long as the block runs; the model cannot be unloaded meanwhile."""
        async with self.kernel.pool.lease(model) as resident:
            yield resident.tokenizer

    async def load(self, model: types.StoredModel, keep_alive_s: float | None) -> int:
        """Load a model (or renew its keep-alive); the time it took in ns."""
        began = time.perf_counter_ns()
        async with self.kernel.pool.lease(model, keep_alive_s):
            return time.perf_counter_ns() - began

    async def embed(self, request: types.EmbedRequest) -> types.EmbedResult:
        """One vector an input, normalised and cut as asked.  Raises ContextOverflow, BadRequest (NaN)."""
        began = time.perf_counter_ns()
        model = self.kernel.find(request.model)
        description = await self.describe(model)
        options = resolve_options(model.parameters, request.overrides)
        async with self.kernel.pool.lease(model, request.keep_alive_s) as resident:
            load_ns = time.perf_counter_ns() - began
            limit = self.context_length(options, description)
            tokenizer = resident.tokenizer
            prompts = [_encode_input(tokenizer, text, limit, truncate=request.truncate) for text in request.inputs]
            job = protocols.EmbedJob(
                inputs=tuple(tuple(prompt) for prompt in prompts),
                adapters=tuple(protocols.AdapterSpec(path=str(path)) for path in model.adapters),
            )
            raw = await resident.required_runner.embed(job) if prompts else ()
        vectors = tuple(_finish(vector, request.dimensions, normalize=request.normalize) for vector in raw)
        count = sum(map(len, prompts))
        usage = types.Usage(prompt_tokens=count, load_ns=load_ns, total_ns=time.perf_counter_ns() - began)
        return types.EmbedResult(vectors=vectors, prompt_tokens=count, usage=usage)


def _wrapped(interceptor: protocols.Interceptor, call: types.Generate, request: types.ChatRequest) -> types.Pieces:
    return interceptor.wrap(request, call)


def _encode(tokenizer: protocols.Tokenizer, text: str, bos: str) -> list[int]:
    """Token ids with BOS/EOS as the model wants; a BOS that the template printed is not doubled."""
    return tokenizer.encode(text, add_special=not (bos and text.startswith(bos)))


def _encode_input(
    tokenizer: protocols.Tokenizer, text: str | tuple[int, ...], limit: int, *, truncate: bool
) -> list[int]:
    """Token ids of one text to embed, cut at its end to leave room for BOS and EOS."""
    if not isinstance(text, str):
        return list(text)
    token_ids = tokenizer.encode(text, add_special=True)
    if len(token_ids) <= limit:
        return token_ids
    if not truncate:
        raise BadRequest("the input length exceeds the context length")
    room = limit - int(tokenizer.adds_bos) - int(tokenizer.adds_eos)
    if room <= 0:
        raise BadRequest("input after truncation exceeds maximum context length")
    end = [token_ids[-1]] if tokenizer.adds_eos else []
    return token_ids[: limit - len(end)] + end


def _finish(vector: tuple[float, ...], dimensions: int, *, normalize: bool) -> tuple[float, ...]:
    """Cut to `dimensions` and scale to unit length (a zero vector stays zero).  Raises BadRequest for NaN and Inf."""
    if not all(map(math.isfinite, vector)):
        raise BadRequest("embedding contains NaN or Inf values")
    if 0 < dimensions < len(vector):
        vector = vector[:dimensions]
    if not normalize:
        return vector
    norm = math.sqrt(math.fsum(x * x for x in vector))
    return tuple(x / norm for x in vector) if norm else vector


def _parse(
    parser: protocols.OutputParser | None, text: str, logprobs: tuple[types.TokenLogprob, ...]
) -> Iterable[types.Piece]:
    """The pieces in `text`; log-probabilities ride on the first of them, on an empty one when there is no text."""
    pieces = list(parser.push(text)) if parser and text else [types.Piece(text=text)] if text else []
    if logprobs:
        pieces[:1] = [replace(pieces[0] if pieces else types.Piece(), logprobs=logprobs)]
    return pieces


def _logprobs(
    scored: tuple[protocols.ScoredToken, ...], tokenizer: protocols.Tokenizer
) -> tuple[types.TokenLogprob, ...]:
    def named(token_id: int, logprob: float, top: tuple[types.TokenLogprob, ...] = ()) -> types.TokenLogprob:
        return types.TokenLogprob(token=tokenizer.token_bytes(token_id), logprob=logprob, token_id=token_id, top=top)

    return tuple(named(s.token_id, s.logprob, tuple(named(i, lp) for i, lp in s.top)) for s in scored)
