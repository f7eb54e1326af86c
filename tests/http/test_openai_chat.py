"""Rows 6-16, 25-28 of the OpenAI API's checklist: chat completions, whole and streamed."""

import re

import pytest

USER = {"role": "user", "content": "x"}
ASK = {"model": "m", "messages": [USER]}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}},
}
CALL = b'Sure. <call>{"name":"weather","arguments":{"a":"\xc3\x85s"}}</call>'


async def job(openai, doubles, **body):
    """The engine's job for a request."""
    await openai.ok("chat/completions", {**ASK, **body})
    return doubles.engine.jobs[-1]


async def rendered(openai, **body):
    answer = await openai.ok("chat/completions", {**ASK, **body, "_debug_render_only": True})
    assert answer["choices"] == []
    return answer["_debug_info"]["rendered_template"]


async def test_row_06_a_whole_answer(openai, doubles):
    doubles.engine.cached_tokens = 4
    answer = await openai.ok("chat/completions", ASK)
    assert list(answer) == ["id", "object", "created", "model", "system_fingerprint", "choices", "usage"]
    assert re.fullmatch("chatcmpl-[a-z0-9]{24}", answer["id"])
    assert isinstance(answer["created"], int)
    assert (answer["object"], answer["model"], answer["system_fingerprint"]) == ("chat.completion", "m", "fp_ollama")
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}
    ]
    n = answer["usage"]["prompt_tokens"]
    assert n == len("plain:\n[user] x\n[assistant]")
    assert answer["usage"] == {
        "prompt_tokens": n,
        "completion_tokens": 6,
        "total_tokens": n + 6,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


async def test_row_06_the_model_is_echoed_as_asked(openai):
    for name in ("m:latest", "library/m", " m "):
        assert (await openai.ok("chat/completions", {**ASK, "model": name}))["model"] == name


async def test_row_07_a_stream(openai):
    *parts, last = await openai.chunks("chat/completions", ASK)
    assert {(part["id"], part["created"]) for part in parts} == {(last["id"], last["created"])}
    assert all(
        list(part) == ["id", "object", "created", "model", "system_fingerprint", "choices"] for part in [*parts, last]
    )
    assert last["object"] == "chat.completion.chunk"
    assert [part["choices"][0]["delta"] for part in parts] == [
        {"role": "assistant", "content": "H"},
        *({"content": letter} for letter in "ello!"),
    ]
    assert all(part["choices"][0]["finish_reason"] is None for part in parts)
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]


async def test_row_08_include_usage(openai):
    *parts, last = await openai.chunks("chat/completions", {**ASK, "stream_options": {"include_usage": True}})
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 6
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + 6
    assert not any("usage" in part for part in parts)


async def test_row_09_an_empty_answer_opens_with_a_role(openai, doubles):
    doubles.engine.reply = lambda job: b""
    first, last = await openai.chunks("chat/completions", ASK)
    assert first["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert (await openai.ok("chat/completions", ASK))["choices"][0]["message"]["content"] == ""


async def test_row_10_length(openai):
    answer = await openai.ok("chat/completions", {**ASK, "max_tokens": 2})
    assert (answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]) == ("He", "length")
    chunks = await openai.chunks("chat/completions", {**ASK, "max_tokens": 2})
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


async def test_row_10_length_is_never_relabelled(openai, doubles):
    await openai.add("t", "tools")
    doubles.engine.reply = lambda job: CALL + b" and so on"
    body = {"model": "t", "messages": [USER], "tools": [TOOL], "max_tokens": len(CALL) + 2}
    (choice,) = (await openai.ok("chat/completions", body))["choices"]
    assert (len(choice["message"]["tool_calls"]), choice["finish_reason"]) == (1, "length")


async def test_row_11_tool_calls(openai, doubles):
    await openai.add("t", "tools")
    doubles.engine.reply = lambda job: CALL + b'<call>{"name":"weather","arguments":{},"id":"own"}</call>'
    body = {"model": "t", "messages": [USER], "tools": [TOOL]}
    (choice,) = (await openai.ok("chat/completions", body))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Sure. ", "tool_calls")
    first, second = choice["message"]["tool_calls"]
    assert re.fullmatch("call_[a-z0-9]{8}", first.pop("id"))
    assert first == {"index": 0, "type": "function", "function": {"name": "weather", "arguments": '{"a":"Ås"}'}}
    assert second == {"id": "own", "index": 1, "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    chunks = await openai.chunks("chat/completions", body)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    called = [delta for delta in deltas if "tool_calls" in delta]
    assert [delta["content"] for delta in called] == ["", ""]
    assert [delta["tool_calls"][0]["index"] for delta in called] == [0, 1]
    assert called[0]["tool_calls"][0]["function"] == first["function"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_row_12_results_find_their_tools(openai):
    await openai.add("t", "tools")
    called = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"b": 1, "a": 2}'}}
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [called], "reasoning": "hm"},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [{"type": "text", "text": "11 "}, {"type": "text", "text": "degrees"}],
        },
        {"role": "tool", "tool_call_id": "c2", "name": "own", "content": "y"},
    ]
    assert await rendered(openai, model="t", messages=messages) == (
        'tools:\n[user] x\n[assistant] (hm)  c1:weather{"b": 1, "a": 2}\n'
        "[tool] <weather> <c1> 11 degrees\n[tool] <own> <c2> y\n[assistant]"
    )


@pytest.mark.parametrize("message", [{"role": "assistant", "tool_calls": []}, {"role": "user", "content": None}])
async def test_row_13_content_may_be_absent(openai, message):
    assert await rendered(openai, messages=[message]) == f"plain:\n[{message['role']}] \n[assistant]"


@pytest.mark.parametrize("arguments", ["", "{", "[]", "5", "null"])
async def test_row_14_invalid_arguments(openai, arguments):
    calls = [{"id": str(n), "function": {"name": "f", "arguments": said}} for n, said in enumerate(("{}", arguments))]
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": calls}]
    status, error = await openai.error("chat/completions", {"model": "m", "messages": turns})
    assert (status, error["message"]) == (400, "invalid tool call arguments")
    assert error["param"] == "messages[1].tool_calls[1].function.arguments"


async def test_row_14_calls_of_other_types_are_refused_by_name(openai):
    called = {"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}
    body = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [called]}]}
    status, error = await openai.error("chat/completions", body)
    assert (status, error["param"]) == (400, "messages[0].tool_calls[0].type")
    assert error["message"].endswith("is not supported: 'custom' is not known here, only 'function' is")


async def test_row_15_defaults_override_the_model(openai, doubles):
    await openai.add("p", parameters={"temperature": 0.1, "top_p": 0.2, "top_k": 3, "frequency_penalty": 0.5})
    options = (await job(openai, doubles, model="p")).options
    assert (options.temperature, options.top_p, options.top_k, options.frequency_penalty) == (1.0, 1.0, 3, 0.5)
    own = {"temperature": 0, "top_p": 0.5, "frequency_penalty": 1, "presence_penalty": 2, "seed": 7}
    options = (await job(openai, doubles, model="p", **own)).options
    assert (options.temperature, options.top_p, options.frequency_penalty, options.presence_penalty) == (0, 0.5, 1, 2)
    assert options.seed == 7


async def test_extensions_ride_along(openai, doubles, kernel):
    body = {"options": {"temperature": 0.3, "num_ctx": 100}, "top_k": 5, "min_p": 0.1, "repeat_penalty": 1.5}
    options = (await job(openai, doubles, **body, keep_alive="7m")).options
    assert (options.temperature, options.num_ctx, options.top_k, options.min_p) == (0.3, 100, 5, 0.1)
    assert options.repeat_penalty == 1.5
    assert (await job(openai, doubles, num_ctx=90, options={"num_ctx": 100})).options.num_ctx == 90
    await job(openai, doubles, keep_alive=0)
    assert kernel.pool.loaded() == []
    status, error = await openai.error("chat/completions", {**ASK, "keep_alive": "soon"})
    assert (status, error["param"]) == (400, "keep_alive")


async def test_row_16_stop(openai, doubles):
    for stop, expected in (("l", ("l",)), (["x", "l", 5, None], ("x", "l")), (None, ()), ([], ())):
        assert (await job(openai, doubles, stop=stop)).options.stop == expected
    for wrong in (5, {"a": "l"}, False):
        status, error = await openai.error("chat/completions", {**ASK, "stop": wrong})
        assert (status, error["param"], error["code"]) == (400, "stop", "invalid_type")
    (choice,) = (await openai.ok("chat/completions", {**ASK, "stop": "l"}))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("He", "stop")


async def test_row_25_logprobs(openai):
    (choice,) = (await openai.ok("chat/completions", {**ASK, "logprobs": True, "top_logprobs": 2}))["choices"]
    assert len(choice["logprobs"]["content"]) == 6
    assert choice["logprobs"]["content"][0] == {
        "token": "H",
        "logprob": -0.5,
        "bytes": [72],
        "top_logprobs": [
            {"token": "H", "logprob": -0.5, "bytes": [72]},
            {"token": "I", "logprob": -1.5, "bytes": [73]},
        ],
    }
    (choice,) = (await openai.ok("chat/completions", {**ASK, "logprobs": True}))["choices"]
    assert choice["logprobs"]["content"][0]["top_logprobs"] == []
    *parts, last = await openai.chunks("chat/completions", {**ASK, "logprobs": True})
    assert [part["choices"][0]["logprobs"]["content"][0]["token"] for part in parts] == list("Hello!")
    assert "logprobs" not in last["choices"][0]


@pytest.mark.parametrize("count", [-1, 21])
async def test_row_25_range(openai, count):
    status, error = await openai.error("chat/completions", {**ASK, "logprobs": True, "top_logprobs": count})
    assert (status, error["message"]) == (400, "top_logprobs must be between 0 and 20")


async def test_row_26_developers_are_the_system(openai):
    messages = [{"role": "developer", "content": "be kind"}, {**USER, "role": "USER"}]
    assert await rendered(openai, messages=messages) == "plain:\n[system] be kind\n[user] x\n[assistant]"


async def test_row_27_fields_that_change_nothing(openai):
    ignored = {
        "user": "u",
        "store": True,
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "modalities": ["text"],
        "prediction": {"type": "content", "content": "x"},
        "verbosity": "medium",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "logit_bias": {},
        "n": 1,
        "nonsense": [1],
        "stream_options": None,
    }
    answer = await openai.ok("chat/completions", {**ASK, **ignored})
    assert answer["choices"][0]["message"]["content"] == "Hello!"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("functions", [{"name": "f"}]),
        ("function_call", {"name": "f"}),
        ("web_search_options", {}),
        ("moderation", {"model": "m"}),
    ],
)
async def test_row_27_what_cannot_be_done_is_refused_by_name(openai, field, value):
    """Unlike the reference, which ignores it (decision 8)."""
    status, error = await openai.error("chat/completions", {**ASK, field: value})
    assert (status, error["param"], error["code"]) == (400, field, "unsupported_parameter")
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(f"{field} is not supported: ")


async def test_row_28_max_completion_tokens(openai, doubles):
    assert (await job(openai, doubles, max_completion_tokens=3)).max_tokens == 3
    assert (await job(openai, doubles, max_completion_tokens=3, max_tokens=5)).max_tokens == 3


async def test_n_answers(openai, doubles):
    seen = []
    doubles.engine.reply = lambda job: seen.append(job.options.seed) or b"%d" % job.options.seed
    answer = await openai.ok("chat/completions", {**ASK, "n": 3, "seed": 40})
    assert sorted(seen) == [40, 41, 42]
    assert [(choice["index"], choice["message"]["content"]) for choice in answer["choices"]] == [
        (0, "40"),
        (1, "41"),
        (2, "42"),
    ]
    assert answer["usage"]["completion_tokens"] == 6
    assert answer["usage"]["prompt_tokens"] == len("plain:\n[user] x\n[assistant]")
    chunks = await openai.chunks(
        "chat/completions", {**ASK, "n": 2, "seed": 7, "stream_options": {"include_usage": True}}
    )
    *parts, last = chunks
    assert last["usage"]["completion_tokens"] == 2
    for index, text in ((0, "7"), (1, "8")):
        own = [part["choices"][0] for part in parts if part["choices"][0]["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": text}
        assert own[-1] == {"index": index, "delta": {}, "finish_reason": "stop"}


@pytest.mark.parametrize("n", [0, -1, 129])
async def test_n_is_bounded(openai, n):
    status, error = await openai.error("chat/completions", {**ASK, "n": n})
    assert (status, error["param"]) == (400, "n")


async def test_n_answers_end_together_when_one_fails(openai, doubles):
    doubles.engine.error_at = 2
    status, error = await openai.error("chat/completions", {**ASK, "n": 3})
    assert (status, error["type"]) == (500, "api_error")
    assert doubles.engine.active == 0


async def test_logit_bias(openai, doubles):
    import math

    options = (await job(openai, doubles, logit_bias={"5": 2.5, "6": -100, "7": 100})).options
    assert options.logit_bias == {5: 2.5, 6: -math.inf, 7: 100.0}
    options = (await job(openai, doubles, logit_bias={"aba": 2, "97": 1})).options
    assert options.logit_bias == {97: 5.0, 98: 2.0}  # "a" twice by the text, once by its id
    for bad, param in (
        ({"": 1}, "logit_bias"),
        ({"-1": 1}, "logit_bias"),
        ({"5": 101}, "logit_bias.5"),
        ({"5": "x"}, "logit_bias[...]"),
    ):
        status, error = await openai.error("chat/completions", {**ASK, "logit_bias": bad})
        assert (status, error["param"]) == (400, param)


@pytest.mark.parametrize(
    ("choice", "grammar", "shown"),
    [
        ("auto", None, ["weather", "clock"]),
        (None, None, ["weather", "clock"]),
        ("none", None, []),
        ("required", "required of weather,clock or None", ["weather", "clock"]),
        ({"type": "function", "function": {"name": "clock"}}, "clock of clock or None", ["clock"]),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "clock"}}]},
            },
            "required of clock or None",
            ["clock"],
        ),
    ],
)
async def test_tool_choice(openai, doubles, choice, grammar, shown):
    await openai.add("t", "tools")
    clock = {"type": "function", "function": {"name": "clock"}}
    seen = await job(openai, doubles, model="t", tools=[TOOL, clock], tool_choice=choice)
    assert (seen.constraint.source if seen.constraint else None) == grammar
    prompt = bytes(seen.token_ids).decode()
    assert [line.removeprefix("[tool] ") for line in prompt.splitlines() if line.startswith("[tool]")] == shown


@pytest.mark.parametrize(
    "choice",
    ["maybe", {"type": "function", "function": {"name": "other"}}, {"type": "function"}, {"type": "custom"}, 5],
)
async def test_tool_choice_that_is_none(openai, choice):
    await openai.add("t", "tools")
    body = {"model": "t", "messages": [USER], "tools": [TOOL], "tool_choice": choice}
    status, error = await openai.error("chat/completions", body)
    assert (status, error["param"], error["code"]) == (400, "tool_choice", "invalid_value")


async def test_required_without_tools(openai):
    status, error = await openai.error("chat/completions", {**ASK, "tool_choice": "required"})
    assert (status, error["param"]) == (400, "tool_choice")


async def test_one_call_at_a_time(openai, doubles):
    await openai.add("t", "tools")
    doubles.engine.reply = lambda job: CALL + CALL
    body = {"model": "t", "messages": [USER], "tools": [TOOL]}
    (choice,) = (await openai.ok("chat/completions", body))["choices"]
    assert len(choice["message"]["tool_calls"]) == 2
    answer = await openai.ok("chat/completions", {**body, "parallel_tool_calls": False})
    (choice,) = answer["choices"]
    assert (len(choice["message"]["tool_calls"]), choice["finish_reason"]) == (1, "tool_calls")
    assert answer["usage"]["completion_tokens"] == len(CALL)


async def test_tools_that_are_no_functions(openai):
    await openai.add("t", "tools")
    body = {"model": "t", "messages": [USER]}
    status, error = await openai.error("chat/completions", {**body, "tools": [{"type": "custom", "custom": {}}]})
    assert (status, error["param"], error["code"]) == (400, "tools[0].type", "unsupported_parameter")
    status, error = await openai.error("chat/completions", {**body, "tools": [TOOL, {"type": "function"}]})
    assert (status, error["param"]) == (400, "tools[1].function.name")


async def test_how_long_to_think(openai, api, doubles):
    jobs = []
    doubles.engine.reply = lambda job: jobs.append(job) or b"<think>hm</think>Yes."
    await openai.add("t", "thinking")
    asked = [{"role": "user", "content": "Hi"}]
    await openai.ok("chat/completions", {"model": "t", "messages": asked, "thinking_budget": 0})
    await api.client.post("/api/chat", json={"model": "t", "messages": asked, "thinking_budget": 7, "stream": False})
    await api.client.post("/api/generate", json={"model": "t", "prompt": "Hi", "thinking_budget": 9, "stream": False})
    await openai.ok("responses", {"model": "t", "input": "Hi", "thinking_budget": 11})
    await openai.ok("completions", {"model": "t", "prompt": "Hi", "thinking_budget": 13})
    assert [job.thinking_limit[-1] for job in jobs] == [0, 7, 9, 11, 13]


@pytest.mark.parametrize("more", [{"raw": True}, {"echo": True}, {"prompt": [72]}])
async def test_how_long_to_think_about_a_prompt_that_runs_as_it_is(openai, more):
    await openai.add("t", "thinking")
    asked = {"model": "t", "prompt": "Hi", "thinking_budget": 0}
    status, error = await openai.error("completions", asked | more)
    assert (status, error["param"], error["code"]) == (400, "thinking_budget", "unsupported_parameter")
