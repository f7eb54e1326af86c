"""From the body of a request to ranked documents, in the shapes clients know."""

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from corral import JSON, BadRequest, JSONObject, Truncated
from corral.server import FACTS, KERNEL
from corral_http.decoding import Decoder, read_body
from corral_http.error_objects import ErrorObject
from corral_http.names import required
from corral_rerank.plugin import Plugin
from corral_rerank.reranker import Query, rerank


class RerankBody(msgspec.Struct, frozen=True, kw_only=True):
    """The request.  A document is a text, or an object with one in `text`; `return_documents` sends them back."""

    model: str = ""
    query: JSON = None
    documents: tuple[JSON, ...] = ()
    top_n: int | None = None
    return_documents: bool = False
    truncate: bool = True
    truncation: bool = True
    max_tokens_per_doc: int = 0
    options: JSONObject = {}


class Document(msgspec.Struct, frozen=True):
    """A document as it is sent back."""

    text: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A document's place in the request and its relevance: near 1 is relevant, near 0 is not."""

    index: int
    relevance_score: float
    document: Document | UnsetType = UNSET


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The most relevant first.  `method` says how they were scored: "reranker" or "embedding".

    `truncated` is there when a text was cut to fit.
    """

    id: str
    object: str = "list"
    model: str
    method: str
    results: list[Result]
    usage: dict[str, int]
    meta: JSONObject
    total_duration: int
    load_duration: int
    prompt_eval_count: int
    truncated: Truncated | UnsetType = UNSET


class ErrorWire(msgspec.Struct, frozen=True, kw_only=True):
    """An error: `detail` and `message` for clients of Jina and Cohere, `error` as the dialect of the path has it."""

    error: str | ErrorObject
    message: str
    detail: str


def error_body(message: str, error: str | ErrorObject) -> bytes:
    """The body of an error."""
    return _ENCODER.encode(ErrorWire(error=error, message=message, detail=message))


_BODY = Decoder(RerankBody)
_ENCODER = msgspec.json.Encoder()


def table(config: Plugin.Config, paths: Sequence[str]) -> Sequence[web.RouteDef]:
    """The same work at each of `paths`."""

    async def handle(request: web.Request) -> web.Response:
        """The documents, the most relevant to the query first."""
        body = _BODY.decode(await read_body(request, config.max_body_bytes))
        return await _answer(request, body, config.max_documents)

    told: dict[str, Any] = {"body": RerankBody, "answer": Answer, "error": ErrorWire}
    return [web.post(path, handle, **told) for path in paths]


async def _answer(request: web.Request, body: RerankBody, most: int) -> web.Response:
    name = required(body.model)
    query = _text(body.query, "query")
    if not query:
        raise BadRequest("query is required")
    if not body.documents:
        raise BadRequest("documents is required")
    if len(body.documents) > most:
        raise BadRequest(f"{len(body.documents)} documents; at most {most} are served (max_documents of rerank)")
    if body.top_n is not None and body.top_n < 1:
        raise BadRequest("top_n must be at least 1")
    texts = [_text(document, f"documents[{index}]") for index, document in enumerate(body.documents)]
    ranking = await rerank(
        request.app[KERNEL],
        Query(
            model=name,
            query=query,
            documents=tuple(texts),
            truncate=body.truncate and body.truncation,
            max_tokens_per_document=body.max_tokens_per_doc,
            overrides=body.options,
        ),
    )
    usage = ranking.usage
    request[FACTS].update(model=body.model, prompt_tokens=usage.prompt_tokens)
    order = sorted(range(len(texts)), key=lambda index: -ranking.scores[index])[: body.top_n]
    results = [
        Result(
            index=index,
            relevance_score=ranking.scores[index],
            document=Document(texts[index]) if body.return_documents else UNSET,
        )
        for index in order
    ]
    answer = Answer(
        id=str(uuid.uuid4()),
        model=body.model,
        method=ranking.method,
        results=results,
        usage={"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens},
        meta={"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        total_duration=usage.total_ns,
        load_duration=usage.load_ns,
        prompt_eval_count=usage.prompt_tokens,
        truncated=ranking.truncated or UNSET,
    )
    return web.Response(body=_ENCODER.encode(answer), content_type="application/json", charset="utf-8")


def _text(value: JSON, where: str) -> str:
    """A text, or the text of an object.  Raises BadRequest naming `where`."""
    text = value.get("text") if isinstance(value, dict) else value
    if text is None and value is None:
        return ""
    if not isinstance(text, str):
        raise BadRequest(f'{where} must be a string or an object with a "text"')
    return text
