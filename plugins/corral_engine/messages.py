"""What a runner in a child process and its parent say to each other: length-prefixed msgpack frames."""

import asyncio
import struct
from collections.abc import Sequence

import msgspec

import corral.errors
from corral import (
    CorralError,
    DoneEvent,
    EmbedJob,
    Event,
    Job,
    PrefillEvent,
    RunnerDied,
    RunnerStats,
    TokensEvent,
)

_LENGTH = struct.Struct("<I")
MAX_FRAME = 1 << 28


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of all messages; `id` is the request's, 0 where there is none."""

    id: int = 0


class Submit(Message, frozen=True, tag=True, kw_only=True):
    job: Job


class Embed(Message, frozen=True, tag=True, kw_only=True):
    job: EmbedJob


class Cancel(Message, frozen=True, tag=True):
    """The reader of a request has gone."""


class Credit(Message, frozen=True, tag=True):
    """The reader took one event; one more may be sent."""


class Close(Message, frozen=True, tag=True):
    """End everything with "shutdown" and exit."""


class Told(Message, frozen=True, tag=True, kw_only=True):
    """An event of a generation: exactly one field is set."""

    tokens: TokensEvent | None = None
    prefill: PrefillEvent | None = None
    done: DoneEvent | None = None

    @property
    def event(self) -> Event:
        event = self.tokens or self.prefill or self.done
        if event is None:
            raise RunnerDied("the runner's process sent an empty message")
        return event


class Vectors(Message, frozen=True, tag=True, kw_only=True):
    vectors: tuple[tuple[float, ...], ...]


class Failed(Message, frozen=True, tag=True, kw_only=True):
    """A request, or with id 0 the load, ended with an error of the class `kind`."""

    kind: str
    message: str
    code: str


class Stats(Message, frozen=True, tag=True, kw_only=True):
    """The runner's state has changed; the first one says that the model is open."""

    stats: RunnerStats


FromParent = Submit | Embed | Cancel | Credit | Close
FromChild = Told | Vectors | Failed | Stats

from_parent: msgspec.msgpack.Decoder[FromParent] = msgspec.msgpack.Decoder(FromParent)
from_child: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)
_ENCODER = msgspec.msgpack.Encoder()


def told(request_id: int, event: Event) -> Told:
    """An event as a message."""
    if isinstance(event, TokensEvent):
        return Told(id=request_id, tokens=event)
    if isinstance(event, PrefillEvent):
        return Told(id=request_id, prefill=event)
    return Told(id=request_id, done=event)


def failed(request_id: int, error: CorralError) -> Failed:
    """An error as a message."""
    return Failed(id=request_id, kind=type(error).__name__, message=error.message, code=error.code)


def error_of(message: Failed) -> CorralError:
    """The error again; of the root class when the class is not one of Corral's own."""
    cls = getattr(corral.errors, message.kind, CorralError)
    return cls(message.message, code=message.code) if issubclass(cls, CorralError) else CorralError(message.message)


def send(writer: asyncio.StreamWriter, messages: Sequence[Message]) -> None:
    """Queue frames for sending."""
    for message in messages:
        body = _ENCODER.encode(message)
        writer.write(_LENGTH.pack(len(body)) + body)


async def receive(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame's body, None at the end of the stream.  Raises RunnerDied when a frame is too large."""
    try:
        (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if size > MAX_FRAME:
            raise RunnerDied(f"the runner's process sent a message of {size} bytes")
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
