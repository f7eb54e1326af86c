"""Rows 5, 16 and 29-31 of the OpenAI API's checklist: completions."""

import re

import pytest

from corral import ScoredToken

ASK = {"model": "m", "prompt": "x"}


async def job(openai, doubles, **body):
    """The engine's job for a request."""
    await openai.ok("completions", {**ASK, **body})
    return doubles.engine.jobs[-1]


def prompt(seen):
    return bytes(seen.token_ids).decode()


async def test_row_29_a_whole_answer(openai):
    answer = await openai.ok("completions", ASK)
    assert list(answer) == ["id", "object", "created", "model", "system_fingerprint", "choices", "usage"]
    assert re.fullmatch("cmpl-[a-z0-9]{24}", answer["id"])
    assert (answer["object"], answer["model"], answer["system_fingerprint"]) == ("text_completion", "m", "fp_ollama")
    assert answer["choices"] == [{"text": "Hello!", "index": 0, "finish_reason": "stop"}]
    assert answer["usage"]["completion_tokens"] == 6


async def test_row_29_the_prompt_is_a_turn_of_the_user(openai, doubles):
    assert prompt(await job(openai, doubles)) == "plain:\n[user] x\n[assistant]"
    assert prompt(await job(openai, doubles, raw=True)) == "x"


async def test_row_29_options(openai, doubles):
    await openai.add("p", parameters={"temperature": 0.1, "top_p": 0.2, "frequency_penalty": 1, "presence_penalty": 1})
    options = (await job(openai, doubles, model="p", top_p=0)).options
    assert (options.temperature, options.top_p, options.frequency_penalty, options.presence_penalty) == (1, 1, 0, 0)
    options = (await job(openai, doubles, model="p", top_p=0.5, presence_penalty=1.5, stop=["a", "b"])).options
    assert (options.top_p, options.presence_penalty, options.stop) == (0.5, 1.5, ("a", "b"))


async def test_row_29_suffix(openai, doubles):
    await openai.add("i", "insert")
    assert prompt(await job(openai, doubles, model="i", suffix="z")) == "<prefix>x<suffix>z"
    status, error = await openai.error("completions", {**ASK, "suffix": "z"})
    assert (status, error["message"]) == (400, "registry.ollama.ai/library/m:latest does not support insert")
    for more in ({"echo": True}, {"prompt": [1, 2]}):
        status, error = await openai.error("completions", {**ASK, "model": "i", "suffix": "z", **more})
        assert (status, error["param"], error["code"]) == (400, "suffix", "unsupported_parameter")


async def test_row_29_length(openai):
    (choice,) = (await openai.ok("completions", {**ASK, "max_tokens": 3}))["choices"]
    assert choice == {"text": "Hel", "index": 0, "finish_reason": "length"}


async def test_thinking_has_a_field_of_its_own(openai, doubles):
    await openai.add("t", "thinking")
    doubles.engine.reply = lambda job: b"<think>hm</think>yes"
    (choice,) = (await openai.ok("completions", {**ASK, "model": "t"}))["choices"]
    assert choice == {"text": "yes", "index": 0, "finish_reason": "stop", "reasoning": "hm"}


async def test_row_30_a_stream(openai):
    *parts, last = [chunk["choices"][0] for chunk in await openai.chunks("completions", ASK)]
    assert "".join(part["text"] for part in parts) == "Hello!"
    assert all(list(part) == ["text", "index", "finish_reason"] for part in [*parts, last])
    assert [part["finish_reason"] for part in parts] == [None] * len(parts)
    assert last == {"text": "", "index": 0, "finish_reason": "stop"}


async def test_row_30_include_usage(openai):
    *parts, last = await openai.chunks("completions", {**ASK, "stream_options": {"include_usage": True}})
    assert all(part["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0} for part in parts)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 6
    assert not any("usage" in chunk for chunk in await openai.chunks("completions", ASK))


@pytest.mark.parametrize(("item", "kind"), [(5, "float64"), (None, "<nil>"), (True, "bool")])
async def test_row_31_stop_strings_are_strings(openai, item, kind):
    status, error = await openai.error("completions", {**ASK, "stop": ["a", item]})
    assert (status, error["message"]) == (400, f"invalid type for 'stop' field: {kind}")
    assert (error["param"], error["code"]) == ("stop", "invalid_type")


@pytest.mark.parametrize(("value", "kind"), [(5, "float64"), (0, "float64"), (False, "bool")])
async def test_row_31_stop_is_a_string_or_a_list(openai, value, kind):
    status, error = await openai.error("completions", {**ASK, "stop": value})
    assert (status, error["message"]) == (400, f"invalid type for 'stop' field: {kind}")


async def test_row_05_names(openai):
    for model in ("", None):
        status, error = await openai.error("completions", {"prompt": "x", "model": model})
        assert (status, error["message"], error["type"]) == (404, "model '' not found", "not_found_error")
    status, error = await openai.error("completions", {**ASK, "model": "nope"})
    assert (status, error["message"]) == (404, "model 'nope' not found")
    await openai.add("e", weights={"capabilities": ["embedding"]})
    for text in ("x", ""):
        status, error = await openai.error("completions", {"prompt": text, "model": "e"})
        assert (status, error["message"]) == (400, '"e" does not support generate')


async def test_an_empty_prompt_loads(openai, doubles, kernel):
    for empty in ("", None, [""]):
        answer = await openai.ok("completions", {"model": "m", "prompt": empty})
        assert answer["choices"] == [{"text": "", "index": 0, "finish_reason": "stop"}]
        assert answer["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    (chunk,) = await openai.chunks("completions", {"model": "m", "prompt": ""})
    assert chunk["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in chunk
    ask = {"model": "m", "prompt": "", "stream_options": {"include_usage": True}}
    chunk, last = await openai.chunks("completions", ask)
    assert (chunk["choices"][0]["finish_reason"], last["choices"]) == ("stop", [])
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert chunk["usage"] == last["usage"] == nothing
    assert (doubles.engine.opened, doubles.engine.jobs) == (1, [])


async def test_token_ids_run_as_they_are(openai, doubles):
    await openai.add("b", weights={"add_bos": True})
    for ids in ([72, 105], [[72, 105]]):
        assert (await job(openai, doubles, model="b", prompt=ids)).token_ids == (72, 105)
    answer = await openai.ok("completions", {**ASK, "prompt": [72, 105], "echo": True})
    assert answer["choices"][0]["text"] == "HiHello!"
    assert answer["usage"]["prompt_tokens"] == 2


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        (5, "prompt"),
        ([], "prompt"),
        ({"a": 1}, "prompt"),
        ([1, "x"], "prompt"),
        (["x", 1.5], "prompt[1]"),
        (["x", [1, None]], "prompt[1]"),
        ([True], "prompt"),
        ([300], "prompt"),
        ([[-1]], "prompt"),
    ],
)
async def test_prompts_that_are_none(openai, wrong, param):
    status, error = await openai.error("completions", {**ASK, "prompt": wrong})
    assert (status, error["param"]) == (400, param)


async def test_several_prompts(openai, doubles):
    doubles.engine.reply = lambda job: b"%d" % len(job.token_ids)
    answer = await openai.ok("completions", {**ASK, "prompt": ["a", "bcd", [1, 2, 3]], "raw": True, "n": 2})
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == list(enumerate("113333"))
    assert answer["usage"]["prompt_tokens"] == 7
    assert answer["usage"]["completion_tokens"] == 6
    chunks = await openai.chunks("completions", {**ASK, "prompt": ["a", "bcd"], "raw": True})
    texts = {
        index: "".join(c["choices"][0]["text"] for c in chunks if c["choices"][0]["index"] == index) for index in (0, 1)
    }
    assert texts == {0: "1", 1: "3"}


async def test_what_multiplies_work_is_bounded(openai):
    for body, param in (
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"best_of": 129}, "best_of"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"prompt": ["a"] * 65, "n": 2}, "prompt"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": -1}, "logprobs"),
    ):
        status, error = await openai.error("completions", {**ASK, **body})
        assert (status, error["param"]) == (400, param)


async def test_best_of_keeps_the_most_likely(openai, doubles, monkeypatch):
    from corral.testing import scripted_engine

    monkeypatch.setattr(
        scripted_engine,
        "_scored",
        lambda token_id, n_rivals: ScoredToken(token_id=token_id, logprob=token_id / 1000 - 1),
    )
    doubles.engine.reply = lambda job: b"%d" % job.options.seed
    answer = await openai.ok("completions", {**ASK, "best_of": 4, "n": 2, "seed": 5})
    assert [choice["text"] for choice in answer["choices"]] == ["8", "7"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert "logprobs" not in answer["choices"][0]
    assert answer["usage"]["completion_tokens"] == 4


async def test_logprobs(openai):
    (choice,) = (await openai.ok("completions", {**ASK, "logprobs": 2, "max_tokens": 2}))["choices"]
    assert choice["logprobs"] == {
        "tokens": ["H", "e"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"H": -0.5, "I": -1.5}, {"e": -0.5, "f": -1.5}],
        "text_offset": [0, 1],
    }
    (choice,) = (await openai.ok("completions", {**ASK, "logprobs": 0, "max_tokens": 1}))["choices"]
    assert choice["logprobs"]["top_logprobs"] == [None]
    for off in (None, False):
        assert "logprobs" not in (await openai.ok("completions", {**ASK, "logprobs": off}))["choices"][0]
    *parts, last = await openai.chunks("completions", {**ASK, "logprobs": 1, "max_tokens": 2})
    assert [part["choices"][0]["logprobs"]["text_offset"] for part in parts] == [[0], [1]]
    assert "logprobs" not in last["choices"][0]


async def test_echo_puts_the_prompt_first(openai, doubles):
    body = {**ASK, "prompt": "Say: ", "echo": True}
    answer = await openai.ok("completions", body)
    assert answer["choices"][0]["text"] == "Say: Hello!"
    assert prompt(doubles.engine.jobs[-1]) == "Say: "
    chunks = await openai.chunks("completions", body)
    assert chunks[0]["choices"][0]["text"] == "Say: H"
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "Say: Hello!"


@pytest.mark.parametrize("streaming", [False, True])
async def test_echo_with_logprobs_scores_the_prompt(openai, doubles, streaming):
    body = {**ASK, "prompt": "abc", "echo": True, "logprobs": 1, "max_tokens": 1}
    if streaming:
        choice = (await openai.chunks("completions", body))[0]["choices"][0]
    else:
        (choice,) = (await openai.ok("completions", body))["choices"]
    assert choice["text"] == "abcH"
    assert choice["logprobs"]["tokens"] == ["a", "b", "c", "H"]
    assert choice["logprobs"]["token_logprobs"] == [None, -0.5, -0.5, -0.5]
    assert choice["logprobs"]["top_logprobs"] == [None, {"b": -0.5}, {"c": -0.5}, {"H": -0.5}]
    assert choice["logprobs"]["text_offset"] == [0, 1, 2, 3]


async def test_only_the_prompt_is_scored(openai, doubles):
    await openai.add("b", weights={"add_bos": True})
    body = {"model": "b", "prompt": ["ab", "cd"], "echo": True, "logprobs": 1, "max_tokens": 0}
    answer = await openai.ok("completions", body)
    assert [choice["text"] for choice in answer["choices"]] == ["ab", "cd"]
    assert answer["choices"][0]["logprobs"]["tokens"] == ["a", "b"]
    assert answer["choices"][0]["logprobs"]["token_logprobs"] == [-0.5, -0.5]
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 0
    assert answer["usage"]["prompt_tokens"] == 6


async def test_the_rendered_prompt(openai):
    answer = await openai.ok("completions", {**ASK, "_debug_render_only": True})
    assert answer["_debug_info"] == {"rendered_template": "plain:\n[user] x\n[assistant]"}


async def test_too_long_a_prompt(openai):
    for text in ("y" * 300, [1] * 300):
        status, error = await openai.error("completions", {**ASK, "prompt": text})
        assert (status, error["param"], error["code"]) == (400, "prompt", "context_length_exceeded")
        answer = await openai.ok("completions", {**ASK, "prompt": text, "truncate": True})
        assert answer["truncated"]["kept_tokens"] == answer["usage"]["prompt_tokens"] < 256


@pytest.mark.parametrize("field", ["user", "logit_bias", "n", "best_of", "seed"])
async def test_fields_may_be_null(openai, field):
    await openai.ok("completions", {**ASK, field: None})


@pytest.mark.parametrize("streaming", [False, True])
async def test_no_tokens_at_all(openai, streaming):
    body = {"model": "m", "prompt": "ab", "max_tokens": 0, "stream_options": {"include_usage": True}}
    if streaming:
        *chunks, last = await openai.chunks("completions", body)
        (choice,) = (choice for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"])
        usage = last["usage"]
    else:
        answer = await openai.ok("completions", body)
        (choice,), usage = answer["choices"], answer["usage"]
    assert (choice["text"], choice["finish_reason"], usage["completion_tokens"]) == ("", "length", 0)
