"""From a request to a response: the order of checks, and the two ways to send what comes."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web
from msgspec.structs import replace

from corral import BadRequest, ChatRequest, JSONObject
from corral.server import KERNEL, stream
from corral_openai_api import fields
from corral_openai_api.bodies import ReasoningBody
from corral_openai_api.choices import note, whole
from corral_openai_api.errors import FieldError, unsupported
from corral_openai_api.names import installed
from corral_openai_api.responses.bodies import FORMAT, ResponsesBody
from corral_openai_api.responses.items import conversation
from corral_openai_api.responses.outline import Outline
from corral_openai_api.responses.shapes import MessageItem, ReasoningItem, Response, TextPart
from corral_openai_api.responses.toolbox import tools
from corral_openai_api.tools import choice
from corral_openai_api.wire import SSE, new_id, reply

_SCORES = "message.output_text.logprobs"


async def responses(request: web.Request, body: ResponsesBody) -> web.StreamResponse:
    """Answer once; nothing is kept."""
    typed = _typed(body)
    installed(request.app[KERNEL], body.model)
    outline = Outline(_blank(body))
    if body.stream:
        events = _events(request, typed, outline)
        return await stream(request, events, content_type=SSE, late_error=outline.fail)
    async with aclosing(request.app[KERNEL].pipeline.chat(typed)) as pieces:
        said = [piece async for piece in pieces]
    for piece in said:
        for _ in outline.read(piece):
            """Only the items are wanted."""
    last = whole(said)
    note(request, body.model, last)
    for _ in outline.end(last):
        """As above."""
    answer = outline.response
    if all(isinstance(item, ReasoningItem) for item in answer.output):
        empty = MessageItem.of(new_id("msg_"), answer.status, TextPart())
        answer = replace(answer, output=[*answer.output, empty])
    return reply(answer)


async def _events(request: web.Request, typed: ChatRequest, outline: Outline) -> AsyncGenerator[bytes, None]:
    begun = False
    async with aclosing(request.app[KERNEL].pipeline.chat(typed)) as pieces:
        async for piece in pieces:
            if not begun:
                yield b"".join(outline.begin())
                begun = True
            note(request, outline.response.model, piece)
            for event in outline.read(piece):
                yield event
            if piece.done_reason is not None:
                for event in outline.end(piece):
                    yield event


def _typed(body: ResponsesBody) -> ChatRequest:
    _refuse(body)
    if not body.model.strip():
        raise BadRequest("model is required")
    if not 0 <= body.top_logprobs <= 20:
        raise FieldError("top_logprobs must be between 0 and 20", "top_logprobs")
    chosen = choice(body.tool_choice, tools(body.tools))
    limit = {} if body.max_output_tokens is None else {"num_predict": body.max_output_tokens}
    cut = body.truncate or body.truncation == "auto"
    return ChatRequest(
        model=body.model.strip(),
        messages=conversation(body.input, body.instructions),
        tools=chosen.tools,
        tool_choice=chosen.rule,
        max_tool_calls=0 if body.parallel_tool_calls else 1,
        think=fields.think("", _reasoning(body)),
        constraint=fields.constraint(FORMAT.typed(body.text.get("format") or {}), "text.format"),
        overrides=fields.common_options(body, top_p=None) | limit,
        keep_alive_s=fields.keep_alive(body.keep_alive),
        logprobs=_SCORES in body.include or body.top_logprobs > 0,
        top_logprobs=body.top_logprobs,
        truncate=cut,
        strict_context=not cut,
    )


def _refuse(body: ResponsesBody) -> None:
    """Raises FieldError for what clients may send and Corral cannot do."""
    if body.previous_response_id:
        raise unsupported("previous_response_id", "responses are not kept; send the conversation in input")
    if body.conversation is not None:
        raise unsupported("conversation", "conversations are not kept; send the conversation in input")
    if body.prompt is not None:
        raise unsupported("prompt", "there are no stored prompts; send instructions and input")
    if body.context_management is not None:
        raise unsupported("context_management", "use truncation")
    if body.moderation is not None:
        raise unsupported("moderation", "nothing is moderated here")


def _reasoning(body: ResponsesBody) -> ReasoningBody | None:
    effort = (body.reasoning or {}).get("effort") or ""
    if not isinstance(effort, str):
        raise FieldError("reasoning.effort must be a string", "reasoning.effort", "invalid_type")
    return ReasoningBody(effort=effort)


def _blank(body: ResponsesBody) -> Response:
    """The response before anything came: what was asked, echoed."""
    echoed: JSONObject = {}
    if body.temperature is not None:
        echoed["temperature"] = body.temperature
    if body.top_p is not None:
        echoed["top_p"] = body.top_p
    return Response(
        id=new_id("resp_"),
        created_at=int(time.time()),
        model=body.model,
        instructions=body.instructions or None,
        tools=list(body.tools),
        tool_choice=body.tool_choice or "auto",
        truncation=body.truncation or "disabled",
        text={"format": {"type": "text"}} | body.text,
        parallel_tool_calls=body.parallel_tool_calls,
        top_logprobs=body.top_logprobs,
        reasoning=body.reasoning,
        max_output_tokens=body.max_output_tokens,
        background=body.background,
        metadata=body.metadata,
        **echoed,
    )
