"""From a typed request to pieces of an answer: find the model, lease it, and run generation inside the interceptors."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from corral import protocols, types

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Pipeline:
    """What dialects call.  Every method raises CorralErrors; closing a stream stops its work within one step."""

    def __init__(self, kernel: "Kernel") -> None:
        self.kernel = kernel

    @property
    def generation(self) -> protocols.Generation:
        """How prompts are made and answers read.  Raises Unsupported when its plugin is disabled."""
        generation: protocols.Generation = self.kernel.service("corral_generation")
        return generation

    async def describe(self, model: types.StoredModel) -> protocols.Description:
        """Header, template and capabilities, read off the event loop."""
        return await asyncio.to_thread(self.generation.describe, model)

    async def prepare(
        self, request: types.ChatRequest, model: types.StoredModel
    ) -> tuple[types.ChatRequest, protocols.Description]:
        """Check what the model must be able to do; fill in what the request leaves to it.  Raises BadRequest."""
        return self.generation.prepare(request, await self.describe(model))

    async def chat(self, request: types.ChatRequest) -> types.Pieces:
        """Answer a chat or a completion.  The last piece carries `done_reason` and `usage`."""
        began = time.perf_counter_ns()
        model = self.kernel.find(request.model)
        ready, what = await self.prepare(request, model)
        async with self.kernel.pool.lease(model, request.keep_alive_s) as resident:
            load_ns, resident.num_ctx = time.perf_counter_ns() - began, ready.options.num_ctx
            innermost = partial(self.generation.generate, what=what, resident=resident, load_ns=load_ns)
            call: types.Generate = innermost
            for interceptor in reversed([*self.kernel.interceptors.values()]):
                call = partial(_wrapped, interceptor, call)
            async with aclosing(call(ready)) as pieces:
                async for piece in pieces:
                    if piece.usage is not None:
                        usage = replace(piece.usage, total_ns=time.perf_counter_ns() - began)
                        piece = replace(piece, usage=usage)
                    yield piece

    async def render_only(self, request: types.ChatRequest) -> types.Rendered:
        """The prompt that `chat` would run, whole where `chat` would refuse it for its length."""
        model = self.kernel.find(request.model)
        ready, what = await self.prepare(request, model)
        async with self.tokenizer(model) as tokenizer:
            return await asyncio.to_thread(self.generation.render, ready, what, tokenizer)

    @asynccontextmanager
    async def tokenizer(self, model: types.StoredModel) -> AsyncIterator[protocols.Tokenizer]:
        """The model's tokenizer for as long as the block runs; the model cannot be unloaded meanwhile."""
        async with self.kernel.pool.lease(model) as resident:
            yield resident.tokenizer

    async def load(self, model: types.StoredModel, keep_alive_s: float | None, num_ctx: int = 0) -> int:
        """Load a model (or renew its keep-alive); the time it took in ns."""
        began = time.perf_counter_ns()
        async with self.kernel.pool.lease(model, keep_alive_s) as resident:
            resident.num_ctx = num_ctx or resident.num_ctx
            return time.perf_counter_ns() - began


def _wrapped(interceptor: protocols.Interceptor, call: types.Generate, request: types.ChatRequest) -> types.Pieces:
    return interceptor.wrap(request, call)
