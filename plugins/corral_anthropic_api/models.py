"""GET /v1/models and /v1/models/{id} for Anthropic's clients: the same paths as OpenAI's, told apart by a header."""

import asyncio
from datetime import UTC, datetime

from aiohttp import web
from msgspec import UNSET, UnsetType

from corral import BadRequest, Handler, ModelNotFound, Routes, StoredModel
from corral.server import HEADERS, KERNEL, gated
from corral_anthropic_api.wire import Wire, reply
from corral_http.names import installed
from corral_http.request_ids import begin_request

VERSION = "anthropic-version"  # the header that all of Anthropic's clients send, and no other
_PATH = "/v1/models"
_MOST = 1000


class ModelWire(Wire, frozen=True, tag="model"):
    """A model; `created_at` is when it was last changed, `max_input_tokens` what it was trained for."""

    id: str
    display_name: str
    created_at: str
    lifecycle: str = "active"
    max_input_tokens: int | UnsetType = UNSET


class ModelPage(Wire, frozen=True):
    """A part of the list, with the ids at its ends."""

    data: list[ModelWire]
    has_more: bool
    first_id: str | None
    last_id: str | None


async def answered(request: web.Request, handler: Handler, dialect: Routes) -> web.StreamResponse:
    """The models in Anthropic's shape, when one of its clients asks for them; else what `handler` says."""
    path, below = request.path, f"{_PATH}/"
    name = path.removeprefix(below) if path.startswith(below) else ""
    if request.method != "GET" or VERSION not in request.headers or not (name or path == _PATH):
        return await handler(request)
    request[HEADERS]["request-id"] = begin_request()

    async def models(request: web.Request) -> web.StreamResponse:
        return reply(await (_one(request, name) if name else _page(request)))

    return await gated(models, dialect)(request)


async def _one(request: web.Request, name: str) -> ModelWire:
    return _shown(await asyncio.to_thread(installed, request.app[KERNEL], name), name)


async def _page(request: web.Request) -> ModelPage:
    """Newest first.  Raises BadRequest for a limit that is none, ModelNotFound for a place that is not in the list."""
    models = await asyncio.to_thread(request.app[KERNEL].store.list)
    shown = [_shown(model, model.ref.name) for model in models]
    limit = _limit(request.query.get("limit", "20"))
    first = _place(shown, request.query["after_id"]) + 1 if "after_id" in request.query else 0
    last = len(shown)
    if "before_id" in request.query:
        last = _place(shown, request.query["before_id"])
        first = max(first, last - limit)
    page = shown[first : min(last, first + limit)]
    has_more = first > 0 if "before_id" in request.query else first + len(page) < last
    ends = (page[0].id, page[-1].id) if page else (None, None)
    return ModelPage(data=page, has_more=has_more, first_id=ends[0], last_id=ends[1])


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= _MOST:
        raise BadRequest(f"limit must be between 1 and {_MOST}")
    return int(text[:9])


def _place(shown: list[ModelWire], name: str) -> int:
    for index, model in enumerate(shown):
        if model.id == name:
            return index
    raise ModelNotFound(f"model '{name[:200]}' not found")


def _shown(model: StoredModel, name: str) -> ModelWire:
    changed = datetime.fromtimestamp(int(model.modified_at), UTC)
    return ModelWire(
        id=name,
        display_name=model.ref.name,
        created_at=f"{changed:%Y-%m-%dT%H:%M:%SZ}",
        max_input_tokens=model.config.context_length or UNSET,
    )
