"""anthropic for Python: messages, streaming, the stream helper, tools, counting, errors, structured output."""

import json

import anthropic
from anthropic import Anthropic

QUESTION = {"role": "user", "content": "What is the capital of France?"}
TOOL = {
    "name": "get_weather",
    "description": "Get the current weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

client = Anthropic()

message = client.messages.create(max_tokens=16, messages=[QUESTION], model="smollm2")
assert message.id.startswith("msg_")
assert (message.type, message.role, message.model) == ("message", "assistant", "smollm2")
(block,) = message.content
assert block.type == "text"
assert "Paris" in block.text
assert message.stop_reason in ("end_turn", "max_tokens")
assert message.usage.output_tokens > 0 < message.usage.input_tokens
assert message._request_id.startswith("req_")

counted = client.messages.count_tokens(model="smollm2", messages=[QUESTION])
assert counted.input_tokens == message.usage.input_tokens

stream = client.messages.create(max_tokens=16, messages=[QUESTION], model="smollm2", stream=True)
events = list(stream)
assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]
deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
assert "".join(deltas) == block.text
assert len(deltas) > 2

with client.messages.stream(max_tokens=16, messages=[QUESTION], model="smollm2") as stream:
    assert "".join(stream.text_stream) == block.text
    final = stream.get_final_message()
assert final.content[0].text == block.text
assert final.stop_reason == message.stop_reason
assert final.usage.output_tokens == message.usage.output_tokens

raw = client.messages.with_raw_response.create(max_tokens=4, messages=[QUESTION], model="smollm2")
assert raw.headers["request-id"].startswith("req_")
assert raw.parse().stop_reason == "max_tokens"

numbers = client.messages.create(
    max_tokens=32,
    messages=[{"role": "user", "content": "Count: 1, 2, 3, 4, 5, 6, 7, 8, 9."}],
    system=[{"type": "text", "text": "You count.", "cache_control": {"type": "ephemeral"}}],
    stop_sequences=["5"],
    extra_body={"temperature": 0},
    model="smollm2",
)
assert numbers.usage.cache_read_input_tokens is not None
if numbers.stop_reason == "stop_sequence":
    assert numbers.stop_sequence == "5"

weather = [{"role": "user", "content": "What is the weather in Oslo?"}]

asked = client.messages.create(max_tokens=64, messages=weather, tools=[TOOL], model="smollm2-tools")
assert asked.stop_reason == "tool_use"
call = next(block for block in asked.content if block.type == "tool_use")
assert (call.name, call.input) == ("get_weather", {"city": "Oslo"})

with client.messages.stream(max_tokens=64, messages=weather, tools=[TOOL], model="smollm2-tools") as stream:
    final = stream.get_final_message()
assert final.stop_reason == "tool_use"
assert final.content[-1].input == call.input

result = {"type": "tool_result", "tool_use_id": call.id, "content": "11 degrees and rain"}
followed = [*weather, {"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
told = client.messages.create(max_tokens=32, messages=followed, tools=[TOOL], model="smollm2-tools")
assert told.usage.input_tokens > asked.usage.input_tokens

forced = client.messages.create(
    max_tokens=64,
    messages=[QUESTION],
    tools=[TOOL],
    tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
    model="smollm2-tools",
)
(call,) = (block for block in forced.content if block.type == "tool_use")
assert list(call.input) == ["city"]

schema = {"type": "object", "properties": {"capital": {"type": "string", "maxLength": 20}}, "required": ["capital"]}
shaped = client.messages.create(
    max_tokens=64,
    messages=[QUESTION],
    output_config={"format": {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}},
    model="smollm2",
)
assert list(json.loads(shaped.content[0].text)) == ["capital"]

try:
    client.messages.create(max_tokens=16, messages=[QUESTION], model="does-not-yet-exist")
except anthropic.NotFoundError as err:
    assert err.status_code == 404
    assert err.body["error"] == {"type": "not_found_error", "message": "model 'does-not-yet-exist' not found"}
    assert err.request_id == err.body["request_id"]
else:
    raise AssertionError("a missing model must be an error")

models = client.models.list(limit=2)
assert len(models.data) == 2
assert models.has_next_page()
assert {"smollm2:latest", "minilm:latest"} <= {model.id for model in models}  # goes on to the next pages
found = client.models.retrieve("smollm2")
assert (found.id, found.display_name, found.type) == ("smollm2", "smollm2:latest", "model")
assert found.created_at.year >= 2024

params = {"max_tokens": 16, "messages": [QUESTION], "model": "smollm2"}
try:
    client.messages.batches.create(requests=[{"custom_id": "a", "params": params}])
except anthropic.NotFoundError as err:
    assert "batches are not served" in str(err), err
else:
    raise AssertionError("batches must be refused by name")
try:
    story = [{"role": "user", "content": "Tell me a very long story about a dragon and a knight."}]
    hasty = client.with_options(timeout=0.2, max_retries=0)
    hasty.messages.create(max_tokens=1500, messages=story, model="smollm2")
except anthropic.APITimeoutError as err:
    assert err.__cause__ is not None
else:
    raise AssertionError("a long story does not come in 0.2 s")
assert client.with_options(max_retries=5).messages.create(**params).content[0].text == block.text

image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
try:
    client.messages.create(max_tokens=16, messages=[{"role": "user", "content": [image]}], model="smollm2")
except anthropic.BadRequestError as err:
    assert "does not support vision" in str(err)
else:
    raise AssertionError("a model without eyes must say so")
