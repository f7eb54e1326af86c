"""openai for Python, asynchronous: several chats at once, a stream, embeddings, a client that leaves."""

import asyncio

from openai import AsyncOpenAI

QUESTIONS = ("What is the capital of France?", "Name a colour.", "Say hi.")


async def ask(client: AsyncOpenAI, question: str) -> str:
    messages = [{"role": "user", "content": question}]
    completion = await client.chat.completions.create(model="smollm2", messages=messages, max_tokens=12, temperature=0)
    return completion.choices[0].message.content


async def main() -> None:
    async with AsyncOpenAI(max_retries=0) as client:
        together = await asyncio.gather(*(ask(client, question) for question in QUESTIONS))
        alone = [await ask(client, question) for question in QUESTIONS]
        assert together == alone
        assert "Paris" in alone[0]

        messages = [{"role": "user", "content": QUESTIONS[0]}]
        stream = await client.chat.completions.create(
            model="smollm2", messages=messages, max_tokens=12, temperature=0, stream=True
        )
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == alone[0]

        endless = await client.chat.completions.create(model="smollm2", messages=messages, stream=True, max_tokens=1500)
        async for chunk in endless:
            if chunk.choices[0].delta.content:
                break
        await endless.close()

        vectors = await client.embeddings.create(model="smollm2", input=["a cat"])
        assert len(vectors.data[0].embedding) == 576

        async with client.responses.stream(
            model="smollm2", input=QUESTIONS[0], temperature=0, max_output_tokens=12
        ) as events:
            async for _ in events:
                """Read to the end."""
            assert (await events.get_final_response()).output_text == alone[0]


asyncio.run(main())
