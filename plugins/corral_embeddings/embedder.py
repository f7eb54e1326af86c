"""Lease the model, encode and cut the inputs, run them as one batch, normalise."""

import asyncio
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from corral import AdapterSpec, BadRequest, ContextOverflow, EmbedJob, Tokenizer, Truncated, Unsupported, Usage
from corral_embeddings import BadInput, EmbedRequest, EmbedResult
from corral_embeddings.failures import Failures
from corral_generation.options import options_in_force, within_room
from corral_http.clients import CLIENT

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
        num_ctx = options_in_force(self.kernel, description, request.overrides).num_ctx
        failures = Failures(len(request.inputs), kept=request.partial)
        async with self.kernel.pool.lease(model, request.keep_alive_s) as resident:
            load_ns = time.perf_counter_ns() - began
            runner = resident.required_runner
            limit = resident.num_ctx = within_room(num_ctx, runner)
            encoded = await asyncio.to_thread(encode_all, resident.tokenizer, request, limit, failures)
            inputs = {index: token_ids for index, (token_ids, _) in encoded.items()}
            adapters = tuple(AdapterSpec(path=str(path)) for path in model.adapters)
            job = EmbedJob(inputs=tuple(inputs.values()), adapters=adapters, client=CLIENT.get())
            raw = await runner.embed(job) if inputs else ()
        vectors = await asyncio.to_thread(finish_all, dict(zip(inputs, raw, strict=True)), request, failures)
        count = sum(map(len, inputs.values()))
        before = sum(length for _, length in encoded.values())
        return EmbedResult(
            vectors=vectors,
            prompt_tokens=count,
            usage=Usage(prompt_tokens=count, load_ns=load_ns, total_ns=time.perf_counter_ns() - began),
            failed=failures.messages,
            truncated=Truncated(prompt_tokens=before, kept_tokens=count) if count < before else None,
        )


def encode_all(
    tokenizer: Tokenizer, request: EmbedRequest, limit: int, failures: Failures
) -> dict[int, tuple[tuple[int, ...], int]]:
    """What `encode` makes of every input that can be embedded, by its index."""
    encoded = {}
    for index, text in enumerate(request.inputs):
        with failures.of(index):
            encoded[index] = encode(tokenizer, text, limit, truncate=request.truncate)
    return encoded


def encode(
    tokenizer: Tokenizer, text: str | Sequence[int], limit: int, *, truncate: bool
) -> tuple[tuple[int, ...], int]:
    """Token ids of one input, at most `limit`, and how many it had; a long one is cut before the EOS that is added.

    What has no token of its own (an empty text, where the tokenizer adds nothing) is the token that begins a text.
    Raises BadRequest.
    """
    token_ids = tokenizer.encode(text, add_special=True) if isinstance(text, str) else list(text)
    token_ids = token_ids or [token_id for token_id in (tokenizer.bos_id,) if token_id >= 0]
    token_ids = token_ids or sorted(tokenizer.eog_ids)[:1]
    if not token_ids:
        raise BadInput("an empty text cannot be embedded: the model has no token that begins or ends one")
    if not isinstance(text, str) and not 0 <= min(token_ids) <= max(token_ids) < tokenizer.vocab_size:
        wrong = next(each for each in token_ids if not 0 <= each < tokenizer.vocab_size)
        raise BadInput(f"token id {wrong} is not in the vocabulary of {tokenizer.vocab_size} tokens")
    if len(token_ids) <= limit:
        return tuple(token_ids), len(token_ids)
    if not truncate:
        raise ContextOverflow("the input length exceeds the context length")
    if limit - int(tokenizer.adds_bos) - int(tokenizer.adds_eos) <= 0:
        raise BadRequest("input after truncation exceeds maximum context length")
    end = token_ids[-1:] if tokenizer.adds_eos and isinstance(text, str) else []
    return tuple(token_ids[: limit - len(end)] + end), len(token_ids)


def finish_all(
    raw: dict[int, Sequence[float]], request: EmbedRequest, failures: Failures
) -> tuple[tuple[float, ...], ...]:
    """A vector for every input as it was asked for; an empty one where `raw` has none, or none that is finite."""
    vectors: list[tuple[float, ...]] = [()] * len(request.inputs)
    for index, vector in raw.items():
        with failures.of(index):
            vectors[index] = finish(vector, request.dimensions, normalize=request.normalize)
    return tuple(vectors)


def finish(vector: Sequence[float], dimensions: int, *, normalize: bool) -> tuple[float, ...]:
    """The first `dimensions` components (0: all) at unit length; a zero vector stays zero.

    Raises BadRequest for NaN and Inf.
    """
    if not all(map(math.isfinite, vector)):
        raise BadRequest("embedding contains NaN or Inf values")
    short = vector[:dimensions] if 0 < dimensions < len(vector) else vector
    norm = math.sqrt(math.fsum(x * x for x in short)) if normalize else 0.0
    return tuple(x / norm for x in short) if norm else tuple(short)
