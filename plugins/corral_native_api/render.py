"""POST /api/render: the prompt that a chat or a completion would run, as text and as tokens; nothing is generated."""

from aiohttp import web
from msgspec import UNSET, UnsetType

from corral import Truncated
from corral.server import KERNEL
from corral_http.names import installed, required
from corral_native_api import chat, fields, generate
from corral_native_api.bodies import RenderBody
from corral_native_api.chunks import Wire, reply


class RenderedWire(Wire, frozen=True):
    """The prompt; `truncated` when messages are left out so that it fits."""

    model: str
    prompt: str
    tokens: tuple[int, ...]
    count: int
    truncated: Truncated | UnsetType = UNSET


async def render(request: web.Request, body: RenderBody) -> web.Response:
    """Takes what /api/chat or /api/generate takes.  A prompt that is too long is shown whole."""
    kernel = request.app[KERNEL]
    installed(kernel, required(body.model))
    if body.messages:
        typed = chat.asked(body, fields.messages(body.messages))
    else:
        typed = generate.asked(body, fields.images(body.images))
    rendered = await kernel.pipeline.render_only(typed)
    return reply(
        RenderedWire(
            model=body.model,
            prompt=rendered.text,
            tokens=rendered.token_ids,
            count=len(rendered.token_ids),
            truncated=rendered.truncated or UNSET,
        )
    )
