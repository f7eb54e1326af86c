"""GET /v1/models and /v1/models/{id}: the models there are."""

import asyncio

from aiohttp import web

from corral import ModelNotFound, StoredModel
from corral.server import KERNEL
from corral_http.names import installed
from corral_openai_api.wire import Wire, reply


class ModelWire(Wire, frozen=True):
    """A model; `owned_by` is the namespace of its name."""

    id: str
    object: str
    created: int
    owned_by: str


class ModelList(Wire, frozen=True):
    """All models."""

    object: str
    data: list[ModelWire]


def _shown(model: StoredModel, name: str) -> ModelWire:
    return ModelWire(id=name, object="model", created=int(model.modified_at), owned_by=model.ref.namespace)


async def models(request: web.Request) -> web.Response:
    """Newest first."""
    stored = await asyncio.to_thread(request.app[KERNEL].store.list)
    return reply(ModelList(object="list", data=[_shown(model, model.ref.name) for model in stored]))


async def model(request: web.Request) -> web.Response:
    """One model, under the name that was asked for; names may hold slashes, as they are or percent-encoded."""
    kernel, name = request.app[KERNEL], request.match_info["model"]
    try:
        found = installed(kernel, name)
    except ModelNotFound as err:
        raise ModelNotFound(f"model '{kernel.parse_ref(name).name}' not found") from err
    return reply(_shown(found, name))
