"""langchain-ollama: OllamaEmbeddings (documents, a query, async)."""

import asyncio

from langchain_ollama import OllamaEmbeddings

embed = OllamaEmbeddings(model="minilm", validate_model_on_init=True, num_ctx=256, keep_alive=300)
vector = embed.embed_query("The meaning of life is 42")
assert len(vector) == 384

documents = embed.embed_documents(["Document 1...", "Document 2..."])
assert [len(each) for each in documents] == [384, 384]
assert documents[0] != documents[1]


async def main() -> None:
    again = await embed.aembed_query("The meaning of life is 42")
    assert max(abs(a - b) for a, b in zip(again, vector, strict=True)) < 1e-5
    assert len(await embed.aembed_documents(["Document 1...", "Document 2..."])) == 2


asyncio.run(main())
