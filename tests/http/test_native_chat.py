"""Rows 29-35 and 57-59 of the native API's checklist: conversations."""

import base64
import re

import pytest

from corral import Message

USER = {"role": "user", "content": "x"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "d",
        "parameters": {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": ["string", "null"]}}},
    },
}


async def rendered(api, body):
    return (await api.ok("chat", {**body, "_debug_render_only": True}))["_debug_info"]["rendered_template"]


async def test_row_29_chat_load_and_unload(api, doubles, kernel):
    for body in ({}, {"messages": []}, {"messages": None}, {"stream": True}):
        answer = await api.ok("chat", {"model": "m", **body})
        assert answer.keys() == {"model", "created_at", "message", "done", "done_reason"}
        assert answer["message"] == {"role": "assistant", "content": ""}
        assert (answer["done"], answer["done_reason"]) == (True, "load")
    assert doubles.engine.opened == 1
    assert (await api.ok("chat", {"model": "m", "keep_alive": "0s"}))["done_reason"] == "unload"
    assert kernel.pool.loaded() == []


async def test_row_30_system_and_messages_of_the_model(api):
    await api.add("s", system="be kind", messages=[Message(role="user", content="old")])
    with_system = await rendered(api, {"model": "s", "messages": [USER]})
    assert with_system == "plain:\n[system] be kind\n[user] old\n[user] x\n[assistant]"
    own = [{"role": "SYSTEM", "content": "mine"}, USER]
    assert await rendered(api, {"model": "s", "messages": own}) == (
        "plain:\n[user] old\n[system] mine\n[user] x\n[assistant]"
    )


async def test_row_31_roles_and_content(api):
    odd = [{"role": "USER", "content": None}, {"role": "Narrator", "content": "y"}, {"content": "z"}]
    assert await rendered(api, {"model": "m", "messages": odd}) == ("plain:\n[user] \n[narrator] y\n[] z\n[assistant]")
    status, text = await api.error("chat", {"model": "m", "messages": [{"role": "user", "content": ["x"]}]})
    assert (status, text) == (400, "json: Expected `str`, got `array` - at `$.messages[0].content`")


async def test_row_32_images(api):
    await api.add("v", weights={"capabilities": ["completion", "vision"]})
    image = base64.b64encode(b"\x89PNG").decode()
    message = {**USER, "images": [image, image[:4] + "\n" + image[4:]]}
    answer = await api.ok("chat", {"model": "v", "messages": [message], "_debug_render_only": True})
    assert answer["_debug_info"]["image_count"] == 2
    answer = await api.ok("generate", {"model": "v", "prompt": "x", "images": [image], "_debug_render_only": True})
    assert answer["_debug_info"]["image_count"] == 1


@pytest.mark.parametrize(("text", "at"), [("ab!d", 2), ("data:image/png;base64,AAAA", 4), ("abc", 0), ("abcdefg", 4)])
async def test_row_32_bad_base64(api, text, at):
    expected = (400, f"illegal base64 data at input byte {at}")
    assert await api.error("chat", {"model": "m", "messages": [{**USER, "images": [text]}]}) == expected
    assert await api.error("generate", {"model": "m", "prompt": "x", "images": [text]}) == expected


async def test_row_32_a_model_without_eyes(api):
    status, text = await api.error("chat", {"model": "m", "messages": [{**USER, "images": ["AAAA"]}]})
    assert status == 400
    assert "does not support vision" in text


CALLS = b'Sure. <call>{"name":"weather","arguments":{"a":"Oslo"}}</call><call>{"name":"weather","arguments":{}}</call>'


async def test_row_33_tools(api, doubles):
    await api.add("t", "tools")
    doubles.engine.reply = lambda job: CALLS
    body = {"model": "t", "messages": [USER], "tools": [TOOL]}
    whole = await api.ok("chat", body)
    assert (whole["message"]["content"], whole["done_reason"]) == ("Sure. ", "stop")
    calls = whole["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [
        {"index": 0, "name": "weather", "arguments": {"a": "Oslo"}},
        {"index": 1, "name": "weather", "arguments": {}},
    ]
    assert all(re.fullmatch("call_[a-z0-9]{8}", call["id"]) for call in calls)
    assert calls[0]["id"] != calls[1]["id"]
    *parts, last = await api.lines("chat", body)
    streamed = [call for part in parts for call in part["message"].get("tool_calls", [])]
    assert [call["function"] for call in streamed] == [call["function"] for call in calls]
    assert "".join(part["message"]["content"] for part in parts) == "Sure. "
    assert "tool_calls" not in last["message"]
    assert last["done_reason"] == "stop"


async def test_row_33_an_id_of_the_model_is_kept(api, doubles):
    await api.add("t", "tools")
    doubles.engine.reply = lambda job: b'<call>{"name":"weather","arguments":{},"id":"own1"}</call>'
    answer = await api.ok("chat", {"model": "t", "messages": [USER], "tools": [TOOL]})
    assert [call["id"] for call in answer["message"]["tool_calls"]] == ["own1"]


async def test_row_34_calls_and_results_come_back(api):
    await api.add("t", "tools")
    call = {"id": "c1", "type": "function", "function": {"index": 3, "name": "weather", "arguments": {"b": 1, "a": 2}}}
    messages = [
        USER,
        {"role": "assistant", "content": None, "thinking": "hm", "tool_calls": [call]},
        {"role": "tool", "content": "11 degrees", "tool_name": "weather", "tool_call_id": "c1"},
    ]
    assert await rendered(api, {"model": "t", "messages": messages, "tools": [TOOL]}) == (
        "tools:\n[tool] weather\n[user] x\n[assistant] (hm)  c1:weather"
        '{"b": 1, "a": 2}\n[tool] <weather> <c1> 11 degrees\n[assistant]'
    )


async def test_row_35_tools_on_a_model_without(api):
    text = "registry.ollama.ai/library/m:latest does not support tools"
    for messages in ([USER], []):
        assert await api.error("chat", {"model": "m", "messages": messages, "tools": [TOOL]}) == (400, text)


async def test_row_57_the_oldest_go_first(api, doubles):
    await api.add("c", weights={"context_length": 60})
    messages = [{"role": "system", "content": "S"}]
    messages += [{"role": "user", "content": f"{number}" * 10} for number in range(6)]
    answer = await api.ok("chat", {"model": "c", "messages": messages})
    text = bytes(doubles.engine.jobs[-1].token_ids).decode()
    assert text == f"plain:\n[system] S\n[user] {'5' * 10}\n[assistant]"
    assert answer["truncated"]["kept_tokens"] == len(text)
    assert answer["truncated"]["prompt_tokens"] > 60


async def test_row_58_one_message_that_is_too_long(api, doubles):
    await api.add("c", weights={"context_length": 60})
    body = {"model": "c", "messages": [{"role": "user", "content": "y" * 100}]}
    answer = await api.ok("chat", body)
    assert len(doubles.engine.jobs[-1].token_ids) == answer["truncated"]["kept_tokens"] == 60 - (60 - 4) // 2
    status, text = await api.error("chat", {**body, "truncate": False})
    assert status == 400
    assert "exceeds the available context size" in text
    status, text = await api.error("chat", {**body, "shift": False})
    assert status == 400
    assert text.startswith("the prompt is longer than the context length currently available")


async def test_row_59_shift(api, doubles):
    await api.add("c", weights={"context_length": 40})
    doubles.engine.reply = lambda job: b"z" * 0 + b"abcdefghij" * 5
    shifted = await api.ok("chat", {"model": "c", "messages": [USER]})
    assert (len(shifted["message"]["content"]), shifted["done_reason"]) == (50, "stop")
    held = await api.ok("chat", {"model": "c", "messages": [USER], "shift": False})
    assert (len(held["message"]["content"]) < 20, held["done_reason"]) == (True, "length")


async def test_f32_too_many_messages(api):
    status, text = await api.error("chat", {"model": "m", "messages": [USER] * 10_001})
    assert (status, text) == (400, "10001 messages; at most 10000 are served")


async def test_a_tool_of_the_wrong_type_is_named(api):
    tools = [{"function": {"name": "a"}}, {"function": {"name": "b", "parameters": "x"}}]
    assert await api.error("chat", {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": tools}) == (
        400,
        "json: Expected `object`, got `str` - at `$.tools[1].function.parameters`",
    )
    assert (await api.error("chat", {"model": "m", "tools": ["x"]}))[1].endswith("at `$.tools[0]`")


@pytest.mark.parametrize("tool", [{"type": "function"}, {"type": "web_search"}, {"function": {"description": "d"}}])
async def test_row_33_a_tool_without_a_name_is_refused(api, tool):
    await api.add("t", "tools")
    tools = [{"type": "function", "function": {"name": "f"}}, tool]
    asked = {"model": "t", "messages": [{"role": "user", "content": "x"}], "tools": tools}
    assert await api.error("chat", asked) == (400, "tools[1].function.name is required")
