"""Rows 1-6 and 30 of the Anthropic API's checklist: headers, errors and their order."""

import re

import pytest

from corral import Busy, CorralError, Forbidden, ModelConfig, ModelNotFound
from corral_anthropic_api.plugin import AnthropicRoutes, Plugin, error_wire

INVALID = "invalid_request_error"
TOOL = {"name": "f", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "anything"},
        {"Authorization": "Bearer x"},
        {"anthropic-version": "2023-06-01", "anthropic-beta": "a,b"},
        {"anthropic-version": "tomorrow"},
    ],
)
async def test_row_1_no_header_matters(messages, headers):
    response = await messages.post({}, "/v1/messages?beta=true", headers=headers)
    assert response.status == 200
    assert re.fullmatch("req_[0-9a-f]{24}", response.headers["request-id"])


async def test_row_1_unknown_fields_are_ignored(messages):
    more = {"metadata": {"user_id": "u"}, "service_tier": "auto", "speed": "fast", "new": {"x": 1}}
    assert (await messages.ok(**more))["stop_reason"] == "end_turn"
    nothing = {"container": {}, "mcp_servers": [], "fallbacks": "default", "thread": None, "context_management": {}}
    assert (await messages.ok(container=""))["stop_reason"] == "end_turn"
    assert (await messages.ok(**nothing, compaction=None))["stop_reason"] == "end_turn"


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}])
@pytest.mark.parametrize("turns", [[{"role": "user", "content": "Hi"}], []])
async def test_threads_are_refused_so_that_sdks_send_the_whole_conversation(messages, thread, turns):
    response = await messages.post({"thread": thread, "messages": turns})
    body = await response.json()
    assert (response.status, body["error"]) == (
        400,
        {
            "type": INVALID,
            "message": "thread is not supported: conversations are not kept here; send all messages, without thread",
            "details": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
        },
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("compaction", {"type": "summarize"}),
        ("container", "c1"),
        ("container", {"skills": [{"type": "anthropic", "skill_id": "xlsx"}]}),
        ("fallbacks", [{"model": "other"}]),
        ("mcp_servers", [{"type": "url", "name": "n", "url": "https://example.org"}]),
    ],
)
async def test_what_would_change_the_answer_is_refused_by_name(messages, field, value):
    """Unlike the reference, which ignores it (decision 8)."""
    status, kind, said = await messages.error({field: value})
    assert (status, kind) == (400, INVALID)
    assert said.startswith(f"{field} is not supported: ")


async def test_count_tokens_takes_a_compaction_as_in_the_original(messages):
    assert await messages.count(compaction={"type": "summarize"}) == await messages.count()
    status, _, said = await messages.error({"mcp_servers": [{"name": "n"}]}, "/v1/messages/count_tokens")
    assert (status, said.startswith("mcp_servers is not supported")) == (400, True)


async def test_row_2_the_body_of_an_error(messages):
    response = await messages.post({"model": "nope"})
    body = await response.json()
    assert body == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "model 'nope' not found"},
        "request_id": response.headers["request-id"],
    }
    assert re.fullmatch("req_[0-9a-f]{24}", body["request_id"])
    assert (await response.text()).endswith("\n")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, INVALID),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (429, "rate_limit_error"),
        (503, "overloaded_error"),
        (529, "overloaded_error"),
        (500, "api_error"),
        (418, "api_error"),
    ],
)
def test_row_2_the_type_follows_the_status(status, kind):
    assert error_wire(CorralError("x"), status) == {"type": "error", "error": {"type": kind, "message": "x"}}


def test_row_2_an_error_outside_any_request_has_an_id_too():
    body = AnthropicRoutes(Plugin.Config()).render_error(Busy("x"), 503)
    assert re.search(rb'"request_id": "req_[0-9a-f]{24}"}\n$', body)


async def test_row_3_the_order_of_checks(messages):
    nothing = {"model": None, "max_tokens": 0, "messages": []}
    assert await messages.error(nothing) == (400, INVALID, "model is required")
    assert await messages.error({**nothing, "model": " "}) == (400, INVALID, "model is required")
    for count in (0, -1, None):
        body = {"model": "nope", "max_tokens": count, "messages": []}
        assert await messages.error(body) == (400, INVALID, "max_tokens is required and must be positive")
    for absent in ([], None):
        expected = (400, INVALID, "messages is required")
        assert await messages.error({"model": "nope", "messages": absent}) == expected
    wrong_type = {**nothing, "messages": [{"role": "user", "content": 5}]}
    assert (await messages.error(wrong_type))[2].startswith("json: messages[0].content")
    bad_block = {"model": "nope", "messages": [{"role": "user", "content": [{"type": "image"}]}]}
    assert await messages.error(bad_block) == (400, INVALID, "invalid image source")


@pytest.mark.parametrize("data", [b"", b"{", b"nonsense", b'{"model":', b"[1]"])
async def test_row_4_no_json(client, messages, data):
    response = await client.post("/v1/messages", data=data)
    assert response.status == 400
    assert (await response.json())["error"]["type"] == INVALID


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [{"role": "user", "content": 1}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": [1]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
        {"messages": "x"},
        {"max_tokens": "5"},
        {"system": 5},
        {"stop_sequences": "x"},
        {"temperature": "warm"},
        {"tools": {}},
        {"thinking": "yes"},
        {"output_config": {"format": {"type": "json_schema"}}},
    ],
)
async def test_row_4_wrong_types(messages, wrong):
    status, kind, text = await messages.error(wrong)
    assert (status, kind) == (400, INVALID)
    assert text


async def test_row_5_what_a_model_is_and_is_not(messages):
    await messages.add("e", weights={"capabilities": ["embedding"]})
    assert await messages.error({"model": "nope"}) == (404, "not_found_error", "model 'nope' not found")
    assert await messages.error({"model": "a/b/c/d/e/f:g:h"}) == (400, INVALID, "invalid model name")
    assert await messages.error({"model": "e"}) == (400, INVALID, '"e" does not support chat')
    text = "registry.ollama.ai/library/m:latest does not support tools"
    assert await messages.error({"tools": [TOOL]}) == (400, INVALID, text)


async def test_row_5_a_name_of_the_clients_own(messages):
    await messages.kernel.store.copy(messages.kernel.parse_ref("m"), messages.kernel.parse_ref("claude-sonnet-4-5"))
    assert (await messages.ok(model="claude-sonnet-4-5"))["model"] == "claude-sonnet-4-5"


async def test_row_5_there_is_no_cloud(messages):
    await messages.add("far", config=ModelConfig(remote_host="https://example.org", remote_model="far"))
    status, kind, text = await messages.error({"model": "far"})
    assert (status, kind) == (403, "permission_error")
    assert text == "ollama cloud is disabled: remote model is unavailable"


@pytest.mark.parametrize("stream", [False, True])
async def test_row_6_a_full_queue(messages, doubles, stream):
    text = "server busy, please try again.  maximum pending requests exceeded"
    doubles.engine.open_error = Busy(text)
    assert await messages.error({"stream": stream}) == (503, "overloaded_error", text)


@pytest.mark.parametrize("stream", [False, True])
async def test_too_long_a_prompt_is_not_cut(messages, stream):
    await messages.add("short", weights={"context_length": 20})
    status, kind, text = await messages.error({"model": "short", "stream": stream})
    assert (status, kind) == (400, INVALID)
    assert "exceeds the available context size" in text


@pytest.mark.parametrize("stream", [False, True])
async def test_row_30_before_the_first_event_an_error_is_a_status(messages, doubles, stream):
    doubles.engine.open_error = CorralError("it broke")
    assert await messages.error({"stream": stream}) == (500, "api_error", "it broke")
    assert (await messages.error({"model": "nope", "stream": stream}))[0] == 404


async def test_row_30_in_the_middle_it_is_an_event(messages, doubles):
    doubles.engine.error_at = 3
    *before, last = await messages.events()
    assert last == {"type": "error", "error": {"type": "api_error", "message": "the script says so"}}
    assert [event["type"] for event in before[:3]] == ["message_start", "content_block_start", "content_block_delta"]
    said = [event["delta"]["text"] for event in before if event["type"] == "content_block_delta"]
    assert "".join(said) == "Hel"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", ""), ("GET", ""), ("GET", "/b1"), ("GET", "/b1/results"), ("POST", "/b1/cancel"), ("DELETE", "/b1")],
)
async def test_batches_are_refused_by_name(messages, method, path):
    status, kind, said = await messages.refusal(method, f"/v1/messages/batches{path}")
    assert (status, kind) == (404, "not_found_error")
    assert said == "message batches are not served here: send the messages one by one"


@pytest.mark.parametrize(
    ("error", "kind"), [(ModelNotFound("x"), "not_found_error"), (Forbidden("x"), "permission_error")]
)
async def test_errors_of_the_kernel_have_their_type(messages, doubles, error, kind):
    doubles.engine.open_error = error
    assert (await messages.error({}))[1] == kind


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "kind"),
    [
        ("GET", "/v1/messages", {}, 405, "api_error"),
        ("POST", "/v1/messages/x", {}, 404, "not_found_error"),
        ("GET", "/v1/organizations", {"anthropic-version": "2023-06-01"}, 404, "not_found_error"),
    ],
)
async def test_what_is_not_served_is_told_in_the_dialects_shape(messages, method, path, headers, status, kind):
    response = await messages.client.request(method, path, headers=headers)
    assert (response.status, response.content_type) == (status, "application/json")
    found = await response.json()
    assert (found["type"], found["error"]["type"]) == ("error", kind)
    assert path in found["error"]["message"]
