"""POST /api/generate: one prompt, completed."""

from aiohttp import web

from corral import BadRequest, ChatRequest
from corral.server import KERNEL
from corral_http.names import installed
from corral_native_api import fields
from corral_native_api.answers import answer, load, render_only, unload
from corral_native_api.bodies import GenerateBody
from corral_native_api.chunks import generated


async def generate(request: web.Request, body: GenerateBody) -> web.StreamResponse:
    """Complete, or load (empty prompt), or unload (that and keep_alive 0).  The order of checks is the wire's."""
    keep_alive_s, _ = fields.keep_alive(body.keep_alive), fields.think(body.think)
    images, _ = fields.images(body.images), fields.top_logprobs(body.top_logprobs)
    model = installed(request.app[KERNEL], body.model)
    if not body.prompt and keep_alive_s == 0:
        return await unload(request, model, body.model, generated)
    typed = asked(body, images)
    if not body.prompt:
        return await load(request, typed, model, body.model, generated)
    if body.debug_render_only:
        return await render_only(request, typed, body.model, generated)
    return await answer(request, typed, body.model, generated, streaming=body.stream)


def asked(body: GenerateBody, images: tuple[bytes, ...]) -> ChatRequest:
    """The body as the kernel's request.  Raises BadRequest."""
    if body.raw and (body.template or body.system or body.context):
        raise BadRequest("raw mode does not support template, system, or context")
    return ChatRequest(
        model=body.model.strip(),
        prompt=body.prompt,
        suffix=body.suffix,
        system=body.system or None,
        template=body.template or None,
        context=body.context,
        raw=body.raw,
        images=images,
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
