"""Rows 7, 10, 11, 21, 32, 33 and 36 of the Anthropic API's checklist: whole answers, and counting."""

import re

import pytest

CALLS = b'Sure. <call>{"name":"weather","arguments":{"city":"Oslo"}}</call><call>{"name":"now","arguments":{}}</call>'
TOOLS = [{"name": "weather", "input_schema": {"type": "object"}}, {"name": "now"}]
MARK = {"type": "ephemeral"}


async def test_row_7_the_whole_answer(messages, prompt):
    answer = await messages.ok()
    assert re.fullmatch("msg_[0-9a-f]{24}", answer.pop("id"))
    assert answer == {
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hello!"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": len(prompt()), "output_tokens": 6},
    }


async def test_row_7_nothing_was_generated(messages, doubles):
    doubles.engine.reply = lambda job: b""
    answer = await messages.ok()
    assert (answer["content"], answer["stop_reason"]) == ([], "end_turn")


async def test_row_7_the_cache_is_told_to_whoever_marks_it(messages, doubles, prompt):
    doubles.engine.cached_tokens = 10
    assert (await messages.ok())["usage"] == {"input_tokens": len(prompt()), "output_tokens": 6}
    told = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 10}
    block = {"type": "text", "text": "Hi", "cache_control": MARK}
    for marked in (
        {"system": [block]},
        {"messages": [{"role": "user", "content": [block]}]},
        {"cache_control": MARK},
        {"model": "t", "tools": [{"name": "now", "cache_control": MARK}]},
    ):
        usage = (await messages.ok(**marked))["usage"]
        assert usage == {"input_tokens": len(prompt()) - 10, "output_tokens": 6, **told}


async def test_row_10_too_few_tokens(messages):
    answer = await messages.ok(max_tokens=3)
    assert (answer["content"], answer["stop_reason"]) == ([{"type": "text", "text": "Hel"}], "max_tokens")
    assert answer["usage"]["output_tokens"] == 3


async def test_a_server_that_ends_asks_for_the_turn_again(messages, shutting_down):
    answer = await messages.ok()
    assert (answer["content"], answer["stop_reason"]) == ([{"type": "text", "text": "Hello!"}], "pause_turn")
    *_, delta, _ = await messages.events()
    assert delta["delta"] == {"stop_reason": "pause_turn"}


async def test_row_11_a_stop_sequence(messages):
    answer = await messages.ok(stop_sequences=["x", "lo"])
    assert answer["content"] == [{"type": "text", "text": "Hel"}]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "lo")


async def test_row_11_a_stop_string_of_the_model_is_an_ordinary_end(messages):
    await messages.add("own", parameters={"stop": ["lo"]})
    answer = await messages.ok(model="own")
    assert answer["content"] == [{"type": "text", "text": "Hel"}]
    assert (answer["stop_reason"], "stop_sequence" in answer) == ("end_turn", False)


async def test_row_17_calls(messages, doubles):
    doubles.engine.reply = lambda job: CALLS
    answer = await messages.ok(model="t", tools=TOOLS, max_tokens=500)
    said, *calls = answer["content"]
    assert said == {"type": "text", "text": "Sure. "}
    ids = [call.pop("id") for call in calls]
    assert all(re.fullmatch("call_[a-z0-9]{8}", each) for each in ids)
    assert len(set(ids)) == 2
    assert calls == [
        {"type": "tool_use", "name": "weather", "input": {"city": "Oslo"}},
        {"type": "tool_use", "name": "now", "input": {}},
    ]
    assert answer["stop_reason"] == "tool_use"


async def test_row_17_a_call_that_was_cut_is_still_a_call(messages, doubles):
    doubles.engine.reply = lambda job: CALLS + b"more" * 20
    answer = await messages.ok(model="t", tools=TOOLS, max_tokens=len(CALLS) + 4)
    assert (answer["stop_reason"], answer["usage"]["output_tokens"]) == ("tool_use", len(CALLS) + 4)


async def test_row_17_an_id_of_the_model_is_kept_once(messages, doubles):
    doubles.engine.reply = lambda job: b'<call>{"name":"now","arguments":{},"id":"own"}</call>' * 2
    answer = await messages.ok(model="t", tools=TOOLS, max_tokens=500)
    first, second = (call["id"] for call in answer["content"])
    assert first == "own"
    assert second.startswith("call_")


@pytest.mark.parametrize("fields", [{}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}])
async def test_row_21_a_model_that_thinks(messages, doubles, fields):
    doubles.engine.reply = lambda job: b"<think>hm</think>Yes."
    answer = await messages.ok(model="t", **fields)
    assert answer["content"] == [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Yes."}]
    assert answer["usage"]["output_tokens_details"] == {"thinking_tokens": len("<think>hm</think>")}


class TestSkippedTools:
    """With `skip_server_tools` what only Anthropic's servers could run is left out."""

    @pytest.fixture
    def tables(self):
        offer = {"offer": ["loader", "tokenizer", "template", "engine", "source"]}
        return {"doubles": offer, "anthropic_api": {"skip_server_tools": True}}

    async def test_row_32_web_search_is_not_there(self, messages, prompt):
        search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
        assert (await messages.ok(tools=[search]))["content"] == [{"type": "text", "text": "Hello!"}]
        assert "[tool]" not in prompt()


async def test_too_long_a_prompt_is_cut_when_asked(messages):
    await messages.add("s", weights={"context_length": 64})
    long = [{"role": "user", "content": "x" * 200}]
    status, _, said = await messages.error({"model": "s", "messages": long})
    assert (status, "exceeds the available context size" in said) == (400, True)
    answer = await messages.ok(model="s", messages=long, truncate=True)
    assert answer["truncated"]["prompt_tokens"] > 200
    assert answer["truncated"]["kept_tokens"] == answer["usage"]["input_tokens"] < 64
    *_, end, _ = await messages.events(model="s", messages=long, truncate=True)
    assert (end["type"], end["truncated"]) == ("message_delta", answer["truncated"])
    assert "truncated" not in await messages.ok(truncate=True)


async def test_row_33_count_tokens(messages):
    answer = await messages.ok(system="be kind")
    assert await messages.count(system="be kind") == answer["usage"]["input_tokens"]
    assert await messages.count(model="t", tools=TOOLS) > await messages.count(model="t")
    long = [{"role": "user", "content": "x" * 1000}] * 3
    assert await messages.count(messages=long) > 3000


async def test_row_33_count_tokens_refuses_as_messages_does(messages):
    path = "/v1/messages/count_tokens"
    assert (await messages.error({"model": "nope"}, path))[:2] == (404, "not_found_error")
    assert (await messages.error({"messages": []}, path))[2] == "messages is required"
    assert (await messages.error({"model": ""}, path))[2] == "model is required"


async def test_row_36_a_session_of_an_agent(messages, doubles, prompt):
    names = [f"tool{number}" for number in range(30)]
    tools = [{"name": name, "description": "d", "input_schema": {"type": "object", "properties": {}}} for name in names]
    calls = [{"type": "tool_use", "id": f"c{number}", "name": name, "input": {}} for number, name in enumerate(names)]
    results = [
        {"type": "tool_result", "tool_use_id": f"c{number}", "content": [{"type": "text", "text": f"r{number}"}]}
        for number in range(30)
    ]
    results[-1]["cache_control"] = MARK
    doubles.engine.reply = lambda job: b'<think>next</think><call>{"name":"tool7","arguments":{"a":[1]}}</call>'
    await messages.add("agent", "thinking tools", weights={"context_length": 8192})
    events = await messages.events(
        model="agent",
        max_tokens=4000,
        system=[
            {"type": "text", "text": "You are an agent. " * 20},
            {"type": "text", "text": "Work.", "cache_control": MARK},
        ],
        tools=tools,
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        metadata={"user_id": "someone"},
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Go.", "cache_control": MARK}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "so", "signature": ""}, *calls]},
            {"role": "user", "content": [*results, {"type": "text", "text": "<reminder>"}]},
        ],
    )
    lines = prompt().splitlines()
    assert lines[1:31] == [f"[tool] {name}" for name in names]
    assert lines[-32:-1] == [*(f"[tool] <tool{n}> <c{n}> r{n}" for n in range(30)), "[user] <reminder>"]
    blocks = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert blocks == ["thinking", "tool_use"]
    assert events[-2]["delta"] == {"stop_reason": "tool_use"}
    assert "cache_read_input_tokens" in events[-2]["usage"]
