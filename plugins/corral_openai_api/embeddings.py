"""POST /v1/embeddings: texts, or their token ids, to vectors."""

import array
import base64
import sys

from aiohttp import web
from msgspec import UNSET, UnsetType

from corral import JSON, BadRequest, Truncated
from corral.server import FACTS, KERNEL
from corral_embeddings import BadInput, EmbedRequest
from corral_http.names import NOT_PULLED, installed
from corral_openai_api import fields
from corral_openai_api.bodies import EmbeddingsBody
from corral_openai_api.errors import FieldError
from corral_openai_api.wire import Wire, reply

_FORMATS = ("float", "base64")


class EmbeddingWire(Wire, frozen=True):
    """One input's vector: numbers, or base64 over little-endian float32; with an `error` no numbers at all."""

    object: str
    embedding: tuple[float, ...] | str
    index: int
    error: str | UnsetType = UNSET


class EmbedUsage(Wire, frozen=True):
    """Tokens of all inputs."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(Wire, frozen=True):
    """All vectors, in the order of the inputs; `truncated` when one of these was cut."""

    object: str
    data: list[EmbeddingWire]
    model: str
    usage: EmbedUsage
    truncated: Truncated | UnsetType = UNSET


async def embeddings(request: web.Request, body: EmbeddingsBody) -> web.Response:
    """One vector of unit length an input."""
    encoding = body.encoding_format.lower()
    if encoding not in _FORMATS:
        text = f"Invalid value for 'encoding_format' = {body.encoding_format}. Supported values: ['float', 'base64']."
        raise FieldError(text, "encoding_format")
    if body.dimensions < 0:
        raise FieldError("dimensions must not be negative", "dimensions")
    kernel = request.app[KERNEL]
    installed(kernel, body.model, NOT_PULLED)
    overrides = body.options | ({} if body.num_ctx is None else {"num_ctx": body.num_ctx})
    asked = EmbedRequest(
        model=body.model.strip(),
        inputs=inputs(body.input),
        truncate=body.truncate,
        dimensions=body.dimensions,
        partial=body.partial,
        overrides=overrides,
        keep_alive_s=fields.keep_alive(body.keep_alive),
    )
    try:
        result = await kernel.service("corral_embedder").embed(asked)
    except BadInput as err:
        raise FieldError(err.message, "input") from err
    request[FACTS].update(model=body.model, prompt_tokens=result.prompt_tokens)
    rows = [
        EmbeddingWire(
            object="embedding",
            embedding=packed(vector) if vector and encoding == "base64" else vector,
            index=index,
            error=result.failed.get(index, UNSET),
        )
        for index, vector in enumerate(result.vectors)
    ]
    usage = EmbedUsage(prompt_tokens=result.prompt_tokens, total_tokens=result.prompt_tokens)
    truncated = result.truncated or UNSET
    return reply(Embeddings(object="list", data=rows, model=body.model, usage=usage, truncated=truncated))


def inputs(value: JSON) -> tuple[str | tuple[int, ...], ...]:
    """A text, token ids, or a list of either.  Raises BadRequest in the reference's words."""
    if value is None or value == []:
        raise BadRequest("invalid input")
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise BadRequest("invalid input type")
    if _are_ids(value):
        return (tuple(value),)
    fields.bounded(value, "input")
    for index, item in enumerate(value):
        if not (isinstance(item, str) or (isinstance(item, list) and item and _are_ids(item))):
            raise FieldError("invalid input type", f"input[{index}]", "invalid_type")
    return tuple(item if isinstance(item, str) else tuple(item) for item in value)


def _are_ids(items: list[JSON]) -> bool:
    return all(isinstance(item, int) and not isinstance(item, bool) for item in items)


def packed(vector: tuple[float, ...]) -> str:
    """Base64 of the vector as little-endian float32."""
    numbers = array.array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
