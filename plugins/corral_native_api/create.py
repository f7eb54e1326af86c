"""POST /api/create: a model from another one, or from uploaded files."""

from aiohttp import web

from corral import BadRequest, Forbidden
from corral.server import KERNEL
from corral_modelfile import CreateRequest
from corral_native_api import fields
from corral_native_api.bodies import CreateBody
from corral_native_api.progress import report


async def create(request: web.Request, body: CreateBody) -> web.StreamResponse:
    """Hand the request to the model builder and tell its progress."""
    kernel = request.app[KERNEL]
    if not body.target.strip():
        raise BadRequest("invalid model name", code="invalid_name")
    if body.remote_host:
        raise Forbidden(
            f"ollama cloud is disabled: no model can be made of one at remote_host {body.remote_host!r:.80}"
        )
    licenses = (body.license,) if isinstance(body.license, str) else body.license
    typed = CreateRequest(
        ref=kernel.store.resolve(kernel.parse_ref(body.target)),
        base=body.from_,
        files=body.files,
        draft_files=body.draft_files,
        adapters=body.adapters,
        template=body.template,
        system=body.system,
        renderer=body.renderer,
        parser=body.parser,
        requires=body.requires,
        licenses=tuple(text for text in licenses if text),
        parameters=body.parameters,
        messages=fields.messages(body.messages),
        quantize=body.quantize or body.quantization,
        draft_quantize=body.draft_quantize,
        info=body.info,
    )
    steps = kernel.service("corral_model_builder").create(typed)
    return await report(request, steps, streaming=body.stream)
