"""What goes back, in the wire's names.  A field that is UNSET is left out."""

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from corral import JSONObject, ToolCall, Truncated, Usage
from corral_anthropic_api.identity import call_id


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything that is sent."""


class TextBlock(Wire, frozen=True, tag="text"):
    """What the model said."""

    text: str


class ThinkingBlock(Wire, frozen=True, tag="thinking"):
    """What the model thought before it spoke."""

    thinking: str


class ToolUseBlock(Wire, frozen=True, tag="tool_use"):
    """A call the model asks for."""

    id: str
    name: str
    input: JSONObject


Block = TextBlock | ThinkingBlock | ToolUseBlock


class OutputDetails(Wire, frozen=True):
    """Of the answer's tokens, those of thinking."""

    thinking_tokens: int


class UsageWire(Wire, frozen=True):
    """Tokens.  With the cache's share told, `input_tokens` are those that were not in the cache."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int | UnsetType = UNSET
    cache_read_input_tokens: int | UnsetType = UNSET
    output_tokens_details: OutputDetails | UnsetType = UNSET


class MessageWire(Wire, frozen=True, kw_only=True, tag="message"):
    """The answer; the first event of a stream has one without an end.  `truncated`: the prompt was cut, as allowed."""

    id: str
    role: str = "assistant"
    model: str
    content: list[Block]
    stop_reason: str | UnsetType = UNSET
    stop_sequence: str | UnsetType = UNSET
    usage: UsageWire
    truncated: Truncated | UnsetType = UNSET


class CountWire(Wire, frozen=True):
    """Of count_tokens."""

    input_tokens: int


class ErrorDetail(Wire, frozen=True):
    """The kind of error, by status, what was wrong, and what programs may read of it."""

    type: str
    message: str
    details: JSONObject | UnsetType = UNSET


class ErrorWire(Wire, frozen=True, tag="error"):
    """Every error; `request_id` names the request it ended."""

    error: ErrorDetail
    request_id: str | UnsetType = UNSET


def usage_wire(usage: Usage, *, tells_cache: bool) -> UsageWire:
    """Only a client that marks what to cache is told what came from the cache; thinking is told where there was any."""
    thought = OutputDetails(thinking_tokens=usage.thinking_tokens) if usage.thinking_tokens else UNSET
    if not tells_cache:
        tokens = usage.prompt_tokens, usage.eval_tokens
        return UsageWire(input_tokens=tokens[0], output_tokens=tokens[1], output_tokens_details=thought)
    return UsageWire(
        input_tokens=usage.prompt_tokens - usage.cached_tokens,
        output_tokens=usage.eval_tokens,
        cache_creation_input_tokens=0,
        cache_read_input_tokens=usage.cached_tokens,
        output_tokens_details=thought,
    )


def tool_use(call: ToolCall, taken: set[str]) -> ToolUseBlock:
    """A call as a block; its id is new where the model gave none, or one it had already used."""
    chosen = call.id if call.id and call.id not in taken else call_id()
    taken.add(chosen)
    return ToolUseBlock(id=chosen, name=call.name, input=call.arguments)


ENCODER = msgspec.json.Encoder()


def reply(value: object) -> web.Response:
    """One JSON object."""
    return web.Response(body=ENCODER.encode(value) + b"\n", content_type="application/json", charset="utf-8")
