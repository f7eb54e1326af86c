"""ollama for Python: embeddings of a text and of several, sync and async, the older call, and errors."""

import asyncio

import ollama
from ollama import AsyncClient

SKY = "The sky is blue because of rayleigh scattering"
GRASS = "Grass is green because of chlorophyll"


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


one = ollama.embed(model="minilm", input=SKY)
assert one.model == "minilm"
assert one.prompt_eval_count > 5
assert one.total_duration > 0
(vector,) = one.embeddings
assert len(vector) == 384
assert abs(cosine(vector, vector) - 1) < 1e-5

both = ollama.embed(model="minilm", input=[SKY, GRASS, "Why does the sky look blue?"])
assert [len(each) for each in both["embeddings"]] == [384] * 3
sky, grass, question = both.embeddings
assert cosine(sky, vector) > 0.9999
assert cosine(sky, question) > cosine(grass, question) + 0.2

(short,) = ollama.embed(model="minilm", input=SKY, dimensions=64, keep_alive="5m").embeddings
assert len(short) == 64
assert abs(cosine(short, short) - 1) < 1e-5

assert ollama.embed(model="minilm", input=["", SKY], truncate=True).embeddings[1] == sky
assert ollama.embed(model="minilm", input=[]).embeddings == []
assert len(ollama.embed(model="smollm2", input=["", "x"]).embeddings) == 2

assert len(ollama.embeddings(model="minilm", prompt=SKY).embedding) == 384

assert "embedding" in ollama.show("minilm").capabilities
for body, status, words in (
    ({"model": "minilm", "input": [SKY, "word " * 400], "truncate": False}, 400, "input[1]: the input length exceeds"),
    ({"model": "missing", "input": SKY}, 404, "try pulling it first"),
):
    try:
        ollama.embed(**body)
    except ollama.ResponseError as err:
        assert (err.status_code, words in err.error) == (status, True), err
    else:
        raise AssertionError("this cannot be embedded")
try:
    ollama.chat("minilm", messages=[{"role": "user", "content": SKY}])
except ollama.ResponseError as err:
    assert err.error == '"minilm" does not support chat'
else:
    raise AssertionError("an embedding model does not chat")


async def main() -> None:
    client = AsyncClient()
    together = await asyncio.gather(*(client.embed("minilm", [text, SKY]) for text in (GRASS, SKY, "a cat")))
    assert all(cosine(answer.embeddings[1], sky) > 0.9999 for answer in together)
    assert cosine(together[0].embeddings[0], grass) > 0.9999


asyncio.run(main())
