"""openai for Python, the rest of its README: roles, request ids, retries, timeouts, raw answers, what is not there."""

import json
import os

import httpx2
import openai
from openai import DefaultHttpx2Client, OpenAI

client = OpenAI(api_key=os.environ.get("OPENAI_API_KEY"))
QUESTION = {"role": "user", "content": "What is the capital of France?"}
STORY = [{"role": "user", "content": "Tell me a very long story about a dragon and a knight."}]
SHORT = {"model": "smollm2", "messages": [QUESTION], "max_tokens": 12, "temperature": 0}

completion = client.chat.completions.create(
    model="smollm2",
    messages=[{"role": "developer", "content": "Talk like a pirate."}, QUESTION],
    max_tokens=12,
    temperature=0,
)
answer = completion.choices[0].message.content
assert answer
assert completion._request_id.startswith("req_")
as_system = [{"role": "system", "content": "Talk like a pirate."}, QUESTION]
assert client.chat.completions.create(**{**SHORT, "messages": as_system}).choices[0].message.content == answer

as_json = client.responses.create(
    input=[{"role": "user", "content": "Give the population of Paris as a JSON object."}],
    model="smollm2",
    temperature=0,
    max_output_tokens=200,
    text={"format": {"type": "json_object"}},
)
assert as_json._request_id.startswith("req_")
if as_json.status == "completed":
    assert isinstance(json.loads(as_json.output_text), dict)

# --- retries and timeouts ---
plain = client.chat.completions.create(**SHORT).choices[0].message.content
assert client.with_options(max_retries=5).chat.completions.create(**SHORT).choices[0].message.content == plain
patient = OpenAI(timeout=httpx2.Timeout(60.0, read=30.0, write=10.0, connect=2.0))
assert patient.chat.completions.create(**SHORT).choices[0].message.content == plain
hasty = client.with_options(timeout=0.2, max_retries=0)
try:
    hasty.chat.completions.create(**{**SHORT, "messages": STORY, "max_tokens": 1500})
except openai.APITimeoutError:
    assert client.chat.completions.create(**SHORT).choices[0].message.content == plain  # nobody waits for the other
else:
    raise AssertionError("a long story does not come in 0.2 s")

# --- raw and streamed answers, the client's own HTTP client, paths without a method ---
raw = client.chat.completions.with_raw_response.create(**SHORT)
assert raw.headers.get("x-request-id") == raw.request_id
assert raw.parse().choices[0].message.content == plain
with client.chat.completions.with_streaming_response.create(**SHORT, stream=True) as response:
    assert response.headers.get("content-type") == "text/event-stream"
    lines = [line for line in response.iter_lines() if line]
assert lines[-1] == "data: [DONE]"
assert json.loads(lines[0].removeprefix("data: "))["object"] == "chat.completion.chunk"
with OpenAI(base_url=os.environ["OPENAI_BASE_URL"], http_client=DefaultHttpx2Client(trust_env=False)) as own:
    assert own.chat.completions.create(**SHORT).choices[0].message.content == plain
version = client.get("/models", cast_to=httpx2.Response)
assert version.json()["object"] == "list"
extra = client.chat.completions.create(**SHORT, extra_body={"baz": "not a field"}, extra_query={"q": "1"})
assert extra.choices[0].message.content == plain

# --- what is not there, or cannot be served ---
url = "https://upload.wikimedia.org/raccoon.jpg"
image = [{"type": "input_text", "text": "What is in this image?"}, {"type": "input_image", "image_url": url}]
refusals = [
    (lambda: client.responses.create(model="smollm2", input=[{"role": "user", "content": image}]), 400),
    (lambda: client.fine_tuning.jobs.list(limit=20), 404),
    (lambda: client.fine_tuning.jobs.create(model="gpt-4o", training_file="file-abc123"), 404),
    (lambda: client.files.create(file=b"{}", purpose="fine-tune"), 404),
    (lambda: client.post("/foo", cast_to=httpx2.Response, body={"my_param": True}), 404),
    (lambda: client.models.retrieve("missing"), 404),
]
for call, status in refusals:
    try:
        call()
    except openai.APIStatusError as err:
        assert (err.status_code, err.response.status_code) == (status, status), err
    else:
        raise AssertionError("this is not served")
try:
    client.chat.completions.create(**{**SHORT, "model": "missing"})
except openai.APIStatusError as err:
    assert err.request_id.startswith("req_")
    assert err.body["type"] == "not_found_error"
else:
    raise AssertionError("a missing model must be an error")
try:
    OpenAI(base_url="http://127.0.0.1:9/v1", max_retries=0).models.list()
except openai.APIConnectionError as err:
    assert err.__cause__ is not None
else:
    raise AssertionError("nobody listens there")
