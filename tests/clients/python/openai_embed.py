"""openai for Python: embeddings as base64 (its default) and as numbers, in batches, shortened, and errors."""

import asyncio

import openai
from openai import AsyncOpenAI, OpenAI

TEXTS = ["The cat sat on the mat.", "A kitten rests on a rug.", "Shares fell on Monday."]


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


client = OpenAI(max_retries=0)
response = client.embeddings.create(model="minilm", input=TEXTS)
assert (response.object, response.model) == ("list", "minilm")
assert [row.index for row in response.data] == [0, 1, 2]
assert response.usage.total_tokens == response.usage.prompt_tokens > 15
cat, kitten, shares = (row.embedding for row in response.data)
assert len(cat) == 384
assert cosine(cat, kitten) > cosine(cat, shares) + 0.2

plain = client.embeddings.create(model="minilm", input=TEXTS[0], encoding_format="float").data[0].embedding
assert max(abs(a - b) for a, b in zip(plain, cat, strict=True)) < 1e-6
short = client.embeddings.create(model="minilm", input=TEXTS[0], dimensions=128, user="u").data[0].embedding
assert len(short) == 128
assert abs(cosine(short, short) - 1) < 1e-5
assert len(client.embeddings.create(model="minilm", input="").data[0].embedding) == 384
by_ids = client.embeddings.create(model="minilm", input=[[101, 4937, 102], [101, 102]])
assert by_ids.usage.prompt_tokens == 5

many = client.embeddings.create(model="minilm", input=[f"sentence number {n}" for n in range(300)])
assert len(many.data) == 300
assert all(len(row.embedding) == 384 for row in many.data)

partly = client.embeddings.create(
    model="minilm", input=[TEXTS[0], "word " * 400], extra_body={"truncate": False, "partial": True}
)
assert [len(row.embedding) for row in partly.data] == [384, 0]
assert partly.data[1].error == "the input length exceeds the context length"

for body, kind, param in (
    ({"model": "missing", "input": "x"}, openai.NotFoundError, None),
    ({"model": "minilm", "input": []}, openai.BadRequestError, None),
    ({"model": "minilm", "input": ["x"], "extra_body": {"input": ["x", {}]}}, openai.BadRequestError, "input[1]"),
):
    try:
        client.embeddings.create(**body)
    except kind as err:
        assert err.param == param, err
    else:
        raise AssertionError("this cannot be embedded")


async def main() -> None:
    async with AsyncOpenAI(max_retries=0) as asynchronous:
        asked = [asynchronous.embeddings.create(model="minilm", input=text) for text in TEXTS]
        for answer, expected in zip(await asyncio.gather(*asked), (cat, kitten, shares), strict=True):
            assert cosine(answer.data[0].embedding, expected) > 0.9999


asyncio.run(main())
