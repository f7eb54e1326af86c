"""POST /api/embed and its forerunner /api/embeddings: texts to vectors."""

from aiohttp import web
from msgspec import UNSET

from corral import JSON, BadRequest
from corral.server import FACTS, KERNEL
from corral_embeddings import EmbedRequest
from corral_http.names import NOT_PULLED, installed, required
from corral_native_api import fields
from corral_native_api.bodies import EmbedBody, EmbeddingsBody
from corral_native_api.chunks import EmbedAnswer, EmbedFailure, OldEmbedAnswer, reply


async def embed(request: web.Request, body: EmbedBody) -> web.Response:
    """One vector of unit length an input; without input the model is loaded."""
    inputs, keep_alive_s = _inputs(body.input), fields.keep_alive(body.keep_alive)
    kernel = request.app[KERNEL]
    model = installed(kernel, body.model, NOT_PULLED)
    if not inputs:
        await kernel.pipeline.load(model, keep_alive_s)
        return reply(EmbedAnswer(model=body.model, embeddings=()))
    result = await kernel.service("corral_embedder").embed(
        EmbedRequest(
            model=body.model.strip(),
            inputs=inputs,
            truncate=body.truncate,
            dimensions=body.dimensions,
            partial=body.partial,
            overrides=fields.options(body.options),
            keep_alive_s=keep_alive_s,
        )
    )
    request[FACTS].update(model=body.model, prompt_tokens=result.prompt_tokens)
    return reply(
        EmbedAnswer(
            model=body.model,
            embeddings=result.vectors,
            errors=[EmbedFailure(index=index, error=text) for index, text in result.failed.items()] or UNSET,
            truncated=result.truncated or UNSET,
            total_duration=result.usage.total_ns or UNSET,
            load_duration=result.usage.load_ns or UNSET,
            prompt_eval_count=result.prompt_tokens or UNSET,
        )
    )


def _inputs(value: JSON) -> tuple[str, ...]:
    """A text or a list of texts; nothing for null, "" and [].  Raises BadRequest."""
    if value is None or value == "":
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadRequest("invalid input type")
    if len(texts) > fields.MAX_ITEMS:
        raise BadRequest(f"{len(texts)} inputs; at most {fields.MAX_ITEMS} are served")
    return tuple(texts)


async def embeddings(request: web.Request, body: EmbeddingsBody) -> web.Response:
    """The model's own vector of one text, neither cut nor scaled; without a prompt the model is loaded."""
    keep_alive_s = fields.keep_alive(body.keep_alive)
    kernel = request.app[KERNEL]
    model = installed(kernel, required(body.model), NOT_PULLED)
    if not body.prompt:
        await kernel.pipeline.load(model, keep_alive_s)
        return reply(OldEmbedAnswer(embedding=()))
    result = await kernel.service("corral_embedder").embed(
        EmbedRequest(
            model=body.model.strip(),
            inputs=(body.prompt,),
            truncate=False,
            normalize=False,
            overrides=fields.options(body.options),
            keep_alive_s=keep_alive_s,
        )
    )
    request[FACTS].update(model=body.model, prompt_tokens=result.prompt_tokens)
    return reply(OldEmbedAnswer(embedding=result.vectors[0]))
