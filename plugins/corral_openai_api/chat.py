"""POST /v1/chat/completions: the next turn of a conversation."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp import web
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from corral import BadRequest, ChatRequest, Piece, ToolCall, Usage
from corral.server import KERNEL, stream
from corral_http.frames import sse
from corral_http.names import installed
from corral_openai_api import fields, unserved
from corral_openai_api.bodies import ChatBody
from corral_openai_api.choices import collected, copies, note, run, usages
from corral_openai_api.errors import FieldError, error_event, unsupported
from corral_openai_api.messages import messages
from corral_openai_api.tools import choice, tools
from corral_openai_api.wire import (
    DONE,
    SSE,
    DebugWire,
    Envelope,
    LogprobsWire,
    ToolCallWire,
    UsageWire,
    Wire,
    calls,
    encoded,
    ended,
    logprobs,
    new_id,
    reply,
    usage,
)


class MessageWire(Wire, frozen=True):
    """The assistant's turn, or, as a delta, a part of it."""

    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    tool_calls: list[ToolCallWire] | UnsetType = UNSET


class ChoiceWire(Wire, frozen=True):
    """One answer, or a part of it."""

    index: int
    message: MessageWire | UnsetType = UNSET
    delta: MessageWire | UnsetType = UNSET
    finish_reason: str | None = None
    logprobs: LogprobsWire | UnsetType = UNSET


class Completion(Envelope[ChoiceWire], frozen=True):
    """The whole answer, or a chunk of it."""


async def chat(request: web.Request, body: ChatBody, max_choices: int) -> web.StreamResponse:
    """Answer `n` times.  The order of checks is the wire's."""
    typed = _typed(body)
    installed(request.app[KERNEL], body.model)
    requests = copies(typed, fields.within(body.n, max_choices, "n"))
    blank = Completion(
        id=new_id("chatcmpl-"), object="chat.completion", created=int(time.time()), model=body.model, usage=UsageWire()
    )
    if body.service_tier:
        blank = replace(blank, service_tier="default")
    if body.debug_render_only:
        rendered = await request.app[KERNEL].pipeline.render_only(typed)
        return reply(replace(blank, debug_info=DebugWire(rendered_template=rendered.text)))
    if body.stream:
        blank = replace(blank, object="chat.completion.chunk", usage=UNSET)
        events = _events(request, requests, blank, with_usage=body.stream_options.include_usage)
        return await stream(request, events, content_type=SSE, late_error=error_event)
    answers = await collected(request, requests)
    for answer in answers:
        note(request, body.model, answer)
    return reply(
        replace(
            blank,
            choices=[_choice(index, answer) for index, answer in enumerate(answers)],
            usage=usage(usages(answers)),
            truncated=answers[0].truncated or UNSET,
        )
    )


def _typed(body: ChatBody) -> ChatRequest:
    _refuse(body)
    conversation, needs = messages(body.messages)
    if not body.model.strip():
        raise BadRequest("model is required")
    if not 0 <= body.top_logprobs <= 20:
        raise FieldError("top_logprobs must be between 0 and 20", "top_logprobs")
    newer = body.max_completion_tokens is not None
    tokens = body.max_completion_tokens if newer else body.max_tokens
    limit = fields.limit(tokens, "max_completion_tokens" if newer else "max_tokens")
    chosen = choice(body.tool_choice, tools(body.tools))
    return ChatRequest(
        model=body.model.strip(),
        messages=conversation,
        tools=chosen.tools,
        tool_choice=chosen.rule,
        max_tool_calls=0 if body.parallel_tool_calls else 1,
        think=fields.think(body.reasoning_effort, body.reasoning, body.chat_template_kwargs),
        thinking_tokens=fields.thinking_tokens(body),
        constraint=fields.constraint(body.response_format, "response_format"),
        overrides=fields.completion_options(replace(body, max_tokens=None), fields.stop(body.stop)) | limit,
        keep_alive_s=fields.keep_alive(body.keep_alive),
        logprobs=body.logprobs or body.top_logprobs > 0,
        top_logprobs=body.top_logprobs,
        truncate=body.truncate,
        strict_context=not body.truncate,
        needs=needs,
    )


def _refuse(body: ChatBody) -> None:
    """Raises FieldError for what clients may send and Corral cannot do."""
    if any(each != "text" for each in body.modalities):
        raise unsupported("modalities", "answers are text")
    unserved.refuse(body, unserved.CHAT)


def _choice(index: int, answer: Piece) -> ChoiceWire:
    message = MessageWire(
        role="assistant",
        content=answer.text,
        reasoning=answer.thinking or UNSET,
        tool_calls=calls(answer.tool_calls) or UNSET,
    )
    reason = finish_reason(answer.done_reason, called=bool(answer.tool_calls))
    return ChoiceWire(index=index, message=message, finish_reason=reason, logprobs=logprobs(answer.logprobs))


def finish_reason(done_reason: str | None, *, called: bool) -> str:
    """The wire's word; an answer that was cut is not one that called tools."""
    return "tool_calls" if called and done_reason == "stop" else ended(done_reason)


class Part:
    """What is known about a choice while it streams."""

    def __init__(self, index: int) -> None:
        self.index, self.opened, self.n_calls = index, False, 0

    def chunks(self, piece: Piece) -> list[ChoiceWire]:
        """A piece as deltas: thinking first, alone and with the log-probabilities; the end has a delta of its own."""
        deltas: list[ChoiceWire] = []
        scored = logprobs(piece.logprobs)
        if piece.thinking and (piece.text or piece.tool_calls):
            deltas.append(self._delta(MessageWire(reasoning=piece.thinking), scored))
            piece, scored = replace(piece, thinking=""), UNSET
        ends_empty = piece.done_reason is not None and not self.opened
        if piece.text or piece.thinking or piece.tool_calls or scored is not UNSET or ends_empty:
            delta = MessageWire(
                content=piece.text, reasoning=piece.thinking or UNSET, tool_calls=self._calls(piece.tool_calls)
            )
            deltas.append(self._delta(delta, scored))
        if piece.done_reason is not None:
            reason = finish_reason(piece.done_reason, called=self.n_calls > 0)
            deltas.append(ChoiceWire(index=self.index, delta=MessageWire(), finish_reason=reason))
        return deltas

    def _delta(self, delta: MessageWire, scored: LogprobsWire | UnsetType) -> ChoiceWire:
        """The role stands in the first delta only."""
        role = UNSET if self.opened else "assistant"
        self.opened = True
        return ChoiceWire(index=self.index, delta=replace(delta, role=role), logprobs=scored)

    def _calls(self, made: Sequence[ToolCall]) -> list[ToolCallWire] | UnsetType:
        numbered = calls(made, self.n_calls)
        self.n_calls += len(numbered)
        return numbered or UNSET


async def _events(
    request: web.Request, requests: Sequence[ChatRequest], blank: Completion, *, with_usage: bool
) -> AsyncGenerator[bytes, None]:
    parts = [Part(index) for index in range(len(requests))]
    costs: list[Usage] = []
    async with aclosing(run(request.app[KERNEL], requests)) as numbered:
        async for index, piece in numbered:
            costs += usages([piece])
            note(request, blank.model, piece)
            for chunk in parts[index].chunks(piece):
                cut = (chunk.finish_reason and piece.truncated) or UNSET
                yield sse(encoded(replace(blank, choices=[chunk], truncated=cut)))
    if with_usage:
        yield sse(encoded(replace(blank, usage=usage(costs))))
    yield DONE
