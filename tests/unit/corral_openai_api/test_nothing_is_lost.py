"""Whatever pieces an answer comes in, its chunks say all of it, in order, and end once."""

import json

import msgspec
from hypothesis import given, strategies as st

from corral import Piece, TokenLogprob, ToolCall, Usage
from corral_http.pieces import merged
from corral_openai_api.chat import Part
from corral_openai_api.prompts import Prompt
from corral_openai_api.responses.outline import Outline
from corral_openai_api.responses.shapes import Response
from corral_openai_api.texts import Plan, TextPart

TEXTS = st.text(max_size=3)
CALLS = st.builds(ToolCall, name=st.sampled_from("fg"), arguments=st.dictionaries(TEXTS, st.integers(), max_size=2))
SCORED = st.builds(TokenLogprob, token=st.binary(max_size=2), logprob=st.floats(-9, 0))
PIECES = st.lists(
    st.builds(
        Piece,
        text=TEXTS,
        thinking=TEXTS,
        tool_calls=st.lists(CALLS, max_size=2).map(tuple),
        logprobs=st.lists(SCORED, max_size=2).map(tuple),
    ),
    max_size=6,
)
ENDS = st.builds(
    Piece,
    text=TEXTS,
    thinking=TEXTS,
    done_reason=st.sampled_from(["stop", "length", "shutdown"]),
    usage=st.just(Usage()),
)


def called(calls):
    return [(call.name, call.arguments) for call in calls]


@given(PIECES, ENDS)
def test_chunks_of_a_chat(pieces, end):
    pieces = [*pieces, end]
    part = Part(0)
    chunks = [chunk for piece in pieces for chunk in msgspec.to_builtins(part.chunks(piece))]
    deltas = [chunk["delta"] for chunk in chunks]
    said = merged(pieces)
    assert "".join(delta.get("content", "") for delta in deltas) == said.text
    assert "".join(delta.get("reasoning", "") for delta in deltas) == said.thinking
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls] == called(
        said.tool_calls
    )
    assert [call["index"] for call in calls] == list(range(len(calls)))
    scored = [entry for chunk in chunks for entry in chunk.get("logprobs", {"content": []})["content"]]
    assert [bytes(entry["bytes"] or []) for entry in scored] == [each.token for each in said.logprobs]
    assert ["role" in delta for delta in deltas] == [True] + [False] * (len(deltas) - 1)
    assert deltas[-1] == {}
    reason = {"stop": "tool_calls" if calls else "stop", "length": "length", "shutdown": "length"}[end.done_reason]
    assert [chunk["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + [reason]


def plan(**changes):
    given = {"prompts": (Prompt(text="Say: ", first="S"),), "typed": None, "tried": 1, "kept": 1}
    return Plan(**{**given, "echo": True, "logprobs": True, "silent": False, **changes})


@given(PIECES, ENDS, st.booleans())
def test_chunks_of_a_completion(pieces, end, echo):
    pieces = [*pieces, end]
    part = TextPart(0, plan(echo=echo))
    chunks = [msgspec.to_builtins(chunk) for piece in pieces if (chunk := part.chunk(piece))]
    said = merged(pieces)
    assert "".join(chunk["text"] for chunk in chunks) == ("Say: " if echo else "") + said.text
    assert "".join(chunk.get("reasoning", "") for chunk in chunks) == said.thinking
    reason = "stop" if end.done_reason == "stop" else "length"
    assert [chunk["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + [reason]
    n_scored = sum(len(chunk["logprobs"]["tokens"]) for chunk in chunks if "logprobs" in chunk)
    assert n_scored == len(said.logprobs) + int(echo)
    assert msgspec.to_builtins(TextPart(0, plan(echo=echo)).chunk(said))["text"] == "".join(c["text"] for c in chunks)


@given(PIECES, ENDS)
def test_events_of_a_response(pieces, end):
    outline = Outline(Response(id="r", created_at=0, model="m", text={}))
    frames = [
        *outline.begin(),
        *(event for piece in [*pieces, end] for event in outline.read(piece)),
        *outline.end(end),
    ]
    events = [json.loads(frame.split(b"\ndata: ")[1]) for frame in frames]
    said = merged([*pieces, end])
    assert [event["sequence_number"] for event in events] == list(range(len(events)))

    def deltas(kind):
        return "".join(event["delta"] for event in events if event["type"] == f"response.{kind}.delta")

    assert deltas("output_text") == said.text
    assert deltas("reasoning_summary_text") == said.thinking
    status, details, code = {
        "stop": ("completed", None, None),
        "length": ("incomplete", "max_output_tokens", None),
        "shutdown": ("failed", None, "server_error"),
    }[end.done_reason]
    last = events[-1]["response"]
    told = (last["incomplete_details"] or {}).get("reason"), (last["error"] or {}).get("code")
    assert (last["status"], *told) == (status, details, code)
    output = last["output"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    added = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    assert output == done
    assert added == list(range(len(done)))
    assert "".join(item["content"][0]["text"] for item in output if item["type"] == "message") == said.text
    assert "".join(item["summary"][0]["text"] for item in output if item["type"] == "reasoning") == said.thinking
    calls = [item for item in output if item["type"] == "function_call"]
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == called(said.tool_calls)
