"""litellm: embeddings through its ollama and openai routes, and a rerank."""

import asyncio
import os

import litellm
from litellm import aembedding, embedding

TEXTS = ["A cat sleeps on the sofa.", "Shares fell on Monday."]
NATIVE, OPENAI = os.environ["CORRAL_URL"], f"{os.environ['CORRAL_URL']}/v1"

vectors = {}
for route, base in (("ollama", NATIVE), ("openai", OPENAI)):
    response = embedding(model=f"{route}/minilm", input=TEXTS, api_base=base)
    vectors[route] = [row["embedding"] for row in response.data]
    assert [len(vector) for vector in vectors[route]] == [384, 384], route
    assert response.usage.prompt_tokens > 0
    again = asyncio.run(aembedding(model=f"{route}/minilm", input=TEXTS[:1], api_base=base))
    assert max(abs(a - b) for a, b in zip(again.data[0]["embedding"], vectors[route][0], strict=True)) < 1e-5
    try:
        embedding(model=f"{route}/missing", input=TEXTS, api_base=base, max_retries=0)
    except (litellm.exceptions.APIError, litellm.NotFoundError) as err:
        assert "missing" in str(err), err
    else:
        raise AssertionError("a missing model must be an error")
for ours, theirs in zip(vectors["ollama"], vectors["openai"], strict=True):
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 1e-5

ranked = litellm.rerank(
    model="cohere/minilm", query="Where is the kitten?", documents=TEXTS[::-1], top_n=1, api_base=NATIVE, api_key="x"
)
assert ranked.results[0]["index"] == 1, ranked
