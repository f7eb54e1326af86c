"""Every field that OpenAI's SDK can send, as its signatures and types have it: it works, or is refused by name.

A field that can only help or be kept in a book (`HINTS`) is accepted; the plugin's README names each.
"""

from pathlib import Path
from typing import Any

import pytest

import corral_openai_api

USER = {"role": "user", "content": "x"}
F = {"type": "function", "function": {"name": "f"}}
FLAT = {"type": "function", "name": "f"}
SCHEMA = {"name": "n", "schema": {"type": "object"}}

# field, value, and where it is seen: in the engine's job, or in the answer
CHAT_WORKS: list[tuple[str, Any, Any]] = [
    ("messages", [{"role": "developer", "content": "y"}], lambda job, _: b"[system] y" in bytes(job.token_ids)),
    ("messages", [{"role": "assistant", "refusal": "no"}], lambda job, _: b"[assistant] no" in bytes(job.token_ids)),
    (
        "messages",
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        lambda job, _: b"[assistant] no" in bytes(job.token_ids),
    ),
    ("messages", [{"role": "function", "name": "f", "content": "y"}], lambda job, _: b"[tool" in bytes(job.token_ids)),
    ("frequency_penalty", 0.5, lambda job, _: job.options.frequency_penalty == 0.5),
    ("presence_penalty", 0.5, lambda job, _: job.options.presence_penalty == 0.5),
    ("logit_bias", {"5": 3}, lambda job, _: job.options.logit_bias == {5: 3}),
    ("logprobs", True, lambda _, answer: answer["choices"][0]["logprobs"]["content"]),
    ("top_logprobs", 2, lambda job, _: job.n_logprobs == 2),
    ("max_completion_tokens", 3, lambda job, _: job.max_tokens == 3),
    ("max_tokens", 3, lambda job, _: job.max_tokens == 3),
    ("modalities", ["text"], lambda _, answer: answer["choices"]),
    ("n", 2, lambda _, answer: len(answer["choices"]) == 2),
    ("reasoning_effort", "high", lambda _, answer: answer["choices"][0]["message"]["content"]),
    ("response_format", {"type": "json_object"}, lambda job, _: "json" in str(job.constraint)),
    ("response_format", {"type": "json_schema", "json_schema": SCHEMA}, lambda job, _: "object" in str(job.constraint)),
    ("response_format", {"type": "text"}, lambda job, _: job.constraint is None),
    ("seed", 7, lambda job, _: job.options.seed == 7),
    ("service_tier", "flex", lambda _, answer: answer["service_tier"] == "default"),
    ("stop", ["l"], lambda _, answer: answer["choices"][0]["message"]["content"] == "He"),
    ("temperature", 0.25, lambda job, _: job.options.temperature == 0.25),
    ("top_p", 0.25, lambda job, _: job.options.top_p == 0.25),
    ("tools", [F], lambda job, _: b"[tool] f" in bytes(job.token_ids)),
    ("tool_choice", "none", lambda job, _: b"[tool]" not in bytes(job.token_ids)),
    ("stream_options", {"include_usage": True, "include_obfuscation": False}, lambda _, answer: answer["usage"]),
]
CHAT_REFUSED: list[tuple[str, Any, str]] = [
    ("audio", {"voice": "alloy", "format": "wav"}, "audio"),
    ("function_call", {"name": "f"}, "function_call"),
    ("functions", [{"name": "f"}], "functions"),
    ("modalities", ["text", "audio"], "modalities"),
    ("moderation", {"model": "m"}, "moderation"),
    ("verbosity", "low", "verbosity"),
    ("verbosity", "high", "verbosity"),
    ("web_search_options", {}, "web_search_options"),
    ("tools", [{"type": "custom", "custom": {"name": "c"}}], "tools[0].type"),
    ("tools", [{"type": "function", "function": {}}], "tools[0].function.name"),
    ("tool_choice", {"type": "custom", "custom": {"name": "c"}}, "tool_choice"),
    ("messages", [{"content": "x"}], "messages[0].role"),
    ("messages", [{"role": "assistant", "audio": {"id": "a"}}], "messages[0].audio"),
    ("messages", [{"role": "assistant", "function_call": {"name": "f"}}], "messages[0].function_call"),
    (
        "messages",
        [{"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "c"}}]}],
        "messages[0].tool_calls[0].type",
    ),
    ("messages", [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}], "messages[0].content[0]"),
]
CHAT_HINTS: list[tuple[str, Any]] = [
    ("metadata", {"a": "b"}),
    ("prediction", {"type": "content", "content": "x"}),
    ("prompt_cache_key", "k"),
    ("prompt_cache_options", {"mode": "implicit", "ttl": "30m"}),
    ("prompt_cache_retention", "24h"),
    ("safety_identifier", "s"),
    ("store", True),
    ("user", "u"),
]
COMPLETIONS_WORK: list[tuple[str, Any, Any]] = [
    ("prompt", ["x", "y"], lambda _, answer: len(answer["choices"]) == 2),
    ("prompt", [72, 105], lambda job, _: bytes(job.token_ids) == b"Hi"),
    ("best_of", 2, lambda _, answer: len(answer["choices"]) == 1),
    ("echo", True, lambda _, answer: answer["choices"][0]["text"] == "xHello!"),
    ("frequency_penalty", 0.5, lambda job, _: job.options.frequency_penalty == 0.5),
    ("presence_penalty", 0.5, lambda job, _: job.options.presence_penalty == 0.5),
    ("logit_bias", {"5": 3}, lambda job, _: job.options.logit_bias == {5: 3}),
    ("logprobs", 2, lambda _, answer: answer["choices"][0]["logprobs"]["tokens"]),
    ("max_tokens", 3, lambda job, _: job.max_tokens == 3),
    ("n", 2, lambda _, answer: len(answer["choices"]) == 2),
    ("seed", 7, lambda job, _: job.options.seed == 7),
    ("stop", "l", lambda _, answer: answer["choices"][0]["text"] == "He"),
    ("suffix", "", lambda _, answer: answer["choices"]),
    ("temperature", 0.25, lambda job, _: job.options.temperature == 0.25),
    ("top_p", 0.25, lambda job, _: job.options.top_p == 0.25),
    ("stream_options", None, lambda _, answer: answer["usage"]),
]
RESPONSES_WORK: list[tuple[str, Any, Any]] = [
    ("input", [USER], lambda job, _: b"[user] x" in bytes(job.token_ids)),
    (
        "input",
        [{"type": "function_call", "call_id": "c", "name": "f", "namespace": "n", "arguments": "{}"}],
        lambda job, _: b"n.f" in bytes(job.token_ids),
    ),
    ("background", False, lambda _, answer: answer["background"] is False),
    ("context_management", [], lambda _, answer: answer["output"]),
    ("image", {"context_compression": "auto"}, lambda _, answer: answer["output"]),
    ("include", ["message.output_text.logprobs"], lambda job, _: job.n_logprobs == 0),
    ("include", ["reasoning.encrypted_content"], lambda _, answer: answer["output"]),
    ("include", ["web_search_call.action.sources"], lambda _, answer: answer["output"]),
    ("instructions", "be kind", lambda job, _: b"[system] be kind" in bytes(job.token_ids)),
    ("max_output_tokens", 3, lambda job, _: job.max_tokens == 3),
    ("max_tool_calls", 3, lambda _, answer: answer["max_tool_calls"] == 3),
    ("metadata", {"a": "b"}, lambda _, answer: answer["metadata"] == {"a": "b"}),
    ("parallel_tool_calls", False, lambda _, answer: answer["parallel_tool_calls"] is False),
    ("prompt_cache_key", "k", lambda _, answer: answer["prompt_cache_key"] == "k"),
    ("reasoning", {"effort": "low", "summary": "auto"}, lambda _, answer: answer["reasoning"]["effort"] == "low"),
    ("safety_identifier", "s", lambda _, answer: answer["safety_identifier"] == "s"),
    ("service_tier", "flex", lambda _, answer: answer["service_tier"] == "default"),
    ("store", False, lambda _, answer: answer["store"] is False),
    ("temperature", 0.25, lambda job, _: job.options.temperature == 0.25),
    ("text", {"format": {"type": "json_object"}}, lambda job, _: "json" in str(job.constraint)),
    ("text", {"format": {"type": "json_schema", **SCHEMA}}, lambda job, _: "object" in str(job.constraint)),
    ("text", {"format": {"type": "text"}, "verbosity": "medium"}, lambda job, _: job.constraint is None),
    ("tools", [{**FLAT, "strict": True, "async": False}], lambda job, _: b"[tool] f" in bytes(job.token_ids)),
    ("tool_choice", "none", lambda _, answer: answer["tool_choice"] == "none"),
    ("top_logprobs", 2, lambda job, _: job.n_logprobs == 2),
    ("top_p", 0.25, lambda job, _: job.options.top_p == 0.25),
    ("truncation", "auto", lambda _, answer: answer["truncation"] == "auto"),
    ("stream_options", {"include_obfuscation": False}, lambda _, answer: answer["output"]),
]
BUILT_IN = (
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use_preview",
    "custom",
    "file_search",
    "image_generation",
    "local_shell",
    "mcp",
    "programmatic_tool_calling",
    "shell",
    "tool_search",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
)
RESPONSES_REFUSED: list[tuple[str, Any, str]] = [
    ("access_programs", {"cyber": "standard"}, "access_programs"),
    ("background", True, "background"),
    ("background_options", {"completion_window": "2h"}, "background_options"),
    ("context_management", [{"type": "compaction"}], "context_management"),
    ("conversation", "conv_1", "conversation"),
    ("image", {"context_compression": "enabled"}, "image.context_compression"),
    ("include", ["reasoning.encrypted_content", "all"], "include[1]"),
    ("max_tool_calls", 0, "max_tool_calls"),
    ("moderation", {"model": "m"}, "moderation"),
    ("previous_response_id", "resp_1", "previous_response_id"),
    ("prompt", {"id": "p"}, "prompt"),
    ("prompt_cache_options", {"prewarm": True}, "prompt_cache_options.prewarm"),
    ("prompt_cache_options", {"comparison_response_id": "r"}, "prompt_cache_options.comparison_response_id"),
    ("reasoning", {"mode": "pro"}, "reasoning.mode"),
    ("reasoning", {"context": "all_turns"}, "reasoning.context"),
    ("text", {"verbosity": "low"}, "text.verbosity"),
    ("text", {"format": {"type": "x"}}, "text.format.type"),
    ("tool_choice", {"type": "web_search_preview"}, "tool_choice"),
    ("tools", [{**FLAT, "async": True}], "tools[0].async"),
    ("tools", [{**FLAT, "allowed_callers": ["programmatic"]}], "tools[0].allowed_callers"),
    ("truncation", "middle", "truncation"),
    *(("tools", [FLAT, {"type": kind}], "tools[1].type") for kind in BUILT_IN),
    ("input", [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}], "input[0].content[0].file_id"),
    ("input", [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}], "input[0].content[0]"),
    *(
        ("input", [USER, {"type": kind, "id": "i"}], "input[1]")
        for kind in ("item_reference", "custom_tool_call", "mcp_call", "shell_call", "compaction", "program")
    ),
]
RESPONSES_HINTS: list[tuple[str, Any]] = [
    ("prompt_cache_options", {"mode": "explicit", "ttl": "12h", "prewarm": False}),
    ("prompt_cache_retention", "24h"),
    ("user", "u"),
]
EMBEDDINGS_WORK: list[tuple[str, Any, Any]] = [
    ("input", ["x", "y"], lambda _, answer: len(answer["data"]) == 2),
    ("input", [[72], [105]], lambda _, answer: len(answer["data"]) == 2),
    ("dimensions", 2, lambda _, answer: len(answer["data"][0]["embedding"]) == 2),
    ("encoding_format", "base64", lambda _, answer: isinstance(answer["data"][0]["embedding"], str)),
    ("user", "u", lambda _, answer: answer["data"]),
]
WORK = [
    *(("chat/completions", *row) for row in CHAT_WORKS),
    *(("completions", *row) for row in COMPLETIONS_WORK),
    *(("responses", *row) for row in RESPONSES_WORK),
]
REFUSED = [
    *(("chat/completions", *row) for row in CHAT_REFUSED),
    ("completions", "best_of", 0, "best_of"),
    *(("responses", *row) for row in RESPONSES_REFUSED),
    ("embeddings", "encoding_format", "int8", "encoding_format"),
]
HINTS = [*(("chat/completions", *row) for row in CHAT_HINTS), *(("responses", *row) for row in RESPONSES_HINTS)]
LEAST: dict[str, dict[str, Any]] = {
    "chat/completions": {"model": "t", "messages": [USER]},
    "completions": {"model": "t", "prompt": "x"},
    "responses": {"model": "t", "input": "x"},
    "embeddings": {"model": "t", "input": "x"},
}


@pytest.fixture
async def asked(openai):
    """A model of tools and thinking, "t", that says "Hello!"."""
    await openai.add("t", "tools thinking")
    return openai


def named(row):
    return f"{row[0]}-{row[1]}"


@pytest.mark.parametrize("row", WORK, ids=named)
async def test_a_field_that_works(asked, doubles, row):
    path, field, value, shows = row
    answer = await asked.ok(path, {**LEAST[path], field: value})
    assert shows(doubles.engine.jobs[-1], answer)


@pytest.mark.parametrize("row", EMBEDDINGS_WORK, ids=lambda row: row[0])
async def test_a_field_of_embeddings(openai, row):
    field, value, shows = row
    await openai.add("e", weights={"capabilities": ["embedding"]})
    assert shows(None, await openai.ok("embeddings", {"model": "e", "input": "xyz", field: value}))


@pytest.mark.parametrize("row", REFUSED, ids=named)
async def test_a_field_that_is_refused(asked, row):
    path, field, value, param = row
    status, error = await asked.error(path, {**LEAST[path], field: value})
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["message"]
    assert error["code"]


@pytest.mark.parametrize("row", HINTS, ids=named)
async def test_a_field_that_is_a_hint(asked, row):
    path, field, value = row
    await asked.ok(path, {**LEAST[path], field: value})
    readme = Path(corral_openai_api.__file__).with_name("README.md").read_text(encoding="utf-8")
    assert f"`{field}`" in readme


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
async def test_null_is_no_request(asked, path):
    """Whatever a client leaves at null it does not ask for."""
    fields = {row[1] for row in [*WORK, *REFUSED, *HINTS] if row[0] == path} - set(LEAST[path])
    await asked.ok(path, {**LEAST[path], **dict.fromkeys(fields)})


class TestSkippedTools:
    """With `skip_builtin_tools` what only OpenAI could run is left out, as in the reference."""

    @pytest.fixture
    def tables(self) -> dict[str, dict[str, Any]]:
        offer = {"offer": ["loader", "tokenizer", "template", "engine", "source"]}
        return {"doubles": offer, "openai_api": {"skip_builtin_tools": True}}

    async def test_they_are_left_out(self, asked, doubles):
        tools = [{"type": "web_search"}, FLAT, {"type": "namespace", "name": "n", "tools": [{"type": "local_shell"}]}]
        await asked.ok("responses", {**LEAST["responses"], "tools": tools})
        assert bytes(doubles.engine.jobs[-1].token_ids).count(b"[tool]") == 1

    async def test_a_custom_tool_is_refused_all_the_same(self, asked):
        status, error = await asked.error(
            "responses", {**LEAST["responses"], "tools": [{"type": "custom", "name": "c"}]}
        )
        assert (status, error["param"]) == (400, "tools[0].type")
