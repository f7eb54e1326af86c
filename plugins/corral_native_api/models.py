"""The models there are: list, loaded ones, copy, delete."""

import asyncio

from aiohttp import web
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from corral import BadRequest, CorralError, JSONObject, ModelNotFound, ModelRef, StoredModel
from corral.kernel import Kernel
from corral.server import KERNEL
from corral_http.names import required
from corral_native_api.bodies import CopyBody, Named
from corral_native_api.chunks import Details, Wire, details, moment, reply
from corral_native_api.show import longest_input

_LONGEST_NAME = 600  # of a name that is told back


class ModelRow(Wire, frozen=True, kw_only=True):
    """A row of `tags`."""

    name: str
    model: str
    remote_model: str | UnsetType = UNSET
    remote_host: str | UnsetType = UNSET
    modified_at: str
    size: int
    digest: str
    details: Details
    capabilities: list[str] | UnsetType = UNSET


class LoadedRow(Wire, frozen=True):
    """A row of `ps`."""

    name: str
    model: str
    size: int
    digest: str
    details: Details
    expires_at: str
    size_vram: int
    context_length: int
    activity: JSONObject | UnsetType = UNSET  # Corral's own, on request only


class Models(Wire, frozen=True):
    """/api/tags."""

    models: list[ModelRow]


class LoadedModels(Wire, frozen=True):
    """/api/ps."""

    models: list[LoadedRow]


async def tags(request: web.Request) -> web.Response:
    """GET /api/tags: newest first."""
    kernel = request.app[KERNEL]
    models = await asyncio.to_thread(kernel.store.list)
    return reply(Models(models=[await _row(kernel, model) for model in models]))


async def _row(kernel: Kernel, model: StoredModel) -> ModelRow:
    config = model.config
    known, context_length, embedding_length = set(config.capabilities), config.context_length, config.embedding_length
    quantization = config.quantization
    try:
        description = await kernel.pipeline.describe(model)
    except CorralError:  # no weights, or broken ones: it is listed all the same, so that it can be deleted
        pass
    else:
        known |= description.capabilities
        context_length = context_length or longest_input(model, description)
        embedding_length = embedding_length or description.info.embedding_length
        quantization = quantization if quantization not in ("", "unknown") else description.info.quantization
    return ModelRow(
        name=model.ref.name,
        model=model.ref.name,
        remote_model=config.remote_model or UNSET,
        remote_host=config.remote_host or UNSET,
        modified_at=moment(model.modified_at),
        size=model.size_bytes,
        digest=model.digest,
        details=replace(
            details(config),
            quantization_level=quantization,
            context_length=context_length or UNSET,
            embedding_length=embedding_length or UNSET,
        ),
        capabilities=sorted(known) or UNSET,
    )


async def ps(request: web.Request) -> web.Response:
    """GET /api/ps: the longest remaining life first.  `?verbose=1` adds what each model is doing and has done."""
    verbose = request.query.get("verbose", "") not in ("", "0", "false")
    rows = [
        LoadedRow(
            name=loaded.model.ref.name,
            model=loaded.model.ref.name,
            size=loaded.size_bytes,
            digest=loaded.model.digest,
            details=details(loaded.model.config),
            expires_at=moment(loaded.expires_at),
            size_vram=0,
            context_length=loaded.context_length,
            activity=loaded.activity if verbose else UNSET,
        )
        for loaded in request.app[KERNEL].pool.loaded()
    ]
    return reply(LoadedModels(models=rows))


async def copy(request: web.Request, body: CopyBody) -> web.Response:
    """POST /api/copy: a second name for the same blobs."""
    kernel = request.app[KERNEL]
    source = kernel.store.resolve(_ref(kernel, body.source, 'source "{}" is invalid'))
    destination = kernel.store.resolve(_ref(kernel, body.destination, 'destination "{}" is invalid'))
    if source != destination:
        try:
            await kernel.store.copy(source, destination)
        except ModelNotFound as err:
            raise ModelNotFound(f'model "{body.source}" not found') from err
    return web.Response()


async def delete(request: web.Request, body: Named) -> web.Response:
    """DELETE /api/delete: what is loaded keeps running until it expires."""
    kernel, name = request.app[KERNEL], required(body.target)
    ref = kernel.store.resolve(_ref(kernel, name, 'name "{}" is invalid'))
    try:
        await kernel.store.delete(ref)
    except ModelNotFound as err:
        raise ModelNotFound(f"model '{name}' not found") from err
    return web.Response()


def _ref(kernel: Kernel, text: str, complaint: str) -> ModelRef:
    """Raises BadRequest(complaint about the text)."""
    try:
        return kernel.parse_ref(text)
    except BadRequest as err:
        raise BadRequest(complaint.format(text[:_LONGEST_NAME]), code="invalid_name") from err
