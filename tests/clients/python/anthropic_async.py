"""anthropic for Python, asynchronous: several at once, streaming, leaving in the middle."""

import asyncio

from anthropic import AsyncAnthropic

QUESTION = {"role": "user", "content": "What is the capital of France?"}


async def main() -> None:
    async with AsyncAnthropic() as client:
        asked = [client.messages.create(max_tokens=16, messages=[QUESTION], model="smollm2") for _ in range(3)]
        texts = {message.content[0].text for message in await asyncio.gather(*asked)}
        assert len(texts) == 1
        assert "Paris" in texts.pop()

        stream = await client.messages.create(max_tokens=16, messages=[QUESTION], model="smollm2", stream=True)
        kinds = [event.type async for event in stream]
        assert kinds[:2] == ["message_start", "content_block_start"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]

        async with client.messages.stream(max_tokens=1000, messages=[QUESTION], model="smollm2") as helper:
            async for text in helper.text_stream:
                assert text
                break

        async with client.messages.stream(max_tokens=16, messages=[QUESTION], model="smollm2") as helper:
            parts = [text async for text in helper.text_stream]
            final = await helper.get_final_message()
        assert "".join(parts) == final.content[0].text


asyncio.run(main())
