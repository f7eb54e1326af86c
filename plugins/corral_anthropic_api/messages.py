"""POST /v1/messages: the next turn, streamed or whole.  POST /v1/messages/count_tokens: how long the prompt is."""

from collections.abc import Sequence
from contextlib import aclosing

from aiohttp import web
from msgspec.structs import replace

from corral import BadRequest, ChatRequest
from corral.kernel import Kernel
from corral.server import KERNEL, stream
from corral_anthropic_api import blocks, fields, refusals
from corral_anthropic_api.answers import Answer
from corral_anthropic_api.bodies import MessagesBody
from corral_anthropic_api.context import edited
from corral_anthropic_api.conversation import Turn, conversation
from corral_anthropic_api.estimate import estimated_tokens
from corral_anthropic_api.events import late_error
from corral_anthropic_api.wire import CountWire, reply
from corral_http.names import installed, required


async def create(request: web.Request, body: MessagesBody, ping_s: float, *, skips_server: bool) -> web.StreamResponse:
    """Answer."""
    turns = _turns(body)
    typed = await _typed(request.app[KERNEL], body, turns, least_tokens=1, skips_server=skips_server)
    tells_cache = _marks_cache(body, turns)
    answer = Answer(request, typed, body.model, estimated_tokens(body, turns), tells_cache=tells_cache)
    if body.stream:
        frames = answer.frames(ping_s)
        return await stream(request, frames, content_type="text/event-stream", late_error=late_error)
    async with aclosing(request.app[KERNEL].pipeline.chat(typed)) as pieces:
        return reply(answer.whole([piece async for piece in pieces]))


async def count_tokens(request: web.Request, body: MessagesBody, *, skips_server: bool) -> web.Response:
    """The tokens of the rendered prompt, also when it is longer than the context; a `compaction` would not count."""
    body = replace(body, compaction=None)
    typed = await _typed(request.app[KERNEL], body, _turns(body), least_tokens=0, skips_server=skips_server)
    rendered = await request.app[KERNEL].pipeline.render_only(typed)
    return reply(CountWire(input_tokens=len(rendered.token_ids)))


def _turns(body: MessagesBody) -> list[Turn]:
    """Role and blocks of each message, without the thinking that the client wants cleared."""
    if len(body.messages) > blocks.MAX_ITEMS:
        raise BadRequest(f"{len(body.messages)} messages; at most {blocks.MAX_ITEMS} are served")
    turns = [
        (message.role, blocks.decode(message.content, f"messages[{index}].content"))
        for index, message in enumerate(body.messages)
    ]
    return edited(turns, body.context_management)


async def _typed(
    kernel: Kernel, body: MessagesBody, turns: Sequence[Turn], *, least_tokens: int, skips_server: bool
) -> ChatRequest:
    """The request.  The order of checks is the wire's.  Raises BadRequest, ModelNotFound, Forbidden."""
    name = required(body.model)
    refusals.refuse(body)
    if body.max_tokens < least_tokens:
        raise BadRequest("max_tokens is required and must be positive")
    if not turns:
        raise BadRequest("messages is required")
    messages, tools = conversation(turns), fields.tools(body.tools, body.tool_choice, skips_server=skips_server)
    typed = ChatRequest(
        model=name,
        messages=(*blocks.system(body.system), *messages),
        tools=tools,
        tool_choice=fields.tool_choice(body.tool_choice, tools),
        max_tool_calls=int(body.tool_choice.disable_parallel_tool_use),
        think=fields.think(body),
        thinking_tokens=body.thinking.budget_tokens or -1,
        constraint=fields.constraint(body),
        overrides=fields.overrides(body),
        truncate=body.truncate,
        strict_context=not body.truncate,
    )
    model = installed(kernel, typed.model)
    if typed.think:  # asked of a model that cannot, it means nothing
        what = await kernel.pipeline.describe(model)
        return typed if "thinking" in what.capabilities else replace(typed, think=None)
    return typed


def _marks_cache(body: MessagesBody, turns: Sequence[Turn]) -> bool:
    """Whether the client says anywhere what to cache."""
    system = body.system if isinstance(body.system, list) else ()
    marks = [
        body.cache_control,
        *(block.get("cache_control") for block in system if isinstance(block, dict)),
        *(tool.cache_control for tool in body.tools),
        *(block.cache_control for _, content in turns for block in content),
    ]
    return any(mark is not None for mark in marks)
