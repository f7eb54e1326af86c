"""openai for Python: chat, streams, tools, structured output, completions, embeddings, models, responses, errors."""

import json

import openai
from openai import OpenAI
from pydantic import BaseModel

QUESTION = {"role": "user", "content": "What is the capital of France?"}
SHORT = {"model": "smollm2", "messages": [QUESTION], "max_tokens": 16, "temperature": 0}
WEATHER = [{"role": "user", "content": "What is the weather in Oslo?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Get the current weather of a city.", "parameters": CITY},
}


class Person(BaseModel):
    """What is to be found in a sentence."""

    name: str
    age: int


client = OpenAI(max_retries=0)

# --- chat ---
completion = client.chat.completions.create(**SHORT)
answer = completion.choices[0].message.content
assert "Paris" in answer
assert completion.id.startswith("chatcmpl-")
assert completion.choices[0].finish_reason in ("stop", "length")
usage = completion.usage
assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
assert usage.prompt_tokens_details.cached_tokens >= 0

stream = client.chat.completions.create(**SHORT, stream=True, stream_options={"include_usage": True})
chunks = list(stream)
assert len(chunks) > 3
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == answer
assert chunks[0].choices[0].delta.role == "assistant"
assert chunks[-1].usage.completion_tokens == usage.completion_tokens
assert chunks[-1].usage.prompt_tokens_details.cached_tokens > 0

with client.chat.completions.stream(**SHORT) as events:
    assert "".join(event.delta for event in events if event.type == "content.delta") == answer
    assert events.get_final_completion().choices[0].message.content == answer

scored = client.chat.completions.create(**SHORT, logprobs=True, top_logprobs=3)
tokens = scored.choices[0].logprobs.content
assert "".join(token.token for token in tokens).startswith(answer[:8])
assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in tokens)
assert tokens[0].token == tokens[0].top_logprobs[0].token
banned = client.chat.completions.create(**SHORT, logit_bias={"504": -100})
assert banned.choices[0].message.content is not None

several = client.chat.completions.create(**{**SHORT, "temperature": 1.0}, n=3, seed=11)
again = client.chat.completions.create(**{**SHORT, "temperature": 1.0}, n=3, seed=11)
texts = [choice.message.content for choice in several.choices]
assert [choice.index for choice in several.choices] == [0, 1, 2]
assert texts == [choice.message.content for choice in again.choices]

# --- structured output ---
found = client.chat.completions.parse(
    model="smollm2",
    messages=[{"role": "user", "content": "Ada is 36 years old. Give her name and age as JSON."}],
    response_format=Person,
    temperature=0,
    max_tokens=64,
)
assert isinstance(found.choices[0].message.parsed, Person), found
loose = client.chat.completions.create(
    model="smollm2",
    messages=[{"role": "user", "content": "Describe a cat as a JSON object with one key."}],
    response_format={"type": "json_object"},
    temperature=0,
    max_tokens=200,
    extra_body={"num_ctx": 1024, "options": {"repeat_penalty": 1.1}},
)
if loose.choices[0].finish_reason == "stop":
    assert isinstance(json.loads(loose.choices[0].message.content), dict)
chosen = client.chat.completions.create(
    **SHORT, extra_body={"response_format": {"type": "choice", "choices": ["London", "Paris"]}}
)
assert chosen.choices[0].message.content in ("London", "Paris")

# --- tools ---
asked = client.chat.completions.create(
    model="smollm2-tools", messages=WEATHER, tools=[TOOL], temperature=0, max_tokens=64
)
assert asked.choices[0].finish_reason == "tool_calls"
(call,) = asked.choices[0].message.tool_calls
assert (call.type, call.function.name, json.loads(call.function.arguments)) == (
    "function",
    "get_weather",
    {"city": "Oslo"},
)
told = client.chat.completions.create(
    model="smollm2-tools",
    messages=[
        *WEATHER,
        asked.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "11 degrees, rain"},
    ],
    tools=[TOOL],
    temperature=0,
    max_tokens=16,
)
assert told.usage.prompt_tokens > asked.usage.prompt_tokens
greeting = [{"role": "user", "content": "Hello!"}]
for forced in ("required", {"type": "function", "function": {"name": "get_weather"}}):
    made = client.chat.completions.create(
        model="smollm2-tools",
        messages=greeting,
        tools=[TOOL],
        tool_choice=forced,
        reasoning_effort="none",
        temperature=0,
        max_tokens=64,
    )
    assert made.choices[0].message.tool_calls[0].function.name == "get_weather", made
    assert "city" in json.loads(made.choices[0].message.tool_calls[0].function.arguments)
silent = client.chat.completions.create(
    model="smollm2-tools", messages=WEATHER, tools=[TOOL], tool_choice="none", temperature=0, max_tokens=8
)
assert silent.choices[0].message.tool_calls is None

# --- completions ---
counted = client.completions.create(
    model="smollm2", prompt="1, 2, 3, 4,", max_tokens=6, temperature=0, echo=True, logprobs=2
)
assert counted.choices[0].text.startswith("1, 2, 3, 4, 5")
assert counted.choices[0].logprobs.token_logprobs[0] is None
assert "".join(counted.choices[0].logprobs.tokens) == counted.choices[0].text
parts = client.completions.create(
    model="smollm2", prompt="1, 2, 3, 4,", max_tokens=6, temperature=0, echo=True, stream=True
)
assert "".join(part.choices[0].text for part in parts) == counted.choices[0].text
both = client.completions.create(model="smollm2", prompt=["Say hi.", "Say no."], max_tokens=4, temperature=0)
assert [choice.index for choice in both.choices] == [0, 1]

# --- embeddings, models ---
vectors = client.embeddings.create(model="smollm2", input=["a cat", "a dog"])
plain = client.embeddings.create(model="smollm2", input="a cat", encoding_format="float")
assert len(vectors.data) == 2
assert len(vectors.data[0].embedding) == 576
assert all(abs(a - b) < 1e-5 for a, b in zip(vectors.data[0].embedding, plain.data[0].embedding, strict=True))
assert {"smollm2:latest", "smollm2-tools:latest"} <= {model.id for model in client.models.list()}
assert client.models.retrieve("smollm2").owned_by == "library"

# --- responses ---
response = client.responses.create(
    model="smollm2",
    instructions="Be brief.",
    input="What is the capital of France?",
    temperature=0,
    max_output_tokens=32,
)
assert "Paris" in response.output_text
assert response.status in ("completed", "incomplete")
assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
deltas = client.responses.create(
    model="smollm2",
    instructions="Be brief.",
    input="What is the capital of France?",
    temperature=0,
    max_output_tokens=32,
    stream=True,
)
assert "".join(event.delta for event in deltas if event.type == "response.output_text.delta") == response.output_text
with client.responses.stream(
    model="smollm2", input="What is the capital of France?", temperature=0, max_output_tokens=12
) as events:
    streamed = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert events.get_final_response().output_text == streamed
typed = client.responses.parse(
    model="smollm2",
    input="Ada is 36 years old. Give her name and age as JSON.",
    text_format=Person,
    temperature=0,
    max_output_tokens=64,
)
assert isinstance(typed.output_parsed, Person)
flat = {"type": "function", "name": "get_weather", "description": "Get the weather of a city.", "parameters": CITY}
wanted = client.responses.create(
    model="smollm2-tools", input=WEATHER, tools=[flat], temperature=0, max_output_tokens=64
)
(made,) = [item for item in wanted.output if item.type == "function_call"]
assert (made.name, json.loads(made.arguments)) == ("get_weather", {"city": "Oslo"})
result = {"type": "function_call_output", "call_id": made.call_id, "output": "11 degrees, rain"}
followed = client.responses.create(
    model="smollm2-tools", input=[*WEATHER, made, result], tools=[flat], temperature=0, max_output_tokens=16
)
assert followed.usage.input_tokens > wanted.usage.input_tokens

first = client.responses.create(model="smollm2", input="My name is Ada.", temperature=0, max_output_tokens=8)
second = client.responses.create(
    model="smollm2", input="What is my name?", previous_response_id=first.id, temperature=0, max_output_tokens=8
)
assert second.usage.input_tokens > first.usage.total_tokens
assert client.responses.retrieve(first.id).output_text == first.output_text
again = list(client.responses.retrieve(first.id, stream=True))
assert again[-1].response.output_text == first.output_text
heard = list(client.responses.input_items.list(second.id, order="asc", limit=1))  # goes on to the next pages
assert [item.content[0].text for item in heard] == ["My name is Ada.", first.output_text, "What is my name?"]
counted = client.responses.input_tokens.count(model="smollm2", input="My name is Ada.")
assert counted.input_tokens == first.usage.input_tokens
client.responses.delete(first.id)

# --- errors ---
try:
    client.chat.completions.create(model="does-not-yet-exist", messages=[QUESTION])
except openai.NotFoundError as err:
    assert (err.status_code, err.type) == (404, "not_found_error")
    assert "model 'does-not-yet-exist' not found" in str(err)
else:
    raise AssertionError("a missing model must be an error")
try:
    client.chat.completions.create(model="smollm2", messages=[{"role": "user", "content": "word " * 3000}])
except openai.BadRequestError as err:
    assert err.code == "context_length_exceeded"
else:
    raise AssertionError("too long a prompt must be an error")
try:
    client.chat.completions.create(**SHORT, modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"})
except openai.BadRequestError as err:
    assert (err.param, err.code) == ("modalities", "unsupported_parameter")
else:
    raise AssertionError("sound must be refused")
