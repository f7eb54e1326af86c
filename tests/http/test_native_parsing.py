"""Rows 37 and 38 of the native API's checklist over HTTP: real templates, an answer that comes a byte a token."""

import pytest

import corral_native_api.plugin
import corral_store.plugin
import corral_templates.plugin
from corral import ModelConfig

ROUND = """{{ range .Tools }}{{ . }}{{ end }}{{ range .Messages }}{{ .Role }}:
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ if .ToolCalls }}{{ range .ToolCalls }}%s{
"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}{{ end }}{{ end }}
{{ end }}assistant:"""
HI = [{"role": "user", "content": "Hi"}]
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("get_weather", "get_weather_map")]
ROME = '{"name": "%s", "arguments": {"city": "Rome"}}'


@pytest.fixture
def plugins():
    return [each.plugin.Plugin for each in (corral_native_api, corral_store, corral_templates)]


@pytest.fixture
def tables():
    return {"doubles": {"offer": ["loader", "tokenizer", "engine", "source"]}}


async def told(api, doubles, answer, **body):
    """Content, thinking and calls, which are the same whole and streamed."""
    doubles.engine.reply = lambda job: answer.encode()
    body = {"messages": HI, "options": {"num_ctx": 1000}, **body}
    whole = await api.ok("chat", body)
    lines = await api.lines("chat", body)
    assert whole["done_reason"] == lines[-1]["done_reason"] == "stop"
    found = []
    for messages in ([whole["message"]], [line["message"] for line in lines]):
        text = "".join(message["content"] for message in messages)
        thinking = "".join(message.get("thinking", "") for message in messages)
        calls = [call["function"] for message in messages for call in message.get("tool_calls", ())]
        found.append((text, thinking, [(call["index"], call["name"], call["arguments"]) for call in calls]))
    assert found[0] == found[1]
    return found[0]


@pytest.fixture
async def models(api):
    for name, tag in (("tagged", "<tool_call>"), ("bare", "")):
        await api.add(name, ROUND % tag, config=ModelConfig(format="gguf"))
    return api


@pytest.mark.parametrize(
    ("answer", "content", "thinking"),
    [
        ("<think> a </think> b", "b", "a "),
        ("x <think>y</think>", "x <think>y</think>", ""),
        ("<think>a</think><think>b</think>c", "<think>b</think>c", "a"),
        (" \n<think>\n a</think>\n\n b", "b", "a"),
        ("  plain", "  plain", ""),
        ("<think>never closed </thi", "", "never closed </thi"),
    ],
)
async def test_row_37_thinking(models, doubles, answer, content, thinking):
    assert await told(models, doubles, answer, model="tagged") == (content, thinking, [])
    assert await told(models, doubles, answer, model="tagged", think=False) == (answer, "", [])


@pytest.mark.parametrize(
    ("model", "answer", "content", "names"),
    [
        ("tagged", "Let me see. <tool_call>" + ROME % "get_weather", "Let me see. ", ["get_weather"]),
        ("tagged", "<tool_call>" + ROME % "get_weather_map", "", ["get_weather_map"]),
        (
            "tagged",
            f"<tool_call>{ROME % 'get_weather'}<tool_call>{ROME % 'get_weather_map'}",
            "",
            ["get_weather", "get_weather_map"],
        ),
        ("tagged", "<tool_call>" + ROME % "nobody", "<tool_call>" + ROME % "nobody", []),
        ("tagged", "no <tool_cal", "no <tool_cal", []),
        ("bare", ROME % "get_weather", "", ["get_weather"]),
        ("bare", "So: " + ROME % "get_weather", "So: " + ROME % "get_weather", []),
        ("bare", '{"a": 1} and more', '{"a": 1} and more', []),
    ],
)
async def test_row_38_calls(models, doubles, model, answer, content, names):
    said, _, calls = await told(models, doubles, answer, model=model, tools=TOOLS)
    assert [call[:2] for call in calls] == list(enumerate(names))
    assert all(call[2] == {"city": "Rome"} for call in calls)
    assert said.replace("</tool_call>", "") == content
    assert (await told(models, doubles, answer, model=model))[2] == []  # without tools nothing is a call
