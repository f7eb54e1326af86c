"""Putting a model into a store, part by part, whatever the store."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec.structs import replace

from corral import Layer, Message, ModelConfig, Store, StoredModel
from corral.kernel import Kernel

PREFIX = "application/vnd.ollama.image."


async def add_blob(store: Store, data: bytes, media_type: str = "") -> Layer:
    """The blob's layer."""

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return replace(await store.put(chunks()), media_type=media_type)


async def add_model(
    kernel: Kernel,
    name: str,
    weights: bytes = b"",
    *,
    template: str = "",
    system: str = "",
    parameters: dict[str, Any] | None = None,
    messages: Sequence[Message] = (),
    licenses: Sequence[str] = (),
    config: ModelConfig | None = None,
) -> StoredModel:
    """A model of these parts, as `create` would save it."""
    spoken = [{"role": message.role, "content": message.content} for message in messages]
    texts = [
        ("template", template),
        ("system", system),
        ("params", json.dumps(parameters) if parameters else ""),
        ("messages", json.dumps(spoken) if spoken else ""),
        *(("license", text) for text in licenses),
    ]
    parts = [("model", weights), *((kind, text.encode()) for kind, text in texts)]
    layers = [await add_blob(kernel.store, data, PREFIX + kind) for kind, data in parts if data]
    return await kernel.store.save(kernel.parse_ref(name), config or ModelConfig(), layers)
