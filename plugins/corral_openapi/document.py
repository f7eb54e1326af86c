"""GET /openapi.json: from the tables of all dialects to one document.

A table says what a route takes and gives in the keyword arguments of its `web.RouteDef`:

    body     the type of the request's body; `bytes` for anything at all
    answer   the type of a successful answer; `str` for plain text, absent for none
    streams  the media type of a streamed answer, of whose parts `frames` are the types
    error    the type of an error
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from corral import JSONObject, __version__
from corral.kernel import Kernel
from corral.server import KERNEL

_PARAMETER = re.compile(r"{(\w+)(?::[^{}]*)?}")
_BARE = (bytes, str, dict)  # described by their media type alone


async def described(request: web.Request) -> web.Response:
    """Every route that this server has, with the types it takes and gives."""
    data = msgspec.json.encode(document(request.app[KERNEL]))
    return web.Response(body=data, content_type="application/json", charset="utf-8")


def document(kernel: Kernel) -> JSONObject:
    """The routes of every enabled dialect, OpenAPI 3.1."""
    routes = [(dialect.name, route) for dialect in kernel.routes.values() for route in dialect.table(kernel)]
    kinds = list(dict.fromkeys(kind for _, route in routes for kind in _types(route.kwargs)))
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, JSONObject] = {}
    for dialect, route in routes:
        path = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(dialect, path, route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Corral", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": paths,
        "components": {"schemas": components},
    }


def _types(described: Mapping[str, Any]) -> Iterator[Any]:
    kinds = (described.get("body"), described.get("answer"), described.get("error"), *described.get("frames", ()))
    return (kind for kind in kinds if kind not in (None, *_BARE))


def _operation(dialect: str, path: str, route: web.RouteDef, by_type: Mapping[Any, JSONObject]) -> JSONObject:
    name = re.sub(r"\W+", "_", path).strip("_") or "root"
    operation: JSONObject = {
        "operationId": f"{route.method.lower()}_{name}",
        "tags": [dialect],
        "summary": _summary(route.handler),
        "responses": {"200": {"description": "Done.", **_content(route.kwargs, by_type)}},
    }
    if names := _PARAMETER.findall(path):
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in names
        ]
    if body := route.kwargs.get("body"):
        media = {"application/octet-stream": {}} if body is bytes else {"application/json": {"schema": by_type[body]}}
        operation["requestBody"] = {"required": True, "content": media}
    if error := route.kwargs.get("error"):
        content = {} if route.method == "HEAD" else {"content": {"application/json": {"schema": by_type[error]}}}
        operation["responses"]["default"] = {"description": "What was wrong.", **content}
    return operation


def _content(described: Mapping[str, Any], by_type: Mapping[Any, JSONObject]) -> JSONObject:
    media: JSONObject = {}
    answer = described.get("answer")
    if answer is not None:
        name = "text/plain" if answer is str else "application/json"
        media[name] = {"schema": {"type": "object"} if answer is dict else by_type.get(answer, {"type": "string"})}
    if streams := described.get("streams"):
        frames = [by_type.get(frame, {"type": "object"}) for frame in described["frames"]]
        media[streams] = {"schema": {"type": "string"}, "x-frame": {"anyOf": frames}}
    return {"content": media} if media else {}


def _summary(handler: Callable[..., Any]) -> str:
    """The first line of what the handler says about itself."""
    inner = inspect.unwrap(handler)
    while isinstance(inner, partial):
        inner = inspect.unwrap(inner.func)
    return (inspect.getdoc(inner) or "").partition("\n")[0]
