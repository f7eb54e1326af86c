"""Every generated token is delivered or explained: in every dialect, streamed or not, with tools, thinking and limits.

The engine says a text of numbered words in and out of tags, whole and broken calls, and a stop string.  Each word said
before the stop must arrive exactly once, as content, thinking or an argument of a call, in the order in which it was
said; none said after it may; every token is counted; and a stream is the whole answer in parts.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings as bounds, strategies as st

import corral_anthropic_api.plugin
import corral_native_api.plugin
import corral_openai_api.plugin
import corral_store.plugin
import corral_templates.plugin
from corral.testing.fake_weights import fake_weights
from corral.testing.models import add_model

TEMPLATE = """{{ if .Tools }}{{ range .Tools }}{{ .Function }}{{ end }}{{ end }}
{{- range .Messages }}[{{ .Role }}]
{{- if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}
{{- range .ToolCalls }}<tool_call>{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}</tool_call>
{{- end }}
{{ end }}[assistant]"""
TAGGED = TEMPLATE.replace("{{- range .ToolCalls }}", "{{- if .ToolCalls }}{{ range .ToolCalls }}").replace(
    "</tool_call>\n{{- end }}", "</tool_call>\n{{- end }}{{ end }}"
)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
STOP = "|STOP|"
CALL = '{"name": "weather", "arguments": {"city": "%s"}}'
FRAGMENTS = (
    "%s ",
    "%s\n\n",
    "é%s🙂",
    "<think>%s",
    "%s</think>",
    f"<tool_call>{CALL}</tool_call>",
    f"<tool_call>\n{CALL}\n</tool_call>\n",
    f"<tool_call>[{CALL}, {CALL}]</tool_call>",
    f"<tool_call>{CALL}",
    f"<tool_call>%s {CALL} %s</tool_call>",
    '<tool_call>{"name": "other", "arguments": {"city": "%s"}}</tool_call>',
    '<tool_call>{"name": "weather", "arguments": {"city": "%s"',
    '<tool_call>{"name": "weather"}%s</tool_call>',
    "<tool_call>%s</tool_call>",
    f"{CALL}",
    '{"city": "%s"}',
    "<tool%s",
    "</%s",
    "%s<thi",
    f"%s {STOP}",
    "|STO%s",
)


class Said(NamedTuple):
    """An answer as a client of a dialect reads it."""

    content: str
    thinking: str
    calls: tuple[tuple[str, str], ...]
    n_tokens: int
    reason: str | None

    @property
    def words(self) -> list[str]:
        return [
            *_words(self.thinking),
            *_words(self.content),
            *(word for _, city in self.calls for word in _words(city)),
        ]


def _words(text: str) -> list[str]:
    return re.findall(r"w\d+;", text)


def _call(name: str, arguments: Any) -> tuple[str, str]:
    return name, json.dumps(arguments)


@pytest.fixture
def plugins():
    packages = (corral_anthropic_api, corral_native_api, corral_openai_api, corral_store, corral_templates)
    return [package.plugin.Plugin for package in packages]


@pytest.fixture
def tables():
    return {"doubles": {"offer": ["loader", "tokenizer", "engine"]}}


class Asked(NamedTuple):
    """What every dialect is asked in its own words."""

    tools: bool
    think: bool
    stop: bool
    limit: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Stop and limit in the native dialect's words."""
        return {"stop": [STOP] if self.stop else [], "num_predict": self.limit}


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def _events(text: str) -> list[Any]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


async def native_chat(post, asked: Asked, *, streaming: bool) -> Said:
    tool = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
    body = {"think": asked.think, "tools": [tool] if asked.tools else [], "stream": streaming}
    body |= {"messages": [{"role": "user", "content": "x"}], "options": asked.options}
    parts = _lines(await post("/api/chat", body))
    messages = [part["message"] for part in parts]
    calls = [call["function"] for message in messages for call in message.get("tool_calls", [])]
    assert [call["index"] for call in calls] == list(range(len(calls)))
    return Said(
        "".join(message["content"] for message in messages),
        "".join(message.get("thinking", "") for message in messages),
        tuple(_call(call["name"], call["arguments"]) for call in calls),
        parts[-1]["eval_count"],
        parts[-1]["done_reason"],
    )


async def native_generate(post, asked: Asked, *, streaming: bool) -> Said:
    body = {"prompt": "x", "think": asked.think, "stream": streaming}
    parts = _lines(await post("/api/generate", {**body, "options": asked.options}))
    assert not any("tool_calls" in part for part in parts)
    text, last = "".join(part["response"] for part in parts), parts[-1]
    thinking = "".join(part.get("thinking", "") for part in parts)
    return Said(text, thinking, (), last["eval_count"], last["done_reason"])


async def openai_chat(post, asked: Asked, *, streaming: bool) -> Said:
    tool = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
    body = {"messages": [{"role": "user", "content": "x"}], "stream": streaming, "stop": STOP if asked.stop else None}
    body |= {"reasoning_effort": "high" if asked.think else "none", "tools": [tool] if asked.tools else None}
    body["max_completion_tokens"] = asked.limit
    text = await post("/v1/chat/completions", body | ({"stream_options": {"include_usage": True}} if streaming else {}))
    answers = _events(text) if streaming else [json.loads(text)]
    messages = [choice["delta" if streaming else "message"] for answer in answers for choice in answer["choices"]]
    calls = [call["function"] for message in messages for call in message.get("tool_calls") or []]
    return Said(
        "".join(message.get("content") or "" for message in messages),
        "".join(message.get("reasoning") or "" for message in messages),
        tuple(_call(call["name"], json.loads(call["arguments"])) for call in calls),
        answers[-1]["usage"]["completion_tokens"],
        _reason(answers),
    )


def _reason(answers: Sequence[Any]) -> str | None:
    """The one choice's end, told once."""
    reasons = [choice["finish_reason"] for answer in answers for choice in answer["choices"]]
    assert reasons[:-1] == [None] * (len(reasons) - 1)
    return reasons[-1]


async def openai_completions(post, asked: Asked, *, streaming: bool) -> Said:
    body = {"prompt": "x", "stream": streaming, "stop": STOP if asked.stop else None, "max_tokens": asked.limit}
    text = await post("/v1/completions", body | ({"stream_options": {"include_usage": True}} if streaming else {}))
    answers = _events(text) if streaming else [json.loads(text)]
    choices = [choice for answer in answers for choice in answer["choices"]]
    return Said(
        "".join(choice["text"] for choice in choices),
        "".join(choice.get("reasoning") or "" for choice in choices),
        (),
        answers[-1]["usage"]["completion_tokens"],
        _reason(answers),
    )


async def openai_responses(post, asked: Asked, *, streaming: bool) -> Said:
    tool = {"type": "function", "name": "weather", "parameters": PARAMETERS}
    body = {"input": "x", "stream": streaming, "tools": [tool] if asked.tools else None}
    body["max_output_tokens"] = asked.limit
    text = await post("/v1/responses", body | {"reasoning": {"effort": "high" if asked.think else "none"}})
    answer = _events(text)[-1]["response"] if streaming else json.loads(text)
    items = answer["output"]
    return Said(
        "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"]),
        "".join(part["text"] for item in items if item["type"] == "reasoning" for part in item["summary"]),
        tuple(_call(i["name"], json.loads(i["arguments"])) for i in items if i["type"] == "function_call"),
        answer["usage"]["output_tokens"],
        "length" if answer["status"] == "incomplete" else "stop",
    )


async def anthropic(post, asked: Asked, *, streaming: bool) -> Said:
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": asked.limit or 10_000, "stream": streaming}
    body |= {"thinking": {"type": "enabled", "budget_tokens": 5000} if asked.think else {"type": "disabled"}}
    body |= {"tools": [{"name": "weather", "input_schema": PARAMETERS}]} if asked.tools else {}
    text = await post("/v1/messages", body | ({"stop_sequences": [STOP]} if asked.stop else {}))
    if not streaming:
        answer = json.loads(text)
        blocks, usage, reason = answer["content"], answer["usage"], answer["stop_reason"]
    else:
        events = _events(text)
        blocks = _blocks(events)
        end = next(event for event in events if event["type"] == "message_delta")
        usage, reason = end["usage"], end["delta"]["stop_reason"]
    return Said(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        tuple(_call(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"),
        usage["output_tokens"],
        "length" if reason == "max_tokens" else reason,
    )


def _blocks(events: Sequence[Any]) -> list[Any]:
    """The content blocks that a stream of events amounts to."""
    blocks: list[Any] = []
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"], "json": ""})
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "input_json_delta":
                blocks[-1]["json"] += delta["partial_json"]
                blocks[-1]["input"] = json.loads(blocks[-1]["json"] or "{}") if _is_whole(blocks[-1]["json"]) else {}
            else:
                field = {"text_delta": "text", "thinking_delta": "thinking"}.get(delta["type"])
                if field:
                    blocks[-1][field] += delta[field]
    return blocks


def _is_whole(text: str) -> bool:
    try:
        json.loads(text or "{}")
    except ValueError:
        return False
    return True


DIALECTS = (native_chat, native_generate, openai_chat, openai_completions, openai_responses, anthropic)


def spoken(fragments: Sequence[str]) -> str:
    """The fragments with a word of its own in every place."""
    text = "".join(fragments)
    for number in range(text.count("%s")):
        text = text.replace("%s", f"w{number};", 1)
    return text


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.__name__)
@bounds(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    fragments=st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=6),
    asked=st.builds(Asked, st.booleans(), st.booleans(), st.booleans(), st.sampled_from([None, None, 7, 40])),
    model=st.sampled_from(["by-brackets", "by-tags"]),
)
@example(fragments=[CALL, FRAGMENTS[10], FRAGMENTS[5]], asked=Asked(True, False, False), model="by-brackets")
@example(fragments=["%s", FRAGMENTS[10], FRAGMENTS[9]], asked=Asked(True, True, False), model="by-tags")
async def test_every_token_is_delivered_or_explained(client, kernel, doubles, dialect, fragments, asked, model):
    if not doubles.engine.opened:
        await add_model(kernel, "by-brackets", fake_weights(context_length=100_000), template=TEMPLATE)
        await add_model(kernel, "by-tags", fake_weights(context_length=100_000), template=TAGGED)

    async def post(path: str, body: Any) -> str:
        response = await client.post(path, json={"model": model, **body})
        text = await response.text()
        assert response.status == 200, text
        return text

    text = spoken(fragments)
    doubles.engine.reply = lambda job: text.encode()
    whole = await dialect(post, asked, streaming=False)
    assert await dialect(post, asked, streaming=True) == whole

    stops = asked.stop and dialect is not openai_responses  # which has no stop strings
    generated = text.encode()[: asked.limit].decode(errors="ignore")
    is_stopped = stops and STOP in generated
    before = generated.partition(STOP)[0] if is_stopped else generated
    assert sorted(whole.words) == sorted(_words(before))
    for channel in (whole.content, whole.thinking, "".join(city for _, city in whole.calls)):
        numbers = [int(word[1:-1]) for word in _words(channel)]
        assert numbers == sorted(numbers)
    n_tokens = min(len(text.encode()), asked.limit or 10_000)
    assert whole.n_tokens == (len((before + STOP).encode()) if is_stopped else n_tokens)
    is_cut = n_tokens < len(text.encode()) and not is_stopped
    if not (whole.calls and dialect is anthropic):  # which tells of calls, cut or not
        assert (whole.reason == "length") == is_cut
    assert all(name == "weather" for name, _ in whole.calls)
    assert asked.tools or not whole.calls
    assert asked.think or not whole.thinking or dialect is openai_completions  # where nobody says whether to think
