"""Rows 18, 20-28, 36 and 39-42 of the native API's checklist, as /api/generate sees them."""

import math

import pytest

from corral import Message
from corral_native_api import fields

KEEP_ALIVE = [
    (None, None),
    (0, 0),
    (10, 10),
    (1.5, 1.5),
    (-1, math.inf),
    (-0.5, math.inf),
    (1e30, math.inf),
    ("5m", 300),
    ("1h30m", 5400),
    ("1.5h", 5400),
    ("0", 0),
    ("0s", 0),
    ("-1m", math.inf),
    ("500ms", 0.5),
]
BAD_KEEP_ALIVE = [
    ("10", 'time: missing unit in duration "10"'),
    ("abc", 'time: invalid duration "abc"'),
    ("1d", 'time: unknown unit "d" in duration "1d"'),
    ("", 'time: invalid duration ""'),
    (True, "Unsupported type: 'bool'"),
    ({}, "Unsupported type: 'map[string]interface {}'"),
    ([], "Unsupported type: '[]interface {}'"),
]


@pytest.mark.parametrize(("value", "seconds"), KEEP_ALIVE)
def test_row_18_keep_alive(value, seconds):
    assert fields.keep_alive(value) == seconds


async def test_row_18_bad_keep_alive(api):
    for path in ("generate", "chat", "embed", "embeddings"):
        for value, text in BAD_KEEP_ALIVE:
            assert await api.error(path, {"model": "m", "keep_alive": value}) == (400, text)


async def test_row_20_options_are_merged_by_name(api, doubles):
    await api.add("p", parameters={"temperature": 0.1, "top_k": 7, "stop": ["A", "B"]})
    await api.ok("generate", {"model": "p", "prompt": "x", "options": {"temperature": 0.9, "stop": ["!"], "seed": 4.9}})
    options = doubles.engine.jobs[-1].options
    assert (options.temperature, options.top_k, options.stop, options.seed) == (0.9, 7, ("!",), 4)
    assert (options.top_p, options.repeat_penalty, options.num_keep) == (0.9, 1.0, 4)


async def test_row_20_num_ctx(api, doubles):
    await api.add("p", parameters={"num_ctx": 64}, weights={"context_length": 128})
    for given, expected in (({}, 64), ({"num_ctx": 100}, 100), ({"num_ctx": 2**40}, 128), ({"num_ctx": 1}, 4)):
        await api.ok("generate", {"model": "p", "prompt": "x", "options": given})
        assert doubles.engine.jobs[-1].num_ctx == expected


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"top_k": "5"}, 'option "top_k" must be of type integer'),
        ({"seed": True}, 'option "seed" must be of type integer'),
        ({"stop": 5}, 'option "stop" must be of type array'),
        ({"stop": ["a", 5]}, 'option "stop" must be of an array of strings'),
    ],
)
async def test_row_21_wrong_option_types(api, options, text):
    assert await api.error("generate", {"model": "m", "prompt": "x", "options": options}) == (400, text)
    assert await api.error("embed", {"model": "m", "input": "x", "options": options}) == (400, text)


async def test_row_21_null_options_are_absent_and_one_stop_is_a_list(api, doubles):
    body = {"model": "m", "prompt": "x", "options": {"temperature": None, "stop": "lo", "num_predict": 3.7}}
    answer = await api.ok("generate", body)
    assert answer["response"] == "Hel"
    assert doubles.engine.jobs[-1].options.temperature == 0.8


@pytest.mark.parametrize(
    ("value", "kind", "source"),
    [
        (None, None, None),
        ("", None, None),
        ("json", "json", ""),
        ({"type": "object"}, "json_schema", '{"type":"object"}'),
        ({}, "json_schema", "{}"),
    ],
)
@pytest.mark.parametrize("path", ["generate", "chat"])
async def test_row_22_format(api, doubles, path, value, kind, source):
    body = {"prompt": "x"} if path == "generate" else {"messages": [{"role": "user", "content": "x"}]}
    await api.ok(path, {"model": "m", "format": value, **body})
    constraint = doubles.engine.jobs[-1].constraint
    assert (constraint and constraint.kind, constraint and constraint.source) == (kind, source)


@pytest.mark.parametrize(("value", "raw"), [("xml", r"\"xml\""), (5, "5"), ([1], "[1]"), (True, "true")])
@pytest.mark.parametrize("path", ["generate", "chat"])
async def test_row_22_bad_format(api, path, value, raw):
    text = f'invalid format: "{raw}"; expected "json" or a valid JSON Schema object'
    assert await api.error(path, {"model": "m", "format": value}) == (400, text)


async def test_row_23_a_constraint_waits_for_the_end_of_thinking_in_a_chat(api, doubles):
    await api.add("t", "thinking")
    chat = {"model": "t", "messages": [{"role": "user", "content": "x"}], "format": "json"}
    for path, body, after in (
        ("chat", chat, "</think>"),
        ("chat", {**chat, "think": False}, ""),
        ("generate", {"model": "t", "prompt": "x", "format": "json"}, ""),
    ):
        await api.ok(path, body)
        assert doubles.engine.jobs[-1].constraint_after == after


THINK = [(None, True), (True, True), (False, False), *((level, level) for level in ("low", "medium", "high", "max"))]


@pytest.mark.parametrize(("value", "expected"), THINK)
async def test_row_24_think_on_a_thinking_model(api, doubles, value, expected):
    await api.add("t", "thinking")
    doubles.engine.reply = lambda job: b"<think>hm</think>yes"
    answer = await api.ok("generate", {"model": "t", "prompt": "x", "think": value})
    if expected:
        assert (answer["thinking"], answer["response"]) == ("hm", "yes")
    else:
        assert answer["response"] == "<think>hm</think>yes"
        assert "thinking" not in answer
    lines = await api.lines("chat", {"model": "t", "messages": [{"role": "user", "content": "x"}], "think": value})
    assert "".join(line["message"].get("thinking", "") for line in lines) == ("hm" if expected else "")
    assert "".join(line["message"]["content"] for line in lines).endswith("yes")


@pytest.mark.parametrize("path", ["generate", "chat"])
async def test_row_24_bad_think(api, path):
    text = 'invalid think value: "x" (must be "high", "medium", "low", "max", true, or false)'
    assert await api.error(path, {"model": "m", "think": "x"}) == (400, text)
    for value in (1, {}, []):
        text = 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)'
        assert await api.error(path, {"model": "m", "think": value}) == (400, text)


@pytest.mark.parametrize("path", ["generate", "chat"])
async def test_row_24_a_model_that_does_not_think(api, path):
    for value in (True, "low"):
        expected = (400, '"M:latest" does not support thinking')
        assert await api.error(path, {"model": "M:latest", "prompt": "x", "think": value}) == expected
    assert (await api.ok(path, {"model": "m", "think": False}))["done_reason"] == "load"


async def rendered(api, body):
    return (await api.ok("generate", {**body, "_debug_render_only": True}))["_debug_info"]["rendered_template"]


async def test_row_25_prompt_system_and_template(api, doubles):
    history = [Message(role="user", content="old"), Message(role="assistant", content="times")]
    await api.add("s", system="be kind", messages=history)
    past = "[user] old\n[assistant] times\n"
    assert await rendered(api, {"model": "s", "prompt": "x"}) == (
        f"plain:\n[system] be kind\n{past}[user] x\n[assistant]"
    )
    assert await rendered(api, {"model": "s", "prompt": "x", "system": "be brief"}) == (
        f"plain:\n[system] be brief\n{past}[user] x\n[assistant]"
    )
    other = await rendered(api, {"model": "s", "prompt": "x", "template": "{{ other }} other", "system": ""})
    assert other.startswith("other:\n[system] be kind")
    assert await api.error("generate", {"model": "s", "prompt": "x", "template": "{{ open"}) == (
        400,
        "template error: unclosed action",
    )


async def test_row_25_raw(api, doubles):
    answer = await api.ok("generate", {"model": "m", "prompt": "2+2=", "raw": True})
    assert bytes(doubles.engine.jobs[-1].token_ids) == b"2+2="
    assert "context" not in answer
    text = "raw mode does not support template, system, or context"
    for conflict in ({"template": "t"}, {"system": "s"}, {"context": [1]}):
        assert await api.error("generate", {"model": "m", "prompt": "x", "raw": True, **conflict}) == (400, text)
    assert (await api.ok("generate", {"model": "m", "prompt": "x", "raw": True, "context": []}))["done"]


async def test_row_26_context(api, doubles):
    answer = await api.ok("generate", {"model": "m", "prompt": "x"})
    prompt = doubles.engine.jobs[-1].token_ids
    assert answer["context"] == [*prompt, *b"Hello!"]
    await api.ok("generate", {"model": "m", "prompt": "y", "context": answer["context"]})
    assert list(doubles.engine.jobs[-1].token_ids[: len(answer["context"])]) == answer["context"]
    lines = await api.lines("generate", {"model": "m", "prompt": "x"})
    assert ["context" in line for line in lines] == [False] * (len(lines) - 1) + [True]


async def test_row_26_with_a_context_the_history_is_not_told_again(api):
    await api.add("h", messages=[Message(role="user", content="old")])
    assert "old" in await rendered(api, {"model": "h", "prompt": "x"})
    assert "old" not in await rendered(api, {"model": "h", "prompt": "x", "context": []})


async def test_row_27_suffix(api, doubles):
    await api.add("f", "insert", system="unused")
    assert await rendered(api, {"model": "f", "prompt": "a", "suffix": "z"}) == "<prefix>a<suffix>z"
    text = "registry.ollama.ai/library/m:latest does not support insert"
    assert await api.error("generate", {"model": "m", "prompt": "a", "suffix": "z"}) == (400, text)


async def test_row_28_generate_load_and_unload(api, doubles, kernel):
    answer = await api.ok("generate", {"model": "m", "keep_alive": 0})
    assert (answer["response"], answer["done"], answer["done_reason"]) == ("", True, "unload")
    for streaming in (True, False):
        answer = await api.ok("generate", {"model": "m", "stream": streaming})
        assert answer.keys() == {"model", "created_at", "response", "done", "done_reason"}
        assert (answer["response"], answer["done"], answer["done_reason"]) == ("", True, "load")
    assert (doubles.engine.opened, len(kernel.pool.loaded())) == (1, 1)
    for value in ("0s", "0", 0):
        assert (await api.ok("generate", {"model": "m", "keep_alive": value}))["done_reason"] == "unload"
    assert kernel.pool.loaded() == []


async def test_row_28_loading_checks_what_the_model_can(api):
    await api.add("e", weights={"capabilities": ["embedding"]})
    assert await api.error("generate", {"model": "e"}) == (400, '"e" does not support generate')
    assert (await api.ok("generate", {"model": "e", "keep_alive": 0}))["done_reason"] == "unload"


async def test_row_36_an_embedding_model_does_not_generate(api):
    await api.add("e", weights={"capabilities": ["embedding"]})
    assert await api.error("generate", {"model": "e", "prompt": "x"}) == (400, '"e" does not support generate')
    chat = {"model": "e", "messages": [{"role": "user", "content": "x"}]}
    assert await api.error("chat", chat) == (400, '"e" does not support chat')


async def test_row_39_metrics_are_in_the_final_object(api):
    names = {"total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count"}
    names |= {"eval_duration"}
    *parts, last = await api.lines("generate", {"model": "m", "prompt": "x"})
    assert not any(names & part.keys() for part in parts)
    assert names <= last.keys()
    assert all(isinstance(last[name], int) and last[name] > 0 for name in names)
    assert last["eval_count"] == 6
    assert last["total_duration"] >= last["load_duration"] + last["eval_duration"]
    assert {"thinking", "tool_calls", "logprobs", "truncated"}.isdisjoint(last)


async def test_row_40_the_prompt_counts_what_was_cached(api, doubles):
    first = await api.ok("generate", {"model": "m", "prompt": "x"})
    doubles.engine.cached_tokens = 5
    second = await api.ok("generate", {"model": "m", "prompt": "x"})
    assert first["prompt_eval_count"] == second["prompt_eval_count"] == len(doubles.engine.jobs[-1].token_ids)


async def test_row_41_done_reason(api):
    for options, reason in (({}, "stop"), ({"num_predict": 2}, "length"), ({"stop": ["l"]}, "stop")):
        assert (await api.ok("generate", {"model": "m", "prompt": "x", "options": options}))["done_reason"] == reason


async def test_row_42_logprobs(api):
    body = {"model": "m", "prompt": "x", "logprobs": True}
    whole = await api.ok("generate", body)
    assert [entry["token"] for entry in whole["logprobs"]] == list("Hello!")
    assert whole["logprobs"][0] == {"token": "H", "logprob": -0.5, "bytes": [72]}
    *parts, last = await api.lines("generate", {**body, "top_logprobs": 2})
    entries = [entry for part in [*parts, last] for entry in part.get("logprobs", [])]
    assert [entry["token"] for entry in entries] == list("Hello!")
    assert [rival["logprob"] for rival in entries[0]["top_logprobs"]] == [-0.5, -1.5]
    assert all(part["response"] == part["logprobs"][0]["token"] for part in parts if part["response"])
    chat = await api.ok("chat", {**body, "messages": [{"role": "user", "content": "x"}]})
    assert len(chat["logprobs"]) == 6


async def test_row_42_bytes_that_are_no_text(api, doubles):
    doubles.engine.reply = lambda job: "é".encode()
    entries = (await api.ok("generate", {"model": "m", "prompt": "x", "logprobs": True}))["logprobs"]
    assert [entry["bytes"] for entry in entries] == [[0xC3], [0xA9]]


@pytest.mark.parametrize("path", ["generate", "chat"])
async def test_row_42_range(api, path):
    for count in (-1, 21, 10**9):
        expected = (400, "top_logprobs must be between 0 and 20")
        assert await api.error(path, {"model": "missing", "top_logprobs": count}) == expected
    assert "logprobs" not in await api.ok("generate", {"model": "m", "prompt": "x", "top_logprobs": 3})


async def test_row_69_debug_render_only(api, doubles):
    for body in ({"prompt": "x"}, {"prompt": "x", "stream": True}):
        answer = await api.ok("generate", {"model": "m", "_debug_render_only": True, **body})
        assert answer["_debug_info"] == {"rendered_template": "plain:\n[user] x\n[assistant]"}
        assert (answer["response"], answer["done"]) == ("", False)
    chat = {"model": "m", "messages": [{"role": "user", "content": "x"}], "_debug_render_only": True}
    answer = await api.ok("chat", {**chat, "stream": True})
    assert answer["_debug_info"]["rendered_template"] == "plain:\n[user] x\n[assistant]"
    assert doubles.engine.jobs == []
