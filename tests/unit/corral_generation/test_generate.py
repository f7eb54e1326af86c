"""What a request becomes for the runner, and what of its tokens reaches the client."""

from contextlib import aclosing
from typing import Any

import pytest

from corral import ChatRequest, Constraint, Job, Message, Piece, Tool
from corral.kernel import Kernel
from corral.testing.bytes_tokenizer import EOS
from corral.testing.doubles import Plugin as Doubles
from corral.testing.fake_weights import fake_weights
from corral.testing.models import add_model

ASKED = (Message(role="user", content="hi"),)
TOOLS = (Tool(name="f"),)


async def pieces_of(kernel: Kernel, **fields: Any) -> list[Piece]:
    request = ChatRequest(**{"model": "m", "messages": ASKED, **fields})
    async with aclosing(kernel.pipeline.chat(request)) as pieces:
        return [piece async for piece in pieces]


async def job_of(kernel: Kernel, doubles: Doubles, **fields: Any) -> Job:
    await pieces_of(kernel, **fields)
    return doubles.engine.jobs[-1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"max_tokens": 2560, "num_ctx": 256, "num_keep": 4, "eog_ids": (EOS,)}),
        ({"num_predict": 7, "num_ctx": 50}, {"max_tokens": 7, "num_ctx": 50}),
        ({"num_predict": -2, "num_ctx": 50}, {"max_tokens": 500}),
        ({"num_predict": 10**6, "num_ctx": 50}, {"max_tokens": 500}),
        ({"ignore_eos": True}, {"eog_ids": ()}),
    ],
)
async def test_options_bound_the_job(kernel: Kernel, doubles: Doubles, options: Any, expected: Any) -> None:
    await add_model(kernel, "m", fake_weights())
    job = await job_of(kernel, doubles, overrides=options)
    assert {name: getattr(job, name) for name in expected} == expected


async def test_to_keep_everything_is_to_keep_the_prompt(kernel: Kernel, doubles: Doubles) -> None:
    await add_model(kernel, "m", fake_weights())
    job = await job_of(kernel, doubles, overrides={"num_keep": -1})
    assert job.num_keep == len(job.token_ids)


@pytest.mark.parametrize(
    ("fields", "after", "opens", "limit"),
    [
        ({}, "</think>", "<think>", None),
        ({"thinking_tokens": 9}, "</think>", "<think>", ("<think>", "</think>", "</think>", 9)),
        ({"thinking_tokens": 0}, "</think>", "<think>", ("<think>", "</think>", "</think>", 0)),
        ({"thinking_tokens": 9, "think": False}, "", "", None),
        ({"thinking_tokens": 9, "prompt": "hi", "raw": True}, "", "", None),
        ({"prompt": "hi"}, "", "", None),  # a completion is constrained at once
        ({"prompt": "hi", "thinking_tokens": 3}, "", "", ("<think>", "</think>", "</think>", 3)),
    ],
)
async def test_where_a_constraint_begins_and_thinking_ends(
    kernel: Kernel, doubles: Doubles, fields: Any, after: str, opens: str, limit: Any
) -> None:
    await add_model(kernel, "m", fake_weights(), template="thinking")
    constraint = Constraint(kind="json")
    job = await job_of(kernel, doubles, constraint=constraint, **fields)
    assert (job.constraint, job.constraint_after, job.thinking_opens, job.thinking_limit) == (
        constraint,
        after,
        opens,
        limit,
    )
    assert job.must_answer


async def test_tools_make_the_constraint(kernel: Kernel, doubles: Doubles) -> None:
    await add_model(kernel, "m", fake_weights(), template="tools")
    free = await job_of(kernel, doubles, tools=TOOLS)
    assert (free.constraint, free.must_answer) == (None, False)
    forced = await job_of(kernel, doubles, tools=TOOLS, tool_choice="f")
    assert (forced.constraint, forced.must_answer) == (Constraint(kind="lark", source="f of f or None"), True)


async def test_the_answer_ends_after_as_many_calls_as_were_asked_for(kernel: Kernel, doubles: Doubles) -> None:
    await add_model(kernel, "m", fake_weights(), template="tools")
    doubles.engine.reply = lambda job: b'<call>{"name": "f", "arguments": {}}</call>' * 3
    for most, expected in ((0, 3), (1, 1), (2, 2)):
        pieces = await pieces_of(kernel, tools=TOOLS, max_tool_calls=most)
        assert sum(len(piece.tool_calls) for piece in pieces) == expected
        assert pieces[-1].done_reason == "stop"


async def test_every_token_has_its_logprob_whether_or_not_it_is_shown(kernel: Kernel, doubles: Doubles) -> None:
    await add_model(kernel, "m", fake_weights(), template="thinking")
    doubles.engine.reply = lambda job: "<think>é</think>ü".encode()
    pieces = await pieces_of(kernel, logprobs=True)
    assert b"".join(each.token for piece in pieces for each in piece.logprobs) == "<think>é</think>ü".encode()
    assert "".join(piece.text for piece in pieces) == "ü"
    assert "".join(piece.thinking for piece in pieces) == "é"


async def test_a_raw_prompt_has_no_context_and_no_parser(kernel: Kernel, doubles: Doubles) -> None:
    await add_model(kernel, "m", fake_weights(), template="thinking tools")
    doubles.engine.reply = lambda job: b"<think>hm</think>"
    pieces = await pieces_of(kernel, prompt="x", raw=True)
    assert "".join(piece.text for piece in pieces) == "<think>hm</think>"
    assert pieces[-1].context is None
