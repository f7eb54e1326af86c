"""Rows 17-24 of the OpenAI API's checklist: output formats, reasoning, images, sounds."""

import base64
import json

import pytest

from corral import BadRequest
from corral_grammar.grammars import GRAMMARS

USER = {"role": "user", "content": "x"}
ASK = {"model": "m", "messages": [USER]}
PNG = base64.b64encode(b"\x89PNG").decode()
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ({"type": "text"}, None),
        ({"type": " JSON_Object "}, ("json", "")),
        ({"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": SCHEMA}}, "schema"),
        ({"type": "json_schema"}, None),
        ({"type": "grammar", "syntax": "regex", "definition": "[ab]+"}, ("regex", "[ab]+")),
        ({"type": "choice", "choices": ["a", "b"]}, ("choice", '["a","b"]')),
        ({"type": "grammar", "syntax": "gbnf", "definition": "root ::= x"}, ("gbnf", "root ::= x")),
    ],
)
async def test_row_17_formats(openai, doubles, format, expected):
    await openai.ok("chat/completions", {**ASK, "response_format": format})
    seen = doubles.engine.jobs[-1].constraint
    if expected == "schema":
        assert (seen.kind, json.loads(seen.source)) == ("json_schema", SCHEMA)
        assert seen.source.index("properties") < seen.source.index("required")
    else:
        assert (seen and (seen.kind, seen.source)) == expected


@pytest.mark.parametrize(
    ("format", "param"),
    [
        ({"type": "yaml"}, "response_format.type"),
        ({"type": "grammar", "syntax": "ebnf"}, "response_format.syntax"),
        ({"type": "grammar", "syntax": "regex", "grammar": "a+"}, "response_format.definition"),
        ({"type": "choice"}, "response_format.choices"),
        ({"type": "json_schema", "json_schema": {"schema": "x"}}, "response_format.json_schema.schema"),
        ("json", "response_format"),
    ],
)
async def test_row_17_formats_that_are_none(openai, format, param):
    status, error = await openai.error("chat/completions", {**ASK, "response_format": format})
    assert (status, error["param"]) == (400, param)


TOO_FAR = {"type": "object", "properties": {"a": {"$ref": "https://elsewhere/a"}}}
SCHEMA_TOO_FAR = {"type": "json_schema", "schema": TOO_FAR, "json_schema": {"name": "n", "schema": TOO_FAR}}
FLAT = {"type": "function", "name": "f", "parameters": TOO_FAR}
NESTED = {"type": "function", "function": {"name": "f", "parameters": TOO_FAR}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat/completions", {"response_format": SCHEMA_TOO_FAR}, "response_format"),
        ("responses", {"text": {"format": SCHEMA_TOO_FAR}}, "text.format"),
        ("chat/completions", {"tools": [NESTED], "response_format": {"type": "json_object"}}, "tools"),
        ("responses", {"tools": [FLAT], "tool_choice": "required"}, "tools"),
        ("chat/completions", {"tools": [NESTED], "response_format": SCHEMA_TOO_FAR}, None),
    ],
)
async def test_row_17_schemas_that_cannot_be_held_to(openai, doubles, path, body, param, stream):
    await openai.add("t", "tools")
    source = json.dumps(TOO_FAR)
    doubles.engine.reply = lambda job: GRAMMARS["json_schema"](source)
    asked = {"model": "t", "input": "x", "messages": [USER], "stream": stream, **body}
    status, error = await openai.error(path, asked)
    assert (status, error["param"], error["code"]) == (400, param, "invalid_value" if param else None)
    assert error["message"].startswith("unsupported JSON schema keyword: $.properties.a.$ref ")


async def test_row_17_a_refusal_that_names_the_tool(openai, doubles):
    def refuse(job):
        raise BadRequest("tools[0] (f): $.not cannot be enforced")

    await openai.add("t", "tools")
    doubles.engine.reply = refuse
    asked = {"model": "t", "messages": [USER], "tools": [NESTED], "response_format": SCHEMA_TOO_FAR}
    status, error = await openai.error("chat/completions", asked)
    assert (status, error["param"], error["code"]) == (400, "tools", "invalid_value")


@pytest.mark.parametrize(
    ("kind", "source"),
    [("regex", "("), ("regex", "a{99999999}"), ("gbnf", "root ::= ("), ("choice", "[]"), ("json_schema", "false")],
)
async def test_row_17_what_else_cannot_be_held_to(openai, doubles, kind, source):
    doubles.engine.reply = lambda job: GRAMMARS[kind](source)
    asked = {**ASK, "response_format": {"type": "choice", "choices": ["a"]}}
    status, error = await openai.error("chat/completions", asked)
    assert (status, error["param"], error["code"]) == (400, "response_format", "invalid_value")


async def test_row_17_a_format_beside_tools(openai, doubles):
    await openai.add("t", "tools")
    tool = {"type": "function", "function": {"name": "f"}}
    body = {"model": "t", "messages": [USER], "tools": [tool], "response_format": {"type": "json_object"}}
    await openai.ok("chat/completions", body)
    assert doubles.engine.jobs[-1].constraint.source == "auto of f or json"


async def thinks(openai, doubles, **body):
    """Whether a thinking model was asked to think."""
    doubles.engine.reply = lambda job: b"<think>hm</think>yes"
    answer = await openai.ok("chat/completions", {"model": "t", "messages": [USER], **body})
    return answer["choices"][0]["message"]


@pytest.mark.parametrize("effort", ["", "minimal", "low", "medium", "high", "xhigh", "ultra", "max", None])
async def test_rows_18_to_20_thinking(openai, doubles, effort):
    await openai.add("t", "thinking")
    thought = {"role": "assistant", "content": "yes", "reasoning": "hm"}
    assert await thinks(openai, doubles, reasoning_effort=effort) == thought
    assert await thinks(openai, doubles, reasoning={"effort": effort}, reasoning_effort="none") == thought


async def test_row_20_none(openai, doubles):
    await openai.add("t", "thinking")
    plain = {"role": "assistant", "content": "<think>hm</think>yes"}
    assert await thinks(openai, doubles, reasoning_effort="none") == plain
    assert await thinks(openai, doubles, reasoning={"effort": "none"}, reasoning_effort="high") == plain


@pytest.mark.parametrize(
    ("variables", "thinks_so"),
    [
        ({"enable_thinking": True}, True),
        ({"thinking": True}, True),
        ({"reasoning_effort": "low"}, True),
        ({"enable_thinking": True, "reasoning_effort": "high"}, True),
        ({"enable_thinking": False}, False),
        ({"enable_thinking": False, "reasoning_effort": "high"}, False),
        (None, True),
        ({}, True),
        ({"enable_thinking": None, "reasoning_effort": None, "unknown": None}, True),
        ({"enable_thinking": None, "thinking": False}, False),
    ],
)
async def test_f30_variables_of_the_template(openai, doubles, variables, thinks_so):
    await openai.add("t", "thinking")
    answer = await thinks(openai, doubles, chat_template_kwargs=variables)
    assert answer.get("reasoning") == ("hm" if thinks_so else None)
    plain = await thinks(openai, doubles, chat_template_kwargs={"enable_thinking": True}, reasoning_effort="none")
    assert "reasoning" not in plain


@pytest.mark.parametrize(
    ("variables", "param"),
    [
        *(({name: value}, f".{name}") for name, value in (("enable_thinking", "yes"), ("reasoning_effort", 5))),
        *(({name: 1}, f".{name}") for name in ("messages", "tools", "chat_template", "bos_token", "self", "unknown")),
        ({"enable_thinking": [1] * 10_000}, ".enable_thinking"),
        ({"reasoning_effort": "huge"}, ".reasoning_effort"),
        ({"x" * 1000: 1}, "." + "x" * 40),
    ],
)
async def test_f30_other_variables_are_refused(openai, variables, param):
    status, error = await openai.error("chat/completions", {**ASK, "chat_template_kwargs": variables})
    assert (status, error["param"]) == (400, f"chat_template_kwargs{param}")
    assert len(error["message"]) < 300


async def test_f30_variables_are_an_object(openai):
    for value in (7, "x", [1]):
        assert (await openai.error("chat/completions", {**ASK, "chat_template_kwargs": value}))[0] == 400


async def test_row_18_invalid_effort(openai):
    for body, param in (
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
    ):
        status, error = await openai.error("chat/completions", {**ASK, **body})
        assert (status, error["param"]) == (400, param)
        assert error["message"] == (
            'invalid reasoning value: "huge" (must be "minimal", "low", "medium", "high", "xhigh", "ultra", "max", '
            'or "none")'
        )


async def test_row_19_thinking_is_counted(openai, doubles):
    """With its tags, streamed or not, for every choice."""
    await openai.add("t", "thinking")
    doubles.engine.reply = lambda job: b"<think>hm</think>yes"
    thought = {"reasoning_tokens": len("<think>hm</think>")}
    asked = {"model": "t", "messages": [USER], "stream_options": {"include_usage": True}}
    for n in (1, 2):
        whole = (await openai.ok("chat/completions", {**asked, "n": n}))["usage"]
        streamed = (await openai.chunks("chat/completions", {**asked, "n": n}))[-1]["usage"]
        for usage in (whole, streamed):
            assert usage["completion_tokens_details"] == {"reasoning_tokens": n * thought["reasoning_tokens"]}
            assert usage["completion_tokens"] == n * (thought["reasoning_tokens"] + 3)
    text = await openai.ok("completions", {"model": "t", "prompt": "x"})
    assert text["usage"]["completion_tokens_details"] == thought


async def test_row_19_streamed(openai, doubles):
    await openai.add("t", "thinking")
    doubles.engine.reply = lambda job: b"<think>hm</think>y"
    chunks = await openai.chunks("chat/completions", {"model": "t", "messages": [USER]})
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "", "reasoning": "hm"},
        {"content": "y"},
        {},
    ]


def test_row_19_a_mixed_piece_is_split():
    import msgspec

    from corral import Piece, TokenLogprob, ToolCall
    from corral_openai_api.chat import Part

    mixed = Piece(
        thinking="hm",
        text="y",
        tool_calls=(ToolCall(name="f", arguments={}, id="c"),),
        logprobs=(TokenLogprob(token=b"y", logprob=-1.0),),
    )
    first, second = msgspec.to_builtins(Part(0).chunks(mixed))
    assert first["delta"] == {"role": "assistant", "reasoning": "hm"}
    assert [each["token"] for each in first["logprobs"]["content"]] == ["y"]
    assert list(second["delta"]) == ["content", "tool_calls"]
    assert "logprobs" not in second


async def test_row_21_a_model_that_does_not_think(openai):
    for effort in ("low", "max"):
        status, error = await openai.error("chat/completions", {**ASK, "reasoning_effort": effort})
        assert (status, error["message"]) == (400, '"m" does not support thinking')
    await openai.ok("chat/completions", {**ASK, "reasoning_effort": "none"})


@pytest.fixture
async def eyes(openai):
    await openai.add("v", weights={"capabilities": ["completion", "vision"]})
    return openai


async def rendered(openai, *parts):
    body = {"model": "v", "messages": [{"role": "user", "content": list(parts)}], "_debug_render_only": True}
    return (await openai.ok("chat/completions", body))["_debug_info"]["rendered_template"]


@pytest.mark.parametrize("media", ["image/jpeg", "image/jpg", "image/png", "image/webp", ""])
async def test_row_22_images(eyes, media):
    url = f"data:{media};base64,{PNG}"
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        {"type": "image_url", "image_url": url},
    ]
    assert await rendered(eyes, *parts) == "plain:\n[user] [img] [img] see\n[assistant]"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://x/y.png", "image URLs are not currently supported, please use base64 encoded data instead"),
        ("https://x/y.png", "image URLs are not currently supported, please use base64 encoded data instead"),
        ("file:///etc/passwd", "invalid image input"),
        (f"data:image/gif;base64,{PNG}", "invalid image input"),
        ("data:image/png;base64,***", "invalid image input"),
        (5, "invalid image input"),
        (None, "invalid image input"),
    ],
)
async def test_row_22_what_is_no_image(eyes, url, text):
    for image in (url, {"url": url}):
        content = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": image}]
        status, error = await eyes.error(
            "chat/completions", {"model": "v", "messages": [{"role": "user", "content": content}]}
        )
        assert (status, error["message"], error["param"]) == (400, text, "messages[0].content[1]")


async def test_row_22_a_model_without_eyes(openai):
    content = [{"type": "image_url", "image_url": {"url": f"data:;base64,{PNG}"}}]
    status, error = await openai.error(
        "chat/completions", {"model": "m", "messages": [{"role": "user", "content": content}]}
    )
    assert (status, error["message"]) == (400, "registry.ollama.ai/library/m:latest does not support vision")


@pytest.mark.parametrize(
    ("audio", "text"),
    [
        ({"data": PNG, "format": "wav"}, "registry.ollama.ai/library/m:latest does not support audio"),
        ("x", "invalid input_audio format"),
        (None, "invalid input_audio format"),
        ({"format": "mp3"}, "invalid input_audio format: missing data"),
        ({"data": "***", "format": "mp3"}, "invalid input_audio base64 data: "),
    ],
)
async def test_row_23_sounds(openai, audio, text):
    content = [{"type": "input_audio", "input_audio": audio}]
    status, error = await openai.error(
        "chat/completions", {"model": "m", "messages": [{"role": "user", "content": content}]}
    )
    assert status == 400
    assert error["message"].startswith(text)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "file", "file": {}}], "invalid message format"),
        ([{"type": "text"}], "invalid message format"),
        (["x"], "invalid message format"),
        (5, "invalid message content type: float64"),
        (True, "invalid message content type: bool"),
        ({"a": 1}, "invalid message content type: map[string]interface {}"),
    ],
)
async def test_row_24_content_that_is_none(openai, content, text):
    status, error = await openai.error(
        "chat/completions", {"model": "m", "messages": [{"role": "user", "content": content}]}
    )
    assert (status, error["message"]) == (400, text)
