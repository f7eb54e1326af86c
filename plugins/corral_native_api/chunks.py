"""What goes back: one Struct a shape of answer, in the wire's names.  A field that is UNSET is left out."""

import math
import secrets
import string
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from corral import JSONObject, ModelConfig, Piece, TokenLogprob, ToolCall, Truncated

_ID_LETTERS = string.ascii_lowercase + string.digits
_LATEST_S = 9_223_372_036  # added to now: what "never expires" looks like, about 292 years
_LEAST_LOGPROB = -9999.0  # JSON has no -Infinity


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything that is sent."""


class ErrorWire(Wire, frozen=True):
    """Every error; `signin_url` comes with what only an account could do."""

    error: str
    signin_url: str | UnsetType = UNSET


class LogprobWire(Wire, frozen=True):
    """One token's log-probability; `bytes` spells tokens that are no text of their own."""

    token: str
    logprob: float
    bytes: list[int] | UnsetType = UNSET
    top_logprobs: list["LogprobWire"] | UnsetType = UNSET


class FunctionWire(Wire, frozen=True):
    """The called function."""

    index: int
    name: str
    arguments: JSONObject


class ToolCallWire(Wire, frozen=True):
    """A call the model asks for."""

    id: str
    function: FunctionWire


class MessageWire(Wire, frozen=True):
    """The assistant's turn, or a part of it."""

    role: str
    content: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[ToolCallWire] | UnsetType = UNSET


class DebugWire(Wire, frozen=True):
    """The prompt that would have run."""

    rendered_template: str
    image_count: int | UnsetType = UNSET


class Answer(Wire, frozen=True):
    """A line of an answer, or all of it.  `generate` fills `response`, `chat` fills `message`; times are in ns."""

    model: str
    created_at: str
    message: MessageWire | UnsetType = UNSET
    response: str | UnsetType = UNSET
    thinking: str | UnsetType = UNSET
    done: bool = False
    done_reason: str | UnsetType = UNSET
    context: tuple[int, ...] | UnsetType = UNSET
    tool_calls: list[ToolCallWire] | UnsetType = UNSET
    logprobs: list[LogprobWire] | UnsetType = UNSET
    truncated: Truncated | UnsetType = UNSET
    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET
    prompt_eval_count: int | UnsetType = UNSET
    prompt_eval_duration: int | UnsetType = UNSET
    eval_count: int | UnsetType = UNSET
    eval_duration: int | UnsetType = UNSET
    debug_info: DebugWire | UnsetType = msgspec.field(default=UNSET, name="_debug_info")


Shape = Callable[[str, Piece, Sequence[ToolCallWire]], Answer]
"""(model as asked, piece, its numbered calls) → the line; `generated` or `chatted`."""


def generated(model: str, piece: Piece, calls: Sequence[ToolCallWire]) -> Answer:
    """A piece in the shape of /api/generate."""
    return replace(
        _answer(model, piece),
        response=piece.text,
        thinking=piece.thinking or UNSET,
        tool_calls=list(calls) or UNSET,
        context=UNSET if piece.context is None else piece.context,
    )


def chatted(model: str, piece: Piece, calls: Sequence[ToolCallWire]) -> Answer:
    """A piece in the shape of /api/chat."""
    message = MessageWire(
        role="assistant",
        content=piece.text,
        thinking=piece.thinking or UNSET,
        tool_calls=list(calls) or UNSET,
    )
    return replace(_answer(model, piece), message=message)


def _answer(model: str, piece: Piece) -> Answer:
    answer = Answer(model=model, created_at=now(), logprobs=[_logprob(each) for each in piece.logprobs] or UNSET)
    if piece.done_reason is None:
        return answer
    answer = replace(answer, done=True, done_reason=piece.done_reason, truncated=piece.truncated or UNSET)
    usage = piece.usage
    if usage is None:
        return answer
    return replace(
        answer,
        total_duration=usage.total_ns or UNSET,
        load_duration=usage.load_ns or UNSET,
        prompt_eval_count=usage.prompt_tokens or UNSET,
        prompt_eval_duration=usage.prompt_ns or UNSET,
        eval_count=usage.eval_tokens or UNSET,
        eval_duration=usage.eval_ns or UNSET,
    )


def _logprob(each: TokenLogprob) -> LogprobWire:
    return LogprobWire(
        token=each.token.decode(errors="replace"),
        logprob=max(each.logprob, _LEAST_LOGPROB),
        bytes=list(each.token) or UNSET,
        top_logprobs=[_logprob(rival) for rival in each.top] or UNSET,
    )


def numbered(calls: Iterable[ToolCall], first: int = 0) -> list[ToolCallWire]:
    """Calls numbered from `first`, with an id where the model's format has none."""
    return [
        ToolCallWire(
            id=call.id or "call_" + "".join(secrets.choice(_ID_LETTERS) for _ in range(8)),
            function=FunctionWire(index=index, name=call.name, arguments=call.arguments),
        )
        for index, call in enumerate(calls, first)
    ]


class EmbedFailure(Wire, frozen=True):
    """What was wrong with one input."""

    index: int
    error: str


class EmbedAnswer(Wire, frozen=True):
    """/api/embed.  The vector of an input with an entry in `errors` (sent only on request) is empty."""

    model: str
    embeddings: tuple[tuple[float, ...], ...]
    errors: list[EmbedFailure] | UnsetType = UNSET
    truncated: Truncated | UnsetType = UNSET
    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET
    prompt_eval_count: int | UnsetType = UNSET


class OldEmbedAnswer(Wire, frozen=True):
    """/api/embeddings."""

    embedding: tuple[float, ...]


class Details(Wire, frozen=True):
    """What the store knows about a model; the lengths are in `tags` only."""

    parent_model: str
    format: str
    family: str
    families: tuple[str, ...] | None
    parameter_size: str
    quantization_level: str
    context_length: int | UnsetType = UNSET
    embedding_length: int | UnsetType = UNSET


def details(config: ModelConfig) -> Details:
    """The model's config in the wire's words."""
    return Details(
        parent_model="",
        format=config.format,
        family=config.family,
        families=config.families or None,
        parameter_size=config.parameter_size,
        quantization_level=config.quantization,
    )


def now() -> str:
    """The present moment, RFC 3339, UTC."""
    return _rfc3339(time.time_ns())


def moment(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339, UTC; inf and whatever is too far become "in 292 years"."""
    latest = time.time() + _LATEST_S
    return _rfc3339(int(min(seconds, latest) * 1_000_000) * 1000 if not math.isnan(seconds) else 0)


def _rfc3339(ns: int) -> str:
    seconds, fraction = divmod(ns, 1_000_000_000)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{digits}Z"


ENCODER = msgspec.json.Encoder()


def line(value: object) -> bytes:
    """One NDJSON line."""
    return ENCODER.encode(value) + b"\n"


def reply(value: object, status: int = 200) -> web.Response:
    """One JSON object."""
    return web.Response(status=status, body=ENCODER.encode(value), content_type="application/json", charset="utf-8")
