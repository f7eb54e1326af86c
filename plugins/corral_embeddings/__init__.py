"""Embeddings: from texts to vectors, whichever dialect asked.

Dialects reach it as `kernel.service("corral_embedder")`.  Pooling follows the model's own description (mean, first
or last token); normalisation and shortening are those of https://sbert.net (Matryoshka: cut, then normalise again).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from corral import BadRequest, JSONObject, Truncated, Usage, Value, hookspec


class EmbedRequest(Value, frozen=True):
    """Texts (or token ids) to embed.  `dimensions` 0 keeps the model's size; `keep_alive_s` as in ChatRequest.

    An input that cannot be embedded fails the request, or, with `partial`, itself alone.
    """

    model: str
    inputs: Sequence[str | tuple[int, ...]] = ()
    truncate: bool = True
    dimensions: int = 0
    normalize: bool = True
    partial: bool = False
    overrides: JSONObject = {}
    keep_alive_s: float | None = None


class EmbedResult(Value, frozen=True):
    """One vector an input, in input order; `prompt_tokens` is the sum over the inputs.

    `failed` says by index what was wrong with an input (`partial` only); its vector is empty.  `truncated` is there
    when an input was cut: the tokens of all inputs before and after.
    """

    vectors: tuple[tuple[float, ...], ...]
    prompt_tokens: int
    usage: Usage
    failed: Mapping[int, str] = {}
    truncated: Truncated | None = None


class BadInput(BadRequest):
    """An input is nothing that can be embedded, whatever else the request says."""


class Embedder(Protocol):
    """What the hook offers."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Raises BadRequest for an input that is too long and may not be cut, or whose vector is not finite."""


class EmbedderHooks:
    """The hook this plugin publishes."""

    @hookspec(firstresult=True)
    def corral_embedder(self) -> Embedder | None:
        """The one embedder; called by dialects on the event loop, once a request."""


__all__ = ["BadInput", "EmbedRequest", "EmbedResult", "Embedder", "EmbedderHooks"]
