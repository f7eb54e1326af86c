"""Rows 8, 9 and 12-20 of the Anthropic API's checklist: what a request becomes."""

import base64

import pytest

INVALID = "invalid_request_error"
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
CALL = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}}


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def text(said, **more):
    return {"type": "text", "text": said, **more}


def result(content, **more):
    return {"type": "tool_result", "tool_use_id": "c1", "content": content, **more}


@pytest.fixture
def asked(kernel, monkeypatch):
    """The requests as the pipeline prepared them."""
    seen, prepare = [], kernel.pipeline.prepare

    async def recorded(request, model):
        ready, what = await prepare(request, model)
        seen.append(ready)
        return ready, what

    monkeypatch.setattr(kernel.pipeline, "prepare", recorded)
    return seen


async def rendered(messages, prompt, *turns, **body):
    """The lines of the prompt that these messages make, without the first and the last."""
    await messages.ok(messages=list(turns), **body)
    return prompt().splitlines()[1:-1]


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("be kind", ["[system] be kind"]),
        ([text("be "), text("kind", cache_control={"type": "ephemeral"})], ["[system] be kind"]),
        ([{"type": "other", "x": 1}, text("kind")], ["[system] kind"]),
        ("", []),
        ([], []),
        ([text("")], []),
        (None, []),
    ],
)
async def test_row_8_system(messages, prompt, system, expected):
    assert await rendered(messages, prompt, user(text("Hi")), system=system) == [*expected, "[user] Hi"]


async def test_row_8_the_models_own_system_prompt_gives_way(messages, prompt):
    await messages.add("s", system="own")
    assert (await rendered(messages, prompt, user(text("Hi")), model="s"))[0] == "[system] own"
    assert (await rendered(messages, prompt, user(text("Hi")), model="s", system="mine"))[0] == "[system] mine"


async def test_row_9_sampling(messages, doubles):
    await messages.ok(temperature=0.25, top_p=0.5, top_k=7, stop_sequences=["a", "b"], max_tokens=9)
    job = doubles.engine.jobs[-1]
    options = job.options
    assert (options.temperature, options.top_p, options.top_k, options.stop) == (0.25, 0.5, 7, ("a", "b"))
    assert job.max_tokens == 9


async def test_row_9_defaults_are_the_models(messages, doubles):
    await messages.add("own", parameters={"temperature": 0.125, "top_p": 0.75, "top_k": 3, "stop": ["s"]})
    await messages.ok(model="own", temperature=None)
    options = doubles.engine.jobs[-1].options
    assert (options.temperature, options.top_p, options.top_k, options.stop) == (0.125, 0.75, 3, ("s",))


async def test_row_12_texts_are_joined(messages, prompt):
    turns = [user(text("a"), text("b", citations=None, cache_control={"type": "ephemeral"})), user(text("c"))]
    assert await rendered(messages, prompt, *turns) == ["[user] ab", "[user] c"]


async def test_row_12_roles(messages, prompt):
    turns = [{"role": "ASSISTANT", "content": "a"}, {"role": "Narrator", "content": "b"}]
    assert await rendered(messages, prompt, *turns) == ["[assistant] a", "[narrator] b"]


async def test_row_12_a_turn_of_nothing_is_left_out(messages, prompt):
    assert await rendered(messages, prompt, {"role": "assistant", "content": []}, user(text("c"))) == ["[user] c"]


async def test_row_13_images(messages, prompt):
    await messages.add("v", weights={"capabilities": ["completion", "vision"]})
    assert await rendered(messages, prompt, user(text("see"), IMAGE, IMAGE), model="v") == ["[user] [img] [img] see"]
    broken = base64.b64encode(b"1234567").decode()
    wrapped = {"type": "image", "source": {"type": "base64", "data": broken[:4] + "\r\n" + broken[4:]}}
    assert await rendered(messages, prompt, user(wrapped), model="v") == ["[user] [img] "]


async def test_row_13_a_model_without_eyes(messages):
    status, kind, said = await messages.error({"messages": [user(IMAGE)]})
    assert (status, kind) == (400, INVALID)
    assert "does not support vision" in said


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, "invalid image source"),
        (
            {"type": "url", "url": "https://example.org/x.png"},
            "invalid image source type: url. Only base64 images are supported.",
        ),
        ({"type": "base64", "data": "ab!d"}, "invalid base64 image data: "),
        ({"type": "base64", "data": "abc"}, "invalid base64 image data: "),
    ],
)
async def test_row_13_images_that_cannot_be_used(messages, source, expected):
    status, kind, said = await messages.error({"messages": [user({"type": "image", "source": source})]})
    assert (status, kind) == (400, INVALID)
    assert said.startswith(expected)


async def test_row_14_calls_in_the_history(messages, prompt):
    turns = [user(text("?")), {"role": "assistant", "content": [text("Let me see."), CALL]}, user(result("4 C"))]
    assert await rendered(messages, prompt, *turns) == [
        "[user] ?",
        '[assistant] Let me see. c1:weather{"city": "Oslo"}',
        "[tool] <weather> <c1> 4 C",
    ]


async def test_row_14_a_call_without_input(messages, prompt):
    turn = {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "now"}]}
    assert await rendered(messages, prompt, turn) == ["[assistant]  c1:now{}"]


@pytest.mark.parametrize("field", ["id", "name"])
async def test_row_14_calls_lack_something(messages, field):
    turn = {"role": "assistant", "content": [{**CALL, field: None}]}
    assert await messages.error({"messages": [turn]}) == (
        400,
        INVALID,
        f"tool_use block missing required '{field}' field",
    )


async def test_row_14_input_must_be_an_object(messages):
    turn = {"role": "assistant", "content": [{**CALL, "input": [1]}]}
    status, _, said = await messages.error({"messages": [turn]})
    assert (status, said) == (400, "json: Expected `object`, got `array` - at `$.messages[0].content[0].input`")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("4 C", "4 C"),
        ([text("4"), {"type": "other"}, text(" C")], "4 C"),
        (None, ""),
        ([], ""),
        ("", ""),
    ],
)
async def test_row_15_results(messages, prompt, content, expected):
    assert await rendered(messages, prompt, user(result(content))) == [f"[tool] <c1> {expected}"]


PLAIN = {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
PARTS = {"type": "document", "source": {"type": "content", "content": [text("a"), text("b")]}}
HIT = {"type": "search_result", "source": "https://example.org", "title": "S", "content": [text("found")]}
AS_TEXT = [
    '<document title="T">',
    "words",
    "</document>",
    "<document>",
    "a",
    "b",
    "</document>",
    '<search_result title="S" source="https://example.org">',
    "found",
    "</search_result>",
    "so?",
]


async def test_row_15_documents_and_search_results_of_a_tool_are_text(messages, prompt):
    lines = await rendered(messages, prompt, user(result([PLAIN, PARTS, HIT, text("so?")])))
    assert lines == [f"[tool] <c1> {AS_TEXT[0]}", *AS_TEXT[1:]]
    without = await messages.count(messages=[user(result([text("so?")]))])
    assert await messages.count(messages=[user(result([PLAIN, text("so?")]))]) > without


async def test_row_15_a_pdf_of_a_tool_is_refused(messages):
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        status, kind, said = await messages.error({"messages": [user(result([pdf]))]}, path)
        assert (status, kind, "application/pdf" in said) == (400, INVALID, True)


async def test_row_15_a_result_with_an_image(messages, prompt):
    await messages.add("v", weights={"capabilities": ["completion", "vision"]})
    assert await rendered(messages, prompt, user(result([text("see"), IMAGE])), model="v") == ["[tool] <c1> [img] see"]
    body = {"messages": [user(result([{"type": "image"}]))]}
    assert await messages.error(body) == (400, INVALID, "invalid tool_result image source")


async def test_row_15_results_come_before_the_users_text(messages, prompt):
    turn = user(text("so?"), result("4 C"), result("rain", tool_use_id="c2"))
    assert await rendered(messages, prompt, turn) == ["[tool] <c1> 4 C", "[tool] <c2> rain", "[user] so?"]
    assistant = {"role": "assistant", "content": [result("4 C"), text("cold")]}
    assert await rendered(messages, prompt, assistant) == ["[assistant] cold", "[tool] <c1> 4 C"]


async def test_row_15_a_failure_says_so(messages, prompt):
    assert await rendered(messages, prompt, user(result("no such city", is_error=True))) == [
        "[tool] <c1> Error: no such city"
    ]


async def test_row_16_thinking_comes_back(messages, prompt):
    first, second = ({"type": "thinking", "thinking": said, "signature": "x"} for said in ("hm", "ah"))
    turn = {"role": "assistant", "content": [first, second, text("yes")]}
    assert await rendered(messages, prompt, turn) == ["[assistant] (ah) yes"]


async def test_row_16_what_nobody_can_read_is_left_out(messages, prompt):
    turn = {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, text("a")]}
    assert await rendered(messages, prompt, turn) == ["[assistant] a"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": [{"content": "x"}]}, "messages[0].role is required"),
        (
            {"messages": [user(text("a"), {"type": "container_upload", "file_id": "f"})]},
            "messages[0].content[1].type is",
        ),
        ({"messages": [user({**PLAIN, "citations": {"enabled": True}})]}, "citations of a document is not supported"),
        ({"messages": [user({**PLAIN, "citations": True})]}, "citations of a document is not supported"),
        ({"messages": [user({**HIT, "citations": {"enabled": True}})]}, "citations of a search_result is not"),
        ({"tools": [{"name": "a"}, {"input_schema": {"type": "object"}}]}, "tools[1].name is required"),
        ({"tools": [{"name": "a", "allowed_callers": ["code_execution_20260120"]}]}, "tools[0].allowed_callers is not"),
        *(
            ({"tools": [{"name": "a"}, {"type": kind, "name": "n"}]}, "tools[1].type is not supported: ")
            for kind in (
                "browser_toolset_20260801",
                "code_execution_20250825",
                "computer_toolset_20260801",
                "mcp_toolset",
                "tool_search_tool_bm25",
                "tool_search_tool_regex_20251119",
                "web_fetch_20250910",
                "web_search_20250305",
            )
        ),
    ],
)
async def test_what_cannot_be_used_is_refused_by_name(messages, body, said):
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        status, kind, text = await messages.error({"model": "t", **body}, path)
        assert (status, kind) == (400, INVALID)
        assert text.startswith(said)


async def test_what_asks_for_nothing_passes(messages, prompt):
    documents = [{**PLAIN, "citations": value} for value in ({"enabled": False}, {}, False, None)]
    tools = [{"name": "a", "allowed_callers": ["direct"], "strict": True, "defer_loading": False, "input_examples": []}]
    assert "[tool] a" in await rendered(messages, prompt, user(*documents), model="t", tools=tools)


async def test_results_of_tools_that_ran_elsewhere(messages, prompt):
    call = {"type": "server_tool_use", "id": "s1", "name": "web_fetch", "input": {"url": "u"}}
    found = {"type": "web_fetch_tool_result", "tool_use_id": "s1", "content": {"type": "web_fetch_result", "url": "u"}}
    lines = await rendered(messages, prompt, {"role": "assistant", "content": [call, found]})
    assert lines[1] == '[tool] <web_fetch> <s1> {"type":"web_fetch_result","url":"u"}'


async def test_calls_of_mcp_servers_of_the_past(messages, prompt):
    call = {"type": "mcp_tool_use", "id": "m1", "name": "look", "server_name": "s", "input": {"a": 1}}
    found = {"type": "mcp_tool_result", "tool_use_id": "m1", "is_error": False, "content": [text("7 "), text("cats")]}
    failed = {**found, "is_error": True, "content": [text("none")]}
    assert await rendered(messages, prompt, {"role": "assistant", "content": [call, found, failed]}) == [
        '[assistant]  m1:look{"a": 1}',
        "[tool] <look> <m1> 7 cats",
        "[tool] <look> <m1> Error: none",
    ]


async def test_documents_and_search_results_are_text(messages, prompt):
    lines = await rendered(messages, prompt, user(PLAIN, PARTS, HIT, text("so?")))
    assert lines == [f"[user] {AS_TEXT[0]}", *AS_TEXT[1:]]


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({"type": "base64", "media_type": "application/pdf", "data": "AAAA"}, "application/pdf"),
        ({"type": "url", "url": "https://example.org"}, "url"),
        (None, "invalid document source"),
    ],
)
async def test_documents_that_are_no_text_are_refused(messages, source, named):
    status, kind, said = await messages.error({"messages": [user({"type": "document", "source": source})]})
    assert (status, kind, named in said) == (400, INVALID, True)


async def test_web_searches_of_the_past(messages, prompt):
    call = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}
    rows = [{"type": "web_search_result", "title": "T", "url": "https://example.org"}]
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": rows}
    failed = {**found, "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"}}
    turn = {"role": "assistant", "content": [call, found, failed]}
    assert await rendered(messages, prompt, turn) == [
        '[assistant]  s1:web_search{"query": "q"}',
        "[tool] <web_search> <s1> - T: https://example.org",
        "[tool] <web_search> <s1> web_search_tool_result_error: unavailable",
    ]


async def test_row_17_tools(messages, prompt):
    tools = [
        {"name": "weather", "description": "d", "input_schema": {"type": "object", "properties": {"c": {}}}},
        {"type": "custom", "name": "now"},
        {"type": "bash_20250124", "name": "bash"},
    ]
    assert await rendered(messages, prompt, user(text("?")), model="t", tools=tools) == [
        "[tool] weather",
        "[tool] now",
        "[tool] bash",
        "[user] ?",
    ]


@pytest.mark.parametrize("schema", [5, "x", [], {"properties": []}, {"required": "a"}, {"type": 5}])
async def test_row_17_schemas_that_are_none(messages, schema):
    tools = [{"name": "ok"}, {"name": "X", "input_schema": schema}]
    status, kind, said = await messages.error({"model": "t", "tools": tools})
    assert (status, kind) == (400, INVALID)
    assert said.startswith('invalid input_schema for tool "X": ')


TOOLS = [{"name": "a"}, {"name": "b"}]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ("auto", 2, 0)),
        ({"type": "auto"}, ("auto", 2, 0)),
        ({"type": "auto", "disable_parallel_tool_use": True}, ("auto", 2, 1)),
        ({"type": "any"}, ("required", 2, 0)),
        ({"type": "tool", "name": "b", "disable_parallel_tool_use": True}, ("b", 2, 1)),
        ({"type": "none"}, ("auto", 0, 0)),
    ],
)
async def test_row_18_tool_choice(messages, asked, choice, expected):
    await messages.count(model="t", tools=TOOLS, tool_choice=choice)
    assert (asked[-1].tool_choice, len(asked[-1].tools), asked[-1].max_tool_calls) == expected


async def test_row_18_a_choice_that_is_not_there(messages):
    body = {"model": "t", "tools": TOOLS, "tool_choice": {"type": "tool", "name": "c"}}
    status, _, said = await messages.error(body)
    assert (status, said) == (400, 'tool_choice names the tool "c", which is not among the tools')


async def test_row_18_a_choice_that_is_none(messages):
    status, _, said = await messages.error({"model": "t", "tools": TOOLS, "tool_choice": {"type": "required"}})
    assert (status, said) == (400, 'tool_choice.type is "required"; it must be one of auto, any, tool, none')
    status, _, said = await messages.error({"model": "t", "tool_choice": {"type": "any"}})
    assert (status, said) == (400, 'tool_choice "any" needs tools')


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, True),
        ({"thinking": {"type": "disabled"}}, False),
        ({"thinking": {"type": "adaptive"}}, True),
        ({}, True),
        ({"output_config": {"effort": "low"}}, "low"),
        ({"output_config": {"effort": " HIGH "}}, "high"),
        ({"output_config": {"effort": "xhigh"}}, "high"),
        ({"output_config": {"effort": "max"}}, "max"),
        ({"output_config": {"effort": "whatever"}}, True),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, False),
        ({"thinking": {"type": "enabled"}, "output_config": {"effort": "low"}}, True),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}, "medium"),
    ],
)
async def test_row_19_thinking(messages, asked, fields, thinks):
    await messages.ok(model="t", **fields)
    assert asked[-1].think == thinks


async def test_how_long_to_think(messages, doubles, asked):
    jobs = []
    doubles.engine.reply = lambda job: jobs.append(job) or b"<think>hm</think>Yes."
    await messages.ok(model="t", thinking={"type": "enabled", "budget_tokens": 2000})
    await messages.ok(model="t")
    assert [request.thinking_tokens for request in asked] == [2000, -1]
    assert [job.thinking_limit for job in jobs] == [("<think>", "</think>", "</think>", 2000), None]


@pytest.mark.parametrize("fields", [{"thinking": {"type": "enabled"}}, {"output_config": {"effort": "high"}}])
async def test_row_20_thinking_that_a_model_cannot(messages, fields):
    assert (await messages.ok(**fields))["content"] == [{"type": "text", "text": "Hello!"}]


SCHEMA = {"type": "json_schema", "schema": {"type": "object"}}


@pytest.mark.parametrize("fields", [{"output_config": {"format": SCHEMA}}, {"output_format": SCHEMA}])
async def test_an_answer_of_a_given_shape(messages, doubles, fields):
    await messages.ok(**fields)
    constraint = doubles.engine.jobs[-1].constraint
    assert (constraint.kind, constraint.source) == ("json_schema", '{"type":"object"}')


async def test_more_than_can_be_served(messages):
    block = text("x")
    assert (await messages.error({"messages": [user(block)] * 10_001}))[0] == 400
    assert (await messages.error({"messages": [user(*[block] * 10_001)]}))[0] == 400
    assert (await messages.error({"model": "t", "tools": [{"name": "x"}] * 10_001}))[0] == 400


def thought(said, *blocks):
    return {"role": "assistant", "content": [{"type": "thinking", "thinking": said}, *blocks]}


CLEAR = "clear_thinking_20251015"
TURNS = [user(text("a")), thought("1", CALL), user(result("4 C")), thought("2", text("b")), user(text("c"))]
LONGER = [*TURNS, thought("3", text("d")), user(text("e"))]


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ("all", ["(1)", "(2)", "(3)"]),
        ({"type": "all"}, ["(1)", "(2)", "(3)"]),
        (None, ["(3)"]),
        ({"type": "thinking_turns", "value": 1}, ["(3)"]),
        ({"type": "thinking_turns", "value": 2}, ["(1)", "(2)", "(3)"]),
    ],
)
async def test_thinking_of_earlier_turns_is_cleared(messages, prompt, keep, left):
    edit = {"type": CLEAR} | ({} if keep is None else {"keep": keep})
    lines = await rendered(messages, prompt, *LONGER, context_management={"edits": [edit]})
    assert [f"({n})" for n in "123" if any(f"({n})" in line for line in lines)] == left


@pytest.mark.parametrize(
    ("management", "named"),
    [
        ({"edits": [{"type": CLEAR, "keep": "all"}, {"type": "clear_tool_uses_20250919"}]}, "edits[1].type is not"),
        ({"edits": [{"type": CLEAR, "keep": {"type": "thinking_turns", "value": 0}}]}, "edits[0].keep must be"),
        ({"edits": [{"type": CLEAR, "keep": True}]}, "edits[0].keep must be"),
        ({"edits": ["x"]}, "edits[0] is no object"),
        ({"edits": {"type": CLEAR}}, "context_management must be"),
        ("x", "context_management must be"),
    ],
)
async def test_context_management_that_is_not_known_is_refused(messages, management, named):
    status, kind, said = await messages.error({"context_management": management})
    assert (status, kind, named in said) == (400, INVALID, True), said
