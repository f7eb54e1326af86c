"""Rows 22-31 and 34 of the Anthropic API's checklist: the events of a stream."""

import asyncio
import re

import pytest

CALLS = b'Sure.<call>{"name":"weather","arguments":{"city":"Oslo"}}</call><call>{"name":"now","arguments":{}}</call>'
TOOLS = [{"name": "weather", "input_schema": {"type": "object"}}, {"name": "now"}]


def shape(events):
    """The events without what is said in them; deltas of one kind that follow each other count once."""
    rows = []
    for event in events:
        kind = event["type"].removeprefix("content_block_")
        detail = {
            "start": lambda event: event["content_block"]["type"],
            "delta": lambda event: event["delta"]["type"],
        }.get(kind, lambda event: None)(event)
        row = (kind, event.get("index"), detail)
        if not rows or rows[-1] != row:
            rows.append(row)
    return rows


def said(events, field):
    deltas = (event["delta"] for event in events if event["type"] == "content_block_delta")
    return "".join(delta[field] for delta in deltas if field in delta)


async def test_row_22_headers(messages):
    response = await messages.post({"stream": True})
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["Connection"] == "keep-alive"
    assert "[DONE]" not in await response.text()


async def test_row_23_text(messages, prompt):
    events = await messages.events()
    start, *middle, delta, stop = events
    head = start["message"]
    assert re.fullmatch("msg_[0-9a-f]{24}", head.pop("id"))
    usage = {"input_tokens": len(prompt()), "output_tokens": 0}
    assert start == {
        "type": "message_start",
        "message": {"type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage},
    }
    assert middle[0] == {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    assert all(event["delta"]["type"] == "text_delta" for event in middle[1:-1])
    assert said(events, "text") == "Hello!"
    assert middle[-1] == {"type": "content_block_stop", "index": 0}
    assert delta == {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": len(prompt()), "output_tokens": 6},
    }
    assert stop == {"type": "message_stop"}


async def test_rows_10_and_11_ends_of_a_stream(messages):
    *_, delta, _ = await messages.events(max_tokens=2)
    assert delta["delta"] == {"stop_reason": "max_tokens"}
    *_, delta, _ = await messages.events(stop_sequences=["lo"])
    assert delta["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "lo"}


async def test_row_24_thinking_then_text(messages, doubles):
    doubles.engine.reply = lambda job: b"<think>hm</think>Yes."
    events = await messages.events(model="t", thinking={"type": "enabled", "budget_tokens": 1024})
    assert shape(events) == [
        ("message_start", None, None),
        ("start", 0, "thinking"),
        ("delta", 0, "thinking_delta"),
        ("stop", 0, None),
        ("start", 1, "text"),
        ("delta", 1, "text_delta"),
        ("stop", 1, None),
        ("message_delta", None, None),
        ("message_stop", None, None),
    ]
    assert (said(events, "thinking"), said(events, "text")) == ("hm", "Yes.")


async def test_row_24_more_thinking_is_a_block_of_its_own(messages, doubles):
    doubles.engine.reply = lambda job: b"<think>a</think>b<think>c</think>"
    events = await messages.events(model="t")
    assert [row[2] for row in shape(events) if row[0] == "start"] == ["thinking", "text", "thinking"]
    assert (said(events, "thinking"), said(events, "text")) == ("ac", "b")


async def test_row_25_thinking_then_a_call(messages, doubles):
    doubles.engine.reply = lambda job: b'<think>hm</think><call>{"name":"now","arguments":{}}</call>'
    assert shape(await messages.events(model="t", tools=TOOLS, max_tokens=500))[1:-2] == [
        ("start", 0, "thinking"),
        ("delta", 0, "thinking_delta"),
        ("stop", 0, None),
        ("start", 1, "tool_use"),
        ("delta", 1, "input_json_delta"),
        ("stop", 1, None),
    ]


async def test_rows_26_and_27_text_then_calls(messages, doubles):
    doubles.engine.reply = lambda job: CALLS
    events = await messages.events(model="t", tools=TOOLS, max_tokens=500)
    assert shape(events)[1:-2] == [
        ("start", 0, "text"),
        ("delta", 0, "text_delta"),
        ("stop", 0, None),
        ("start", 1, "tool_use"),
        ("delta", 1, "input_json_delta"),
        ("stop", 1, None),
        ("start", 2, "tool_use"),
        ("delta", 2, "input_json_delta"),
        ("stop", 2, None),
    ]
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert [(block["name"], block["input"]) for block in starts[1:]] == [("weather", {}), ("now", {})]
    assert starts[1]["id"] != starts[2]["id"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"][-2:]
    assert deltas == [
        {"type": "input_json_delta", "partial_json": '{"city":"Oslo"}'},
        {"type": "input_json_delta", "partial_json": "{}"},
    ]
    assert events[-2]["delta"] == {"stop_reason": "tool_use"}


async def test_row_28_blocks_begin_with_their_own_key_only(messages, doubles):
    doubles.engine.reply = lambda job: b"<think>hm</think>Yes."
    events = await messages.events(model="t")
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert starts == [{"type": "thinking", "thinking": ""}, {"type": "text", "text": ""}]


async def test_row_29_usage(messages, doubles, prompt):
    doubles.engine.cached_tokens = 10
    events = await messages.events(cache_control={"type": "ephemeral"})
    told = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 10}
    expected = {"input_tokens": len(prompt()) - 10, "output_tokens": 0, **told}
    assert events[0]["message"]["usage"] == expected
    assert events[-2]["usage"] == {**expected, "output_tokens": 6}


async def test_row_31_an_empty_answer(messages, doubles):
    doubles.engine.reply = lambda job: b""
    events = await messages.events()
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]


async def test_row_34_a_client_that_leaves_ends_the_work(messages, doubles):
    doubles.engine.pause_at = 2
    response = await messages.post({"stream": True})
    await doubles.engine.paused.wait()
    response.close()
    async with asyncio.timeout(5):
        assert await doubles.engine.endings.get() == "cancelled"


async def test_row_34_also_when_no_stream_was_asked_for(messages, doubles):
    doubles.engine.pause_at = 2
    waiting = asyncio.create_task(messages.post({}))
    await doubles.engine.paused.wait()
    waiting.cancel()
    async with asyncio.timeout(5):
        assert await doubles.engine.endings.get() == "cancelled"


class TestSilence:
    """Row 30: a sign of life while nothing is generated."""

    @pytest.fixture
    def tables(self, tables):
        return {**tables, "anthropic_api": {"ping_s": 0.01}}

    async def read_until_ping(self, response):
        text = b""
        async with asyncio.timeout(5):
            while b"event: ping" not in text:
                text += await response.content.readany()
        return text

    async def test_between_tokens(self, messages, doubles):
        doubles.engine.pause_at = 2
        response = await messages.post({"stream": True})
        text = await self.read_until_ping(response)
        assert text.startswith(b"event: message_start\n")
        assert b'event: ping\ndata: {"type":"ping"}\n\n' in text
        doubles.engine.resume.set()
        rest = await response.text()
        assert rest.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')

    async def test_before_the_model_is_loaded_the_count_is_a_guess(self, messages, doubles):
        doubles.engine.may_load.clear()
        response = await messages.post({"stream": True, "messages": [{"role": "user", "content": "x" * 40}]})
        text = await self.read_until_ping(response)
        assert b'"usage":{"input_tokens":11,"output_tokens":0}' in text
        doubles.engine.may_load.set()
        assert '"output_tokens":6' in await response.text()
