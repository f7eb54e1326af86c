"""POST /v1/completions: text continued, or answered where the model has a chat template."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace

from corral import ChatRequest, JSONObject, Piece, Usage
from corral.server import KERNEL, stream
from corral_http.frames import sse
from corral_http.names import installed
from corral_openai_api import fields
from corral_openai_api.bodies import CompletionBody
from corral_openai_api.choices import collected, note, run, usages
from corral_openai_api.errors import FieldError, error_event, unsupported
from corral_openai_api.parts import go_type
from corral_openai_api.prompts import prompts, spelled
from corral_openai_api.texts import Plan, TextChoice, TextCompletion, TextPart
from corral_openai_api.wire import DONE, SSE, DebugWire, UsageWire, encoded, new_id, reply, usage

_MOST_LOGPROBS = 20


async def completions(request: web.Request, body: CompletionBody, max_choices: int) -> web.StreamResponse:
    """Continue every prompt `n` times; an empty prompt loads the model."""
    plan = _plan(body, max_choices)
    kernel = request.app[KERNEL]
    model = installed(kernel, body.model)
    blank = TextCompletion(id=new_id("cmpl-"), object="text_completion", created=int(time.time()), model=body.model)
    if all(prompt.is_empty for prompt in plan.prompts):
        await kernel.pipeline.prepare(replace(plan.typed, prompt=""), model)
        await kernel.pipeline.load(model, plan.typed.keep_alive_s)
        count = len(plan.prompts) * plan.kept
        choices = [TextChoice(text="", index=index, finish_reason="stop") for index in range(count)]
        whole = replace(blank, choices=choices, usage=UsageWire())
        with_usage = body.stream_options.include_usage
        return await _send(request, whole, streaming=body.stream, with_usage=with_usage)
    known = await spelled(kernel, model, plan.prompts, encode=plan.echo and plan.logprobs)
    plan = replace(plan, prompts=known)
    if body.debug_render_only:
        rendered = await kernel.pipeline.render_only(plan.requests()[0])
        return reply(replace(blank, usage=UsageWire(), debug_info=DebugWire(rendered_template=rendered.text)))
    if body.stream:
        events = _events(request, plan, blank, with_usage=body.stream_options.include_usage)
        return await stream(request, events, content_type=SSE, late_error=error_event)
    answers = await collected(request, plan.requests())
    for answer in answers:
        note(request, body.model, answer)
    costs = [usages(answers[at : at + plan.tried]) for at in range(0, len(answers), plan.tried)]
    kept = _best(answers, plan)
    return reply(
        replace(
            blank,
            choices=[chunk for index, answer in enumerate(kept) if (chunk := TextPart(index, plan).chunk(answer))],
            usage=_total(costs, plan),
            truncated=next((answer.truncated for answer in answers if answer.truncated), UNSET),
        )
    )


async def _send(
    request: web.Request, whole: TextCompletion, *, streaming: bool, with_usage: bool
) -> web.StreamResponse:
    """An answer without a generation, as one object or as one event, which the one with the usage follows."""
    if not streaming:
        return reply(whole)

    async def events() -> AsyncGenerator[bytes, None]:
        yield sse(encoded(whole if with_usage else replace(whole, usage=UNSET)))
        if with_usage:
            yield sse(encoded(replace(whole, choices=[])))
        yield DONE

    return await stream(request, events(), content_type=SSE, late_error=error_event)


def _plan(body: CompletionBody, max_choices: int) -> Plan:
    """Raises FieldError."""
    asked = prompts(body.prompt, "prompt")
    kept = fields.within(body.n, max_choices, "n")
    tried = kept if body.best_of is None else fields.within(body.best_of, max_choices, "best_of")
    if tried < kept:
        raise FieldError("best_of must be at least n", "best_of")
    if tried > kept and body.stream:
        raise FieldError("best_of cannot be streamed: the best is known at the end", "best_of")
    if len(asked) * tried > max_choices:
        text = f"{len(asked)} prompts, {tried} answers each: at most {max_choices} answers are made at once"
        raise FieldError(text, "prompt", "array_too_long")
    as_ids = any(prompt.token_ids is not None for prompt in asked)
    if body.suffix and (body.echo or as_ids):
        raise unsupported("suffix", "it needs a prompt of text, without echo")
    if body.thinking_budget is not None and (body.raw or body.echo or as_ids):
        raise unsupported("thinking_budget", "a prompt that runs as it is says itself whether there is thinking")
    wanted = body.logprobs is not None and body.logprobs is not False
    count = int(body.logprobs or 0)
    if not 0 <= count <= _MOST_LOGPROBS:
        raise FieldError(f"logprobs must be between 0 and {_MOST_LOGPROBS}", "logprobs")
    silent = body.max_tokens == 0
    typed = ChatRequest(
        model=body.model.strip(),
        prompt="",
        suffix=body.suffix,
        raw=body.raw or body.echo,
        overrides=_options(body) | ({"num_predict": 1} if silent else {}),
        thinking_tokens=fields.thinking_tokens(body),
        keep_alive_s=fields.keep_alive(body.keep_alive),
        logprobs=wanted or tried > kept,
        top_logprobs=count,
        prompt_logprobs=wanted and body.echo,
        truncate=body.truncate,
        strict_context=not body.truncate,
    )
    return Plan(
        prompts=tuple(asked), typed=typed, tried=tried, kept=kept, echo=body.echo, logprobs=wanted, silent=silent
    )


def _options(body: CompletionBody) -> JSONObject:
    """Penalties are always set; a `top_p` of 0 is none."""
    stops = body.stop if isinstance(body.stop, list) else [] if body.stop is None else [body.stop]
    for item in stops:
        if not isinstance(item, str):
            raise FieldError(f"invalid type for 'stop' field: {go_type(item)}", "stop", "invalid_type")
    sent = replace(body, top_p=body.top_p or None)
    return {"frequency_penalty": 0.0, "presence_penalty": 0.0} | fields.completion_options(sent, fields.stop(body.stop))


def _best(answers: list[Piece], plan: Plan) -> list[Piece]:
    """Of each prompt's answers the most likely ones, by the mean log-probability of their tokens."""
    if plan.tried == plan.kept:
        return answers

    def likelihood(answer: Piece) -> float:
        return sum(each.logprob for each in answer.logprobs) / max(len(answer.logprobs), 1)

    groups = [answers[at : at + plan.tried] for at in range(0, len(answers), plan.tried)]
    return [answer for group in groups for answer in sorted(group, key=likelihood, reverse=True)[: plan.kept]]


def _total(costs: Sequence[Sequence[Usage]], plan: Plan) -> UsageWire:
    """What all answers cost, those not sent too; nothing where only the prompt is told."""
    unsaid = (
        [[replace(cost, eval_tokens=0, thinking_tokens=0) for cost in each] for each in costs] if plan.silent else costs
    )
    return usage(*unsaid)


async def _events(
    request: web.Request, plan: Plan, blank: TextCompletion, *, with_usage: bool
) -> AsyncGenerator[bytes, None]:
    """With usage every chunk has zeros and one more, without choices, the cost."""
    requests = plan.requests()
    parts = [TextPart(index, plan) for index in range(len(requests))]
    costs: list[list[Usage]] = [[] for _ in plan.prompts]
    shown = replace(blank, usage=UsageWire() if with_usage else UNSET)
    async with aclosing(run(request.app[KERNEL], requests)) as numbered:
        async for index, piece in numbered:
            costs[index // plan.kept] += usages([piece])
            note(request, blank.model, piece)
            if chunk := parts[index].chunk(piece):
                yield sse(encoded(replace(shown, choices=[chunk], truncated=piece.truncated or UNSET)))
    if with_usage:
        yield sse(encoded(replace(blank, usage=_total(costs, plan))))
    yield DONE
