"""POST /api/pull and /api/push: the work is the source's."""

from contextlib import aclosing

from aiohttp import web

from corral import BadRequest, CorralError, ModelNotFound, ModelRef, Progress
from corral.kernel import Kernel
from corral.log import get_logger
from corral.server import KERNEL
from corral_http.names import required
from corral_native_api.bodies import TransferBody
from corral_native_api.progress import Steps, report


async def pull(request: web.Request, body: TransferBody) -> web.StreamResponse:
    """Fetch a model from where its name says."""
    kernel = request.app[KERNEL]
    if not body.target.strip():
        raise BadRequest("invalid model name", code="invalid_name")
    ref = kernel.store.resolve(kernel.parse_ref(body.target))
    return await report(request, _pull(kernel, ref, insecure=body.insecure), streaming=body.stream)


async def _pull(kernel: Kernel, ref: ModelRef, *, insecure: bool) -> Steps:
    """Where no source serves the name, a model that is installed is what there is, and any other is not there."""
    if ref.source not in kernel.sources:
        yield Progress(status="pulling manifest")
        if _is_installed(kernel, ref):
            get_logger("native_api").info("pull.kept_installed", model=ref.name, source=ref.source)
            yield Progress(status=f"nowhere to pull {ref.name} from: the installed model stays")
            yield Progress(status="success")
            return
    async with aclosing(kernel.pull(ref, insecure=insecure)) as steps:
        async for step in steps:
            yield step


def _is_installed(kernel: Kernel, ref: ModelRef) -> bool:
    try:
        kernel.store.get(ref)
    except ModelNotFound:
        return False
    return True


async def push(request: web.Request, body: TransferBody) -> web.StreamResponse:
    """Send a model to where its name says.  A wrong name is told in the stream, as in the reference."""
    kernel, name = request.app[KERNEL], required(body.target)
    return await report(request, _push(kernel, name, insecure=body.insecure), streaming=body.stream)


async def _push(kernel: Kernel, name: str, *, insecure: bool) -> Steps:
    try:
        model = kernel.find(name)
        source = kernel.sources[model.ref.source]
    except CorralError:
        yield Progress(status="retrieving manifest")
        yield Progress(status="couldn't retrieve manifest")
        raise
    async with aclosing(source.push(model.ref, kernel.store, insecure=insecure)) as steps:
        async for step in steps:
            yield step
