"""What is kept of a response, as clients fetch it: the response, its events once more, and what it answered."""

from collections.abc import AsyncGenerator, Sequence

import msgspec
from aiohttp import web

from corral import JSON, JSONObject, ModelNotFound
from corral.server import stream
from corral_openai_api.errors import FieldError, error_event
from corral_openai_api.responses.memory import Kept, Memory
from corral_openai_api.responses.shapes import Deleted, InputItems
from corral_openai_api.wire import SSE, new_id, reply

_PREFIXES = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "function_call_output": "fco_"}
_SWITCH = {"": False, "false": False, "0": False, "true": True, "1": True}
_PAGE, _LARGEST_PAGE = 20, 100


async def retrieve(request: web.Request, memory: Memory) -> web.StreamResponse:
    """GET /v1/responses/{id}; with `stream` its events, all or those after `starting_after`."""
    kept = memory.find(request.match_info["id"])
    asked = request.query.get("stream", "").lower()
    if asked not in _SWITCH:
        raise FieldError("stream must be true or false", "stream", "invalid_type")
    if not _SWITCH[asked]:
        return reply(kept.response)
    first = _number(request, "starting_after", -1, least=0) + 1
    return await stream(request, _again(kept.events[first:]), content_type=SSE, late_error=error_event)


async def _again(events: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    yield b"".join(events)


async def inputs(request: web.Request, memory: Memory) -> web.Response:
    """GET /v1/responses/{id}/input_items: the newest first, in pages."""
    items = list(memory.find(request.match_info["id"]).input)
    order = request.query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise FieldError('order must be "asc" or "desc"', "order")
    if order == "desc":
        items.reverse()
    if after := request.query.get("after", ""):
        ids = [item["id"] for item in items]
        if after not in ids:
            raise FieldError(f"there is no input item {after[:80]!r} here", "after")
        items = items[ids.index(after) + 1 :]
    page = items[: _number(request, "limit", _PAGE, least=1, most=_LARGEST_PAGE)]
    first, last = (str(page[0]["id"]), str(page[-1]["id"])) if page else (None, None)
    return reply(InputItems(data=page, first_id=first, last_id=last, has_more=len(page) < len(items)))


async def delete(request: web.Request, memory: Memory) -> web.Response:
    """DELETE /v1/responses/{id}."""
    memory.forget(request.match_info["id"])
    return reply(Deleted(id=request.match_info["id"], object="response", deleted=True))


async def compact(request: web.Request) -> web.StreamResponse:
    """POST /v1/responses/compact, which is refused by name."""
    raise ModelNotFound('nothing is compacted here: send a shorter input, or truncation "auto"', code="not_found")


def input_items(value: JSON) -> list[JSONObject]:
    """The items of a request's `input`, each with an id and its content as parts.  They have been read before."""
    if isinstance(value, str):
        value = [{"role": "user", "content": value}] if value else []
    return [_item(item) for item in value or () if isinstance(item, dict)]


def heard(before: Kept | None) -> list[JSONObject]:
    """What an earlier response answered, and that answer, for they are input of the response that continues it."""
    if before is None:
        return []
    said = [item for item in msgspec.to_builtins(before.response.output) if isinstance(item, dict)]
    return [*before.input, *said]


def _item(item: JSONObject) -> JSONObject:
    kind = str(item.get("type") or "message")
    given = {key: value for key, value in item.items() if value is not None}
    whole: JSONObject = {"id": new_id(_PREFIXES.get(kind, "item_")), "type": kind, "status": "completed", **given}
    if isinstance(whole.get("content"), str):
        part = "output_text" if item.get("role") == "assistant" else "input_text"
        whole["content"] = [{"type": part, "text": whole["content"]}]
    return whole


def _number(request: web.Request, name: str, default: int, *, least: int, most: int = 1 << 53) -> int:
    """A whole number of the query.  Raises FieldError."""
    text = request.query.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or len(text) > 16 or not least <= int(text) <= most:
        raise FieldError(f"{name} must be a whole number from {least} to {most}", name, "invalid_type")
    return int(text)
