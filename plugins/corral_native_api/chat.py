"""POST /api/chat: the next turn of a conversation."""

from aiohttp import web

from corral import ChatRequest, Message
from corral.server import KERNEL
from corral_http.names import installed, required
from corral_native_api import fields
from corral_native_api.answers import answer, load, render_only, unload
from corral_native_api.bodies import ChatBody, RenderBody
from corral_native_api.chunks import chatted


async def chat(request: web.Request, body: ChatBody) -> web.StreamResponse:
    """Answer, or load (no messages), or unload (that and keep_alive 0).  The order of checks is the wire's."""
    keep_alive_s, _ = fields.keep_alive(body.keep_alive), fields.think(body.think)
    messages, _ = fields.messages(body.messages), fields.top_logprobs(body.top_logprobs)
    model = installed(request.app[KERNEL], required(body.model))
    if not messages and keep_alive_s == 0:
        return await unload(request, model, body.model, chatted)
    typed = asked(body, messages)
    if not messages:
        return await load(request, typed, model, body.model, chatted)
    if body.debug_render_only:
        return await render_only(request, typed, body.model, chatted)
    return await answer(request, typed, body.model, chatted, streaming=body.stream)


def asked(body: ChatBody | RenderBody, messages: tuple[Message, ...]) -> ChatRequest:
    """The body as the kernel's request.  Raises BadRequest."""
    return ChatRequest(
        model=body.model.strip(),
        messages=messages,
        tools=fields.tools(body.tools),
        think=fields.think(body.think),
        thinking_tokens=-1 if body.thinking_budget is None else body.thinking_budget,
        constraint=fields.constraint(body.format),
        overrides=fields.options(body.options),
        keep_alive_s=fields.keep_alive(body.keep_alive),
        logprobs=body.logprobs,
        top_logprobs=fields.top_logprobs(body.top_logprobs),
        truncate=body.truncate,
        shift=body.shift,
    )
