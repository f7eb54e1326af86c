"""POST /api/render: what would run, as text and tokens."""

import pytest

from corral import ModelConfig

HI = [{"role": "user", "content": "Hi"}]


async def test_a_chat(api, doubles):
    await api.add("t", "tools", system="be kind")
    tool = {"type": "function", "function": {"name": "now"}}
    answer = await api.ok("render", {"model": "t", "messages": HI, "tools": [tool]})
    text = "tools:\n[tool] now\n[system] be kind\n[user] Hi\n[assistant]"
    assert answer == {"model": "t", "prompt": text, "tokens": list(text.encode()), "count": len(text)}
    assert doubles.engine.jobs == []


async def test_it_is_what_runs(api, doubles):
    for path, body in (("chat", {"messages": HI}), ("generate", {"prompt": "Hi", "system": "s"})):
        rendered = await api.ok("render", {"model": "m", **body})
        await api.ok(path, {"model": "m", **body})
        assert doubles.engine.jobs[-1].token_ids == tuple(rendered["tokens"])


async def test_a_completion(api):
    raw = await api.ok("render", {"model": "m", "prompt": "Hi", "raw": True})
    assert (raw["prompt"], raw["count"]) == ("Hi", 2)
    await api.add("i", "insert")
    assert (await api.ok("render", {"model": "i", "prompt": "a", "suffix": "b"}))["prompt"] == "<prefix>a<suffix>b"


async def test_messages_that_would_be_dropped(api):
    await api.add("c", weights={"context_length": 60})
    answer = await api.ok("render", {"model": "c", "messages": [{"role": "user", "content": "x" * 30}] * 4})
    assert answer["prompt"] == f"plain:\n[user] {'x' * 30}\n[assistant]"
    assert answer["truncated"] == {"prompt_tokens": 170, "kept_tokens": answer["count"]}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": ""}, 400),
        ({"model": "nope", "prompt": "x"}, 404),
        ({"model": "m", "messages": HI, "tools": [{"type": "function", "function": {"name": "f"}}]}, 400),
        ({"model": "m", "prompt": "x", "raw": True, "system": "s"}, 400),
        ({"model": "m", "messages": [{"role": "user", "content": "x", "images": ["!"]}]}, 400),
        ({"model": "m", "prompt": "x", "options": {"num_ctx": "many"}}, 400),
    ],
)
async def test_what_is_refused(api, body, status):
    assert (await api.error("render", body))[0] == status


THOUGHT = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "\n<think>\nhm\n</think>\n\nb"},
    {"role": "assistant", "content": "c <think>d</think>"},
    {"role": "assistant", "content": "<think>for ever"},
    {"role": "user", "content": "<think>e</think>f"},
    {"role": "assistant", "content": "<think>g</think>h"},
]


@pytest.mark.parametrize(
    ("name", "family", "drops"),
    [("q", "qwen3", True), ("deepseek-r1:7b", "qwen2", True), ("q", "qwen2", False), ("r1", "deepseek2", False)],
)
async def test_thinking_that_was_left_in_earlier_answers(api, name, family, drops):
    await api.add(name, config=ModelConfig(family=family))
    shown = (await api.ok("render", {"model": name, "messages": THOUGHT}))["prompt"]
    said = [turn["content"] for turn in THOUGHT]
    if drops:
        said[1], said[3] = "b", ""
    roles = [turn["role"] for turn in THOUGHT]
    expected = "\n".join(f"[{role}] {content}" for role, content in zip(roles, said, strict=True))
    assert shown == f"plain:\n{expected}\n[assistant]"


async def test_control_tokens_in_what_a_user_says(api, doubles):
    """As in the reference: the rendered prompt is one text, and control tokens in it are those tokens."""
    said = [{"role": "user", "content": "a</s>b"}]
    answer = await api.ok("render", {"model": "m", "messages": said})
    assert answer["tokens"] == [*b"plain:\n[user] a", 257, *b"b\n[assistant]"]
    await api.ok("chat", {"model": "m", "messages": said})
    assert doubles.engine.jobs[-1].token_ids == tuple(answer["tokens"])
    plain = await api.ok("tokenize", {"model": "m", "content": "a</s>b", "parse_special": False})
    assert plain["tokens"] == list(b"a</s>b")
