"""Lease the model, encode and cut the inputs, run them as one batch, normalise."""

import asyncio
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from corral import AdapterSpec, BadRequest, ContextOverflow, EmbedJob, Tokenizer, Unsupported, Usage
from corral_embeddings import EmbedRequest, EmbedResult
from corral_generation.options import options_in_force

if TYPE_CHECKING:
    from corral.kernel import Kernel


class PoolEmbedder:
    """The embedder over the kernel's model pool."""

    def __init__(self, kernel: "Kernel") -> None:
        self.kernel = kernel

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """One vector an input, normalised and shortened as asked.  Raises BadRequest, ModelNotFound, Unsupported."""
        began = time.perf_counter_ns()
        model = self.kernel.find(request.model)
        description = await self.kernel.pipeline.describe(model)
        if "rerank" in description.capabilities:
            raise Unsupported(f'"{request.model}" is a reranker: it scores pairs of texts and gives no embeddings')
        limit = options_in_force(self.kernel, description, request.overrides).num_ctx
        async with self.kernel.pool.lease(model, request.keep_alive_s) as resident:
            load_ns = time.perf_counter_ns() - began
            inputs = await asyncio.to_thread(encode_all, resident.tokenizer, request, limit)
            adapters = tuple(AdapterSpec(path=str(path)) for path in model.adapters)
            job = EmbedJob(inputs=inputs, adapters=adapters)
            raw = await resident.required_runner.embed(job) if inputs else ()
        vectors = await asyncio.to_thread(finish_all, raw, request)
        count = sum(map(len, inputs))
        usage = Usage(prompt_tokens=count, load_ns=load_ns, total_ns=time.perf_counter_ns() - began)
        return EmbedResult(vectors=vectors, prompt_tokens=count, usage=usage)


def encode_all(tokenizer: Tokenizer, request: EmbedRequest, limit: int) -> tuple[tuple[int, ...], ...]:
    """Token ids of every input."""
    return tuple(encode(tokenizer, text, limit, truncate=request.truncate) for text in request.inputs)


def encode(tokenizer: Tokenizer, text: str | Sequence[int], limit: int, *, truncate: bool) -> tuple[int, ...]:
    """Token ids of one input, at most `limit`; a long one is cut at its end, before the EOS the tokenizer adds."""
    token_ids = tokenizer.encode(text, add_special=True) if isinstance(text, str) else list(text)
    if len(token_ids) <= limit:
        return tuple(token_ids)
    if not truncate:
        raise ContextOverflow("the input length exceeds the context length")
    if limit - int(tokenizer.adds_bos) - int(tokenizer.adds_eos) <= 0:
        raise BadRequest("input after truncation exceeds maximum context length")
    end = token_ids[-1:] if tokenizer.adds_eos and isinstance(text, str) else []
    return tuple(token_ids[: limit - len(end)] + end)


def finish_all(vectors: Sequence[Sequence[float]], request: EmbedRequest) -> tuple[tuple[float, ...], ...]:
    """Every vector as it was asked for."""
    return tuple(finish(vector, request.dimensions, normalize=request.normalize) for vector in vectors)


def finish(vector: Sequence[float], dimensions: int, *, normalize: bool) -> tuple[float, ...]:
    """The first `dimensions` components (0: all) at unit length; a zero vector stays zero.

    Raises BadRequest for NaN and Inf.
    """
    if not all(map(math.isfinite, vector)):
        raise BadRequest("embedding contains NaN or Inf values")
    short = vector[:dimensions] if 0 < dimensions < len(vector) else vector
    norm = math.sqrt(math.fsum(x * x for x in short)) if normalize else 0.0
    return tuple(x / norm for x in short) if norm else tuple(short)
