"""Rows 36-43 of the OpenAI API's checklist: responses, whole and streamed."""

import base64
import json
import re

import pytest

ASK = {"model": "m", "input": "x"}
TOOL = {"type": "function", "name": "weather", "description": "d", "parameters": {"type": "object"}, "strict": True}
CALL = b'Sure. <call>{"name":"weather","arguments":{"a":"\xc3\x85s"}}</call>'
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()


async def job(openai, doubles, **body):
    """The engine's job for a request."""
    await openai.ok("responses", {**ASK, **body})
    return doubles.engine.jobs[-1]


async def prompt(openai, doubles, **body):
    return bytes((await job(openai, doubles, **body)).token_ids).decode()


async def events(openai, **body):
    """The data of every event; its type stands in the event line too, and the numbers have no gaps."""
    *frames, rest = (await openai.raw("responses", {**ASK, **body})).split("\n\n")
    assert rest == ""
    found = []
    for number, frame in enumerate(frames):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        found.append(event)
    return found


async def test_row_40_the_object(openai, doubles):
    """As the reference has it, but for `store`, which is true (decision 8)."""
    doubles.engine.cached_tokens = 3
    answer = await openai.ok("responses", ASK)
    assert re.fullmatch("resp_[a-z0-9]{24}", answer.pop("id"))
    created, completed = answer.pop("created_at"), answer.pop("completed_at")
    assert created <= completed < created + 60
    (item,) = answer.pop("output")
    assert re.fullmatch("msg_[a-z0-9]{24}", item.pop("id"))
    assert item == {
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hello!", "annotations": [], "logprobs": []}],
    }
    n = len("plain:\n[user] x\n[assistant]")
    assert answer == {
        "object": "response",
        "status": "completed",
        "incomplete_details": None,
        "model": "m",
        "previous_response_id": None,
        "instructions": None,
        "error": None,
        "tools": [],
        "tool_choice": "auto",
        "truncation": "disabled",
        "parallel_tool_calls": True,
        "text": {"format": {"type": "text"}},
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "top_logprobs": 0,
        "temperature": 1.0,
        "reasoning": None,
        "usage": {
            "input_tokens": n,
            "output_tokens": 6,
            "total_tokens": n + 6,
            "input_tokens_details": {"cached_tokens": 3},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
        "max_output_tokens": None,
        "max_tool_calls": None,
        "store": True,
        "background": False,
        "service_tier": "default",
        "metadata": {},
        "safety_identifier": None,
        "prompt_cache_key": None,
    }


async def test_row_40_what_was_asked_is_echoed(openai):
    await openai.add("t", "tools thinking")
    asked = {
        "model": "t",
        "instructions": "be kind",
        "temperature": 0.5,
        "top_p": 0.25,
        "max_output_tokens": 99,
        "tools": [TOOL],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "truncation": "auto",
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "background": False,
        "max_tool_calls": 3,
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "metadata": {"a": "b"},
    }
    answer = await openai.ok("responses", {**ASK, **asked})
    assert {key: answer[key] for key in asked} == asked


async def test_row_36_inputs(openai, doubles):
    expected = "plain:\n[system] be kind\n[user] x\n[assistant]"
    assert await prompt(openai, doubles, instructions="be kind") == expected
    for item in (
        {"role": "user", "content": "x"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]},
    ):
        assert await prompt(openai, doubles, input=[item], instructions="be kind") == expected
    for empty in ("", [], None):
        assert await prompt(openai, doubles, input=empty, instructions="be kind") == expected.replace("[user] x\n", "")


async def test_row_37_items(openai, doubles):
    await openai.add("t", "tools thinking")
    items = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "hm"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"a": 1}'},
        {"type": "function_call", "call_id": "c2", "name": "clock", "arguments": ""},
        {"type": "message", "role": "assistant", "content": " Soon."},
        {"type": "web_search_call", "id": "ws", "status": "completed"},
        {"type": "function_call_output", "call_id": "c1", "output": "11 degrees"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "noon"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}]},
        {"type": "function_call", "call_id": "c3", "name": "weather", "arguments": "{}"},
        {"type": "reasoning", "encrypted_content": "last"},
    ]
    assert await prompt(openai, doubles, model="t", input=items, tools=[TOOL]) == (
        "thinking:\n[tool] weather\n[system] be brief\n[user] ab\n"
        '[assistant] (hm) Wait. Soon. c1:weather{"a": 1} c2:clock{}\n'
        "[tool] <weather> <c1> 11 degrees\n[tool] <clock> <c2> noon\n"
        "[assistant] (so)  c3:weather{}\n[assistant] (last) \n[assistant]"
    )


async def test_row_37_images(openai, doubles):
    await openai.add("v", weights={"capabilities": ["completion", "vision"]})
    content = [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": PNG, "detail": "auto"},
    ]
    assert await prompt(openai, doubles, model="v", input=[{"role": "user", "content": content}]) == (
        "plain:\n[user] [img] see\n[assistant]"
    )


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({}, "input[1]: input item missing required 'type' field"),
        ("x", "input[1]: an item is an object"),
        ({"type": "item_reference", "id": "i"}, 'input[1]: unknown input item type: "item_reference"'),
        ({"role": "user", "content": [{"type": "input_file"}]}, "file inputs are not currently supported"),
        ({"role": "user", "content": [{"type": "video"}]}, "input[1].content[0]: unknown content type: video"),
        ({"role": "user", "content": 5}, "input[1].content must be a string or an array of parts"),
        ({"role": 5}, "input[1].role must be a string"),
        ({"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y"}]}, "image URLs are not"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "invalid image input"),
        ({"type": "function_call", "name": "f", "arguments": "{"}, "failed to parse function call arguments: "),
        ({"type": "function_call", "name": "f", "arguments": "[]"}, "failed to parse function call arguments: "),
    ],
)
async def test_row_37_items_that_are_none(openai, item, text):
    status, error = await openai.error("responses", {"model": "m", "input": [{"role": "user", "content": "x"}, item]})
    assert status == 400
    assert error["message"].startswith(text)
    assert error["param"].startswith("input[1]")


@pytest.mark.parametrize("value", [5, {"role": "user"}, True])
async def test_row_36_input_of_a_wrong_type(openai, value):
    status, error = await openai.error("responses", {**ASK, "input": value})
    assert (status, error["param"]) == (400, "input")
    assert error["message"].startswith("input must be a string or array: ")


async def test_row_38_tools(openai, doubles):
    await openai.add("t", "tools")
    members = [{"type": "function", "name": "read"}, {"type": "function", "name": "fs.write"}]
    tools = [TOOL, {"type": "namespace", "name": "fs", "tools": members}]
    seen = await prompt(openai, doubles, model="t", tools=tools)
    assert [line for line in seen.splitlines() if line.startswith("[tool]")] == [
        "[tool] weather",
        "[tool] fs.read",
        "[tool] fs.write",
    ]


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "function"}, "tools[0].name"),
        ({"type": "function", "name": "f", "parameters": "x"}, "tools[0]"),
        ({"type": "namespace", "name": "n"}, "tools[0]"),
    ],
)
async def test_row_38_tools_that_are_none(openai, tool, param):
    """Built-in ones are refused, unlike at the reference (decision 8)."""
    status, error = await openai.error("responses", {**ASK, "tools": [tool]})
    assert (status, error["param"]) == (400, param)


async def test_row_38_tools_of_the_clients_own_that_are_no_functions(openai):
    custom = {"type": "custom", "name": "patch"}
    for tools, param in (
        ([TOOL, custom], "tools[1].type"),
        ([{"type": "namespace", "name": "n", "tools": [custom]}], "tools[0].tools[0].type"),
    ):
        status, error = await openai.error("responses", {**ASK, "tools": tools})
        assert (status, error["param"], error["code"]) == (400, param, "unsupported_parameter")


async def test_truncation_has_two_values(openai):
    for known in ("auto", "disabled", None):
        await openai.ok("responses", {**ASK, "truncation": known})
    status, error = await openai.error("responses", {**ASK, "truncation": "middle"})
    assert (status, error["param"], error["code"]) == (400, "truncation", "invalid_value")


@pytest.mark.parametrize(
    ("choice", "grammar"),
    [
        ("auto", None),
        ("required", "required of weather or None"),
        ({"type": "function", "name": "weather"}, "weather of weather or None"),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
            "required of weather or None",
        ),
    ],
)
async def test_row_38_tool_choice(openai, doubles, choice, grammar):
    await openai.add("t", "tools")
    seen = (await job(openai, doubles, model="t", tools=[TOOL], tool_choice=choice)).constraint
    assert (seen.source if seen else None) == grammar


async def test_row_38_calls(openai, doubles):
    await openai.add("t", "tools")
    doubles.engine.reply = lambda job: CALL
    answer = await openai.ok("responses", {**ASK, "model": "t", "tools": [TOOL]})
    message, call = answer["output"]
    assert message["content"][0]["text"] == "Sure. "
    assert re.fullmatch("fc_[a-z0-9]{24}", call.pop("id"))
    assert re.fullmatch("call_[a-z0-9]{8}", call.pop("call_id"))
    assert call == {"type": "function_call", "status": "completed", "name": "weather", "arguments": '{"a":"Ås"}'}
    doubles.engine.reply = lambda job: CALL.removeprefix(b"Sure. ") * 2
    answer = await openai.ok("responses", {**ASK, "model": "t", "tools": [TOOL], "parallel_tool_calls": False})
    assert [item["type"] for item in answer["output"]] == ["function_call"]


async def test_row_39_formats(openai, doubles):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    asked = {"type": "json_schema", "name": "n", "strict": True, "schema": schema}
    seen = (await job(openai, doubles, text={"format": asked})).constraint
    assert (seen.kind, json.loads(seen.source)) == ("json_schema", schema)
    assert (await job(openai, doubles, text={"format": {"type": "json_object"}})).constraint.kind == "json"
    for nothing in ({}, {"format": {"type": "text"}}, {"format": None}):
        assert (await job(openai, doubles, text=nothing)).constraint is None
    status, error = await openai.error("responses", {**ASK, "text": {"format": {"type": "yaml"}}})
    assert (status, error["param"]) == (400, "text.format.type")
    status, error = await openai.error("responses", {**ASK, "text": {"format": {"schema": True}}})
    assert (status, error["param"], error["code"]) == (400, "text.format.schema", "invalid_type")


async def test_row_42_options(openai, doubles):
    await openai.add("p", parameters={"temperature": 0.1, "top_p": 0.2})
    options = (await job(openai, doubles, model="p")).options
    assert (options.temperature, options.top_p) == (1.0, 0.2)
    seen = await job(openai, doubles, model="p", top_p=0.5, max_output_tokens=7, options={"top_k": 3})
    assert (seen.options.top_p, seen.max_tokens, seen.options.top_k) == (0.5, 7, 3)


async def test_reasoning(openai, doubles):
    await openai.add("t", "thinking")
    doubles.engine.reply = lambda job: b"<think>hm</think>yes"
    answer = await openai.ok("responses", {**ASK, "model": "t"})
    reasoning, message = answer["output"]
    assert re.fullmatch("rs_[a-z0-9]{24}", reasoning.pop("id"))
    assert reasoning == {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "hm",
    }
    assert message["content"][0]["text"] == "yes"
    thought = len("<think>hm</think>")
    assert answer["usage"]["output_tokens"] == thought + 3
    assert answer["usage"]["output_tokens_details"] == {"reasoning_tokens": thought}
    answer = await openai.ok("responses", {**ASK, "model": "t", "reasoning": {"effort": "none"}})
    assert [item["type"] for item in answer["output"]] == ["message"]
    status, error = await openai.error("responses", {**ASK, "reasoning": {"effort": "low"}})
    assert (status, error["message"]) == (400, '"m" does not support thinking')
    status, error = await openai.error("responses", {**ASK, "reasoning": {"effort": "huge"}})
    assert (status, error["param"]) == (400, "reasoning.effort")


async def test_reasoning_and_nothing_else(openai, doubles):
    """Cut at the end of its thinking an answer has no message, streamed or not."""
    thought = len("<think>hm</think>")
    await openai.add("t", "thinking")
    doubles.engine.reply = lambda job: b"<think>hm</think>yes"
    asked = {"model": "t", "max_output_tokens": thought}
    whole = await openai.ok("responses", {**ASK, **asked})
    streamed = (await events(openai, **asked))[-1]["response"]
    for answer in (whole, streamed):
        assert answer["status"] == "incomplete"
        assert [item["type"] for item in answer["output"]] == ["reasoning"]
        assert answer["usage"]["output_tokens_details"] == {"reasoning_tokens": thought}


async def test_row_41_a_stream_of_text(openai):
    found = await events(openai)
    assert [event["type"].removeprefix("response.") for event in found] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * 6,
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    for event in found[:2]:
        assert (event["response"]["status"], event["response"]["output"], event["response"]["usage"]) == (
            "in_progress",
            [],
            None,
        )
        assert event["response"]["completed_at"] is None
    item_id = found[2]["item"]["id"]
    assert found[2] == {
        "type": "response.output_item.added",
        "sequence_number": 2,
        "output_index": 0,
        "item": {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []},
    }
    where = {"item_id": item_id, "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    assert found[3] == {"type": "response.content_part.added", "sequence_number": 3, **where, "part": part}
    assert found[4] == {
        "type": "response.output_text.delta",
        "sequence_number": 4,
        **where,
        "delta": "H",
        "logprobs": [],
    }
    assert {key: found[10][key] for key in ("text", "logprobs", *where)} == {"text": "Hello!", "logprobs": [], **where}
    assert found[11]["part"] == {**part, "text": "Hello!"}
    assert found[12]["item"] == {**found[2]["item"], "status": "completed", "content": [{**part, "text": "Hello!"}]}
    last = found[-1]["response"]
    assert (last["status"], last["output"]) == ("completed", [found[12]["item"]])
    assert last["usage"]["output_tokens"] == 6
    assert last["completed_at"] is not None
    assert last["id"] == found[0]["response"]["id"]


async def test_row_41_a_stream_of_everything(openai, doubles):
    await openai.add("t", "tools thinking")
    doubles.engine.reply = lambda job: b"<think>hm</think>" + CALL + b"Bye"
    found = await events(openai, model="t", tools=[TOOL])
    assert [(event["type"].removeprefix("response."), event.get("output_index")) for event in found] == [
        ("created", None),
        ("in_progress", None),
        ("output_item.added", 0),
        ("reasoning_summary_text.delta", 0),
        ("reasoning_summary_text.done", 0),
        ("output_item.done", 0),
        ("output_item.added", 1),
        ("content_part.added", 1),
        *[("output_text.delta", 1)] * 6,
        ("output_text.done", 1),
        ("content_part.done", 1),
        ("output_item.done", 1),
        ("output_item.added", 2),
        ("function_call_arguments.delta", 2),
        ("function_call_arguments.done", 2),
        ("output_item.done", 2),
        ("output_item.added", 3),
        ("content_part.added", 3),
        *[("output_text.delta", 3)] * 3,
        ("output_text.done", 3),
        ("content_part.done", 3),
        ("output_item.done", 3),
        ("completed", None),
    ]
    assert found[2]["item"] == {"id": found[2]["item"]["id"], "type": "reasoning", "summary": []}
    assert {key: found[3][key] for key in ("item_id", "summary_index", "delta")} == {
        "item_id": found[2]["item"]["id"],
        "summary_index": 0,
        "delta": "hm",
    }
    assert found[4]["text"] == "hm"
    calls = [event for event in found if event.get("output_index") == 2]
    added, delta, done, whole = calls
    assert (added["item"]["status"], added["item"]["arguments"]) == ("in_progress", "")
    assert delta["delta"] == done["arguments"] == whole["item"]["arguments"] == '{"a":"Ås"}'
    assert delta["item_id"] == done["item_id"] == whole["item"]["id"] == added["item"]["id"]
    items = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    assert found[-1]["response"]["output"] == items


async def test_row_41_an_empty_answer(openai, doubles):
    doubles.engine.reply = lambda job: b""
    found = await events(openai)
    assert [event["type"] for event in found] == ["response.created", "response.in_progress", "response.completed"]
    assert found[-1]["response"]["output"] == []
    (item,) = (await openai.ok("responses", ASK))["output"]
    assert item["content"][0]["text"] == ""


async def test_row_43_length(openai):
    for answer in (
        await openai.ok("responses", {**ASK, "max_output_tokens": 2}),
        (await events(openai, max_output_tokens=2))[-1]["response"],
    ):
        assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        (item,) = answer["output"]
        assert (item["status"], item["content"][0]["text"]) == ("incomplete", "He")


async def test_row_43_failure(openai, doubles):
    doubles.engine.error_at = 2
    found = await events(openai)
    assert [event["type"] for event in found[-2:]] == ["response.output_item.done", "response.failed"]
    failed = found[-1]["response"]
    assert (failed["status"], failed["error"]) == ("failed", {"code": "server_error", "message": "the script says so"})
    assert failed["output"][0]["content"][0]["text"] == "He"


async def test_row_43_the_end_of_the_server_is_a_failure(openai, shutting_down):
    found = await events(openai)
    assert found[-1]["type"] == "response.failed"
    for answer in (await openai.ok("responses", ASK), found[-1]["response"]):
        assert (answer["status"], answer["incomplete_details"]) == ("failed", None)
        assert answer["error"]["code"] == "server_error"
        assert "shut down" in answer["error"]["message"]
        (item,) = answer["output"]
        assert (item["status"], item["content"][0]["text"]) == ("incomplete", "Hello!")
        assert answer["usage"]["output_tokens"] > 0


async def test_row_44_an_early_error_is_a_status(openai, doubles):
    doubles.engine.error_at = 0
    assert (await openai.error("responses", {**ASK, "stream": True}))[0] == 500


async def test_row_04_names(openai):
    for model in ("", None):
        status, error = await openai.error("responses", {"input": "x", "model": model})
        assert (status, error["message"]) == (400, "model is required")
    status, error = await openai.error("responses", {**ASK, "model": "nope"})
    assert (status, error["message"]) == (404, "model 'nope' not found")


async def test_logprobs(openai):
    answer = await openai.ok("responses", {**ASK, "include": ["message.output_text.logprobs"], "top_logprobs": 1})
    (item,) = answer["output"]
    scored = item["content"][0]["logprobs"]
    assert len(scored) == 6
    assert scored[0] == {
        "token": "H",
        "logprob": -0.5,
        "bytes": [72],
        "top_logprobs": [{"token": "H", "logprob": -0.5, "bytes": [72]}],
    }
    deltas = [event for event in await events(openai, top_logprobs=1) if event["type"].endswith("text.delta")]
    assert [event["logprobs"][0]["token"] for event in deltas] == list("Hello!")
    status, error = await openai.error("responses", {**ASK, "top_logprobs": 21})
    assert (status, error["param"]) == (400, "top_logprobs")


@pytest.mark.parametrize(
    "more",
    [
        {"store": True},
        {"include": ["reasoning.encrypted_content"]},
        {"max_tool_calls": 3},
        {"user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "service_tier": "auto"},
        {"stream_options": {"include_obfuscation": False}},
        {"previous_response_id": None, "conversation": None, "prompt": None, "instructions": None},
        {"moderation": {}},
    ],
)
async def test_fields_that_change_nothing(openai, more):
    assert (await openai.ok("responses", {**ASK, **more}))["status"] == "completed"


@pytest.mark.parametrize(
    ("field", "value"),
    [("conversation", "conv_1"), ("prompt", {"id": "p"}), ("moderation", {"model": "m"})],
)
async def test_what_cannot_be_done_is_refused_by_name(openai, field, value):
    status, error = await openai.error("responses", {**ASK, field: value})
    assert (status, error["param"], error["code"]) == (400, field, "unsupported_parameter")


async def test_too_long_an_input(openai):
    long = {**ASK, "input": "y" * 300}
    for body in (long, {**long, "truncation": "disabled"}):
        status, error = await openai.error("responses", body)
        assert (status, error["param"], error["code"]) == (400, "input", "context_length_exceeded")
    for allowed in ({"truncation": "auto"}, {"truncate": True}):
        answer = await openai.ok("responses", {**long, **allowed})
        assert answer["truncated"]["kept_tokens"] == answer["usage"]["input_tokens"] < 256
