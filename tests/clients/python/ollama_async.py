"""ollama for Python, asynchronous: chat, a streamed chat, several at once, a stream that is left early, unloading."""

import asyncio

from ollama import AsyncClient

SHORT = {"num_predict": 16, "temperature": 0}
QUESTION = {"role": "user", "content": "What is the capital of France?"}


async def main() -> None:
    client = AsyncClient()
    response = await client.chat(model="smollm2", messages=[QUESTION], options=SHORT)
    assert "Paris" in response.message.content

    text = ""
    async for part in await client.chat(model="smollm2", messages=[QUESTION], stream=True, options=SHORT):
        text += part["message"]["content"]
    assert text == response.message.content

    together = await asyncio.gather(*(client.generate("smollm2", f"Count to {n}.", options=SHORT) for n in range(3, 6)))
    assert all(answer.done and answer.response for answer in together)

    parts = await client.generate("smollm2", "Tell me a long story.", stream=True, options={"ignore_eos": True})
    async for part in parts:
        assert not part.done
        break
    await parts.aclose()

    unloaded = await client.generate("smollm2", keep_alive=0)
    assert unloaded.done_reason == "unload"
    for _ in range(100):
        if "smollm2:latest" not in {model.model for model in (await client.ps()).models}:
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("the model is still loaded: the story's client is gone, so nothing holds it")


asyncio.run(main())
