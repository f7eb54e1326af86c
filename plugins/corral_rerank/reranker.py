"""Scores: by the model's own head for a reranker, by the angle between two embeddings for any other model."""

import asyncio
import math
import time
from typing import TYPE_CHECKING

from corral import (
    AdapterSpec,
    BadRequest,
    Description,
    EmbedJob,
    JSONObject,
    StoredModel,
    Tokenizer,
    Truncated,
    Usage,
    Value,
)
from corral_generation.options import options_in_force, within_room
from corral_http.clients import CLIENT

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Query(Value, frozen=True):
    """What is asked.  Too long a document is cut at its end, or refused; `max_tokens_per_document` 0: no bound."""

    model: str
    query: str
    documents: tuple[str, ...]
    truncate: bool = True
    max_tokens_per_document: int = 0
    overrides: JSONObject = {}


class Ranking(Value, frozen=True):
    """A score between 0 and 1 a document (by embedding: -1 … 1), in their order, and how it was found.

    `truncated` is there when a text was cut to fit: the tokens of all that is scored before and after.
    """

    scores: tuple[float, ...]
    method: str
    usage: Usage
    truncated: Truncated | None = None


async def rerank(kernel: "Kernel", asked: Query) -> Ranking:
    """Raises BadRequest, ModelNotFound, Unsupported."""
    model = kernel.find(asked.model)
    what = await kernel.pipeline.describe(model)
    return await (_by_head(kernel, asked, model, what) if "rerank" in what.capabilities else _by_angle(kernel, asked))


async def _by_head(kernel: "Kernel", asked: Query, model: StoredModel, what: Description) -> Ranking:
    began = time.perf_counter_ns()
    num_ctx = options_in_force(kernel, what, asked.overrides).num_ctx
    doubled = what.info.metadata.get("tokenizer.ggml.model") != "bert"
    async with kernel.pool.lease(model) as resident:
        load_ns = time.perf_counter_ns() - began
        limit = resident.num_ctx = within_room(num_ctx, resident.required_runner)
        pairs, before = await asyncio.to_thread(_pairs, resident.tokenizer, asked, limit, doubled=doubled)
        adapters = tuple(AdapterSpec(path=str(path)) for path in model.adapters)
        job = EmbedJob(inputs=pairs, adapters=adapters, client=CLIENT.get())
        vectors = await resident.required_runner.embed(job)
    scores = tuple(sigmoid(vector[0]) for vector in vectors)
    count = sum(map(len, pairs))
    usage = Usage(prompt_tokens=count, load_ns=load_ns, total_ns=time.perf_counter_ns() - began)
    truncated = Truncated(prompt_tokens=before, kept_tokens=count) if count < before else None
    return Ranking(scores=scores, method="reranker", usage=usage, truncated=truncated)


def _pairs(tokenizer: Tokenizer, asked: Query, limit: int, *, doubled: bool) -> tuple[tuple[tuple[int, ...], ...], int]:
    """All pairs, and how many tokens they would have without a cut."""
    made = [pair(tokenizer, asked, text, limit, doubled=doubled) for text in asked.documents]
    return tuple(token_ids for token_ids, _ in made), sum(before for _, before in made)


def pair(
    tokenizer: Tokenizer, asked: Query, document: str, limit: int, *, doubled: bool
) -> tuple[tuple[int, ...], int]:
    """[CLS] query [SEP] document [SEP]; models of RoBERTa's kind separate with two, `doubled`.

    Beside it the tokens it would have if all of the document fitted (a bound that was asked for is no cut).

    Raises BadRequest when it does not fit and may not be cut, or when the query alone fills the context.
    """
    head = tokenizer.encode(asked.query, add_special=True)
    tail = tokenizer.encode(document, add_special=True)
    body = tail[int(tokenizer.adds_bos) :]
    end = body[-1:] if tokenizer.adds_eos else []
    text = body[: len(body) - len(end)]
    if asked.max_tokens_per_document > 0:
        text = text[: asked.max_tokens_per_document]
    between = end if doubled else []
    room = limit - len(head) - len(between) - len(end)
    if room < 1:
        raise BadRequest(f"the query has {len(head)} tokens and leaves no room for a document in a context of {limit}")
    if len(text) > room and not asked.truncate:
        raise BadRequest("the input length exceeds the context length")
    before = len(head) + len(between) + len(text) + len(end)
    return (*head, *between, *text[:room], *end), before


def sigmoid(x: float) -> float:
    """A logit as a probability, without overflow.  Raises BadRequest for NaN."""
    if math.isnan(x):
        raise BadRequest("the model gave a score that is not a number")
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


async def _by_angle(kernel: "Kernel", asked: Query) -> Ranking:
    """Cosines.  The embedder gives vectors of unit length."""
    from corral_embeddings import EmbedRequest

    request = EmbedRequest(
        model=asked.model,
        inputs=(asked.query, *asked.documents),
        truncate=asked.truncate,
        partial=True,
        overrides=asked.overrides,
    )
    result = await kernel.service("corral_embedder").embed(request)
    for index, message in result.failed.items():
        raise BadRequest(f"{f'documents[{index - 1}]' if index else 'query'}: {message}")
    query, *documents = result.vectors
    scores = tuple(math.fsum(a * b for a, b in zip(query, vector, strict=True)) for vector in documents)
    return Ranking(scores=scores, method="embedding", usage=result.usage, truncated=result.truncated)
