"""From a request to a response: the order of checks, and the two ways to send what comes."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
from aiohttp import web

from corral import BadRequest, ChatRequest, JSONObject, Message
from corral.server import KERNEL, stream
from corral_http.names import installed
from corral_http.pieces import merged
from corral_openai_api import fields, unserved
from corral_openai_api.bodies import ReasoningBody
from corral_openai_api.choices import note
from corral_openai_api.errors import FieldError
from corral_openai_api.responses.bodies import FORMAT, ResponsesBody
from corral_openai_api.responses.items import conversation
from corral_openai_api.responses.kept import heard, input_items
from corral_openai_api.responses.memory import Memory
from corral_openai_api.responses.outline import Outline
from corral_openai_api.responses.shapes import InputTokens, Response
from corral_openai_api.responses.toolbox import tools
from corral_openai_api.tools import choice
from corral_openai_api.wire import SSE, new_id, reply

_SCORES = "message.output_text.logprobs"
_INCLUDABLE = (  # reasoning has its text anyway; the others belong to calls of built-in tools, of which there are none
    _SCORES,
    "reasoning.encrypted_content",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
)


async def responses(
    request: web.Request, body: ResponsesBody, memory: Memory, *, skips_builtin: bool
) -> web.StreamResponse:
    """Answer once, from where an earlier response ended if one is named."""
    before = memory.continued(body.previous_response_id)
    spoken = conversation(body.input, before.messages if before else ())
    typed = _typed(body, spoken, skips_builtin=skips_builtin)
    installed(request.app[KERNEL], body.model)
    outline = Outline(_blank(body, keeps=body.store is not False and memory.most > 0))

    def keep() -> bool:
        """Let the next response continue this one, if it is to; False when it is too large for that."""
        if not outline.response.store:
            return True
        said = msgspec.to_builtins(outline.items)
        asked = [*heard(before), *input_items(body.input)]
        return memory.keep(outline.response, conversation(said, spoken), asked, outline.events)

    if body.stream:
        events = _events(request, typed, outline, keep)
        return await stream(request, events, content_type=SSE, late_error=outline.fail)
    async with aclosing(request.app[KERNEL].pipeline.chat(typed)) as pieces:
        said = [piece async for piece in pieces]
    for _ in outline.begin():
        """Events are kept, not sent."""
    for piece in said:
        for _ in outline.read(piece):
            """As above."""
    last = merged(said)
    note(request, body.model, last)
    for _ in outline.end(last):
        """As above."""
    if not outline.items and outline.response.status != "failed":
        outline.add_empty()
    if not keep():
        outline.forgo()
    return reply(outline.response)


async def _events(
    request: web.Request, typed: ChatRequest, outline: Outline, keep: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
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
                closing = [*outline.end(piece)]
                if not keep():
                    closing[-1] = outline.forgo()
                yield b"".join(closing)


async def count(request: web.Request, body: ResponsesBody, memory: Memory, *, skips_builtin: bool) -> web.Response:
    """POST /v1/responses/input_tokens: the prompt's tokens, also when it is longer than the context."""
    before = memory.continued(body.previous_response_id)
    typed = _typed(body, conversation(body.input, before.messages if before else ()), skips_builtin=skips_builtin)
    installed(request.app[KERNEL], body.model)
    rendered = await request.app[KERNEL].pipeline.render_only(typed)
    return reply(InputTokens(input_tokens=len(rendered.token_ids)))


def _typed(body: ResponsesBody, spoken: tuple[Message, ...], *, skips_builtin: bool) -> ChatRequest:
    _refuse(body)
    if not body.model.strip():
        raise BadRequest("model is required")
    if not 0 <= body.top_logprobs <= 20:
        raise FieldError("top_logprobs must be between 0 and 20", "top_logprobs")
    chosen = choice(body.tool_choice, tools(body.tools, skips_builtin=skips_builtin))
    limit = fields.limit(body.max_output_tokens, "max_output_tokens")
    cut = body.truncate or body.truncation == "auto"
    return ChatRequest(
        model=body.model.strip(),
        messages=(*_instructions(body), *spoken),
        tools=chosen.tools,
        tool_choice=chosen.rule,
        max_tool_calls=0 if body.parallel_tool_calls else 1,
        think=fields.think("", _reasoning(body)),
        thinking_tokens=fields.thinking_tokens(body),
        constraint=fields.constraint(FORMAT.typed(body.text.get("format") or {}, "text.format"), "text.format"),
        overrides=fields.common_options(body, top_p=None) | limit,
        keep_alive_s=fields.keep_alive(body.keep_alive),
        logprobs=_SCORES in body.include or body.top_logprobs > 0,
        top_logprobs=body.top_logprobs,
        truncate=cut,
        strict_context=not cut,
    )


def _refuse(body: ResponsesBody) -> None:
    """Raises FieldError for what clients may send and Corral cannot do."""
    unserved.refuse(body, unserved.RESPONSES)
    for index, each in enumerate(body.include):
        if each not in _INCLUDABLE:
            raise FieldError(f"include[{index}] must be one of {', '.join(_INCLUDABLE)}", f"include[{index}]")
    if body.max_tool_calls is not None and body.max_tool_calls < 1:
        raise FieldError("max_tool_calls must be at least 1", "max_tool_calls", "integer_below_min_value")
    if body.truncation not in ("", "auto", "disabled"):
        raise FieldError('truncation must be "auto" or "disabled"', "truncation")


def _instructions(body: ResponsesBody) -> tuple[Message, ...]:
    """Those of an earlier response are not carried over."""
    return (Message(role="system", content=body.instructions),) if body.instructions else ()


def _reasoning(body: ResponsesBody) -> ReasoningBody | None:
    effort = (body.reasoning or {}).get("effort") or ""
    if not isinstance(effort, str):
        raise FieldError("reasoning.effort must be a string", "reasoning.effort", "invalid_type")
    return ReasoningBody(effort=effort)


def _blank(body: ResponsesBody, *, keeps: bool) -> Response:
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
        previous_response_id=body.previous_response_id or None,
        store=keeps,
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
        max_tool_calls=body.max_tool_calls,
        prompt_cache_key=body.prompt_cache_key,
        safety_identifier=body.safety_identifier,
        metadata=body.metadata,
        **echoed,
    )
