"""What every route sends: ids, log-probabilities, tool calls, usage.  A field that is UNSET is left out."""

import json
import secrets
import string
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from corral import TokenLogprob, ToolCall, Truncated, Usage
from corral_http.frames import sse

FINGERPRINT = "fp_ollama"
SSE = "text/event-stream"
DONE = sse(b"[DONE]")
C = TypeVar("C")
_LETTERS = string.ascii_lowercase + string.digits
_LEAST_LOGPROB = -9999.0  # JSON has no -Infinity
_ENCODER = msgspec.json.Encoder()


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything that is sent."""


class TopLogprobWire(Wire, frozen=True):
    """A rival of a token.  `bytes` spells tokens that are no text of their own."""

    token: str
    logprob: float
    bytes: list[int] | None


class LogprobWire(TopLogprobWire, frozen=True):
    """A token's log-probability."""

    top_logprobs: list[TopLogprobWire]


class LogprobsWire(Wire, frozen=True):
    """The log-probabilities of a part of an answer."""

    content: list[LogprobWire]


class FunctionWire(Wire, frozen=True):
    """The called function; `arguments` is a JSON object as a string."""

    name: str
    arguments: str


class ToolCallWire(Wire, frozen=True):
    """A call the model asks for."""

    id: str
    index: int
    type: str
    function: FunctionWire


class CachedWire(Wire, frozen=True):
    """Of the prompt's tokens, those that were not computed again."""

    cached_tokens: int


class ReasoningWire(Wire, frozen=True):
    """Of the answer's tokens, those of thinking."""

    reasoning_tokens: int


class UsageWire(Wire, frozen=True):
    """What a request cost, in tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: CachedWire | UnsetType = UNSET
    completion_tokens_details: ReasoningWire | UnsetType = UNSET


class DebugWire(Wire, frozen=True):
    """The prompt that would have run."""

    rendered_template: str


class Envelope(Wire, Generic[C], frozen=True):
    """What stands around choices.  `truncated` tells how much of the prompt was left out, if any was.

    `service_tier`, for those who ask for one, is the one there is.
    """

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str = FINGERPRINT
    choices: list[C] = []
    usage: UsageWire | UnsetType = UNSET
    truncated: Truncated | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    debug_info: DebugWire | UnsetType = msgspec.field(default=UNSET, name="_debug_info")


def encoded(value: object) -> bytes:
    """JSON."""
    return _ENCODER.encode(value)


def reply(value: object) -> web.Response:
    """One JSON object."""
    return web.Response(body=encoded(value), content_type="application/json", charset="utf-8")


def new_id(prefix: str, length: int = 24) -> str:
    """A fresh id."""
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(length))


def ended(done_reason: str | None) -> str:
    """The wire's word for an end: "length" also for one that was the server's, for there was more to say."""
    return "stop" if done_reason == "stop" else "length"


def logprobs(scored: Iterable[TokenLogprob]) -> LogprobsWire | UnsetType:
    """UNSET when there are none."""
    tokens = [_logprob(each) for each in scored]
    return LogprobsWire(content=tokens) if tokens else UNSET


def _logprob(scored: TokenLogprob) -> LogprobWire:
    return LogprobWire(
        token=text_of(scored),
        logprob=bounded(scored),
        bytes=list(scored.token) or None,
        top_logprobs=[
            TopLogprobWire(token=text_of(rival), logprob=bounded(rival), bytes=list(rival.token) or None)
            for rival in scored.top
        ],
    )


def text_of(scored: TokenLogprob) -> str:
    """The token's text; bytes that are no character of their own become U+FFFD."""
    return scored.token.decode(errors="replace")


def bounded(scored: TokenLogprob) -> float:
    """The log-probability as a number JSON can write."""
    return max(scored.logprob, _LEAST_LOGPROB)


def calls(made: Iterable[ToolCall], first: int = 0) -> list[ToolCallWire]:
    """Calls numbered from `first`, with an id where the model's format has none."""
    return [
        ToolCallWire(
            id=call.id or new_id("call_", 8),
            index=index,
            type="function",
            function=FunctionWire(name=call.name, arguments=arguments(call)),
        )
        for index, call in enumerate(made, first)
    ]


def arguments(call: ToolCall) -> str:
    """The arguments as the JSON text clients decode."""
    return json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":"))


def usage(*prompts: Sequence[Usage]) -> UsageWire:
    """The cost of all answers, given for each prompt those of its answers: the prompt counts once."""
    prompt = sum(max((each.prompt_tokens for each in answers), default=0) for answers in prompts)
    cached = sum(min((each.cached_tokens for each in answers), default=0) for answers in prompts)
    completion = sum(each.eval_tokens for answers in prompts for each in answers)
    thinking = sum(each.thinking_tokens for answers in prompts for each in answers)
    return UsageWire(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=CachedWire(cached_tokens=cached),
        completion_tokens_details=ReasoningWire(reasoning_tokens=thinking),
    )
