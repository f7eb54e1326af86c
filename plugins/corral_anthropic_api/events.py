"""The events of a streamed answer: a message begins, its blocks open and close one after the other, it ends."""

from collections.abc import Iterator

import msgspec

from corral import CorralError, JSONObject, Piece, Truncated
from corral.server import status_of
from corral_anthropic_api.plugin import error_wire
from corral_anthropic_api.wire import ENCODER, Block, MessageWire, TextBlock, ThinkingBlock, UsageWire, tool_use
from corral_http.frames import sse


def event(name: str, **fields: object) -> bytes:
    """The type is told twice: as the event's name and in its data."""
    return sse(ENCODER.encode({"type": name, **fields}), name)


PING = event("ping")


def late_error(error: CorralError) -> bytes:
    """An error after the first event."""
    return sse(ENCODER.encode(error_wire(error, status_of(error))), "error")


def message_start(message: MessageWire) -> bytes:
    """`message` is empty; its input tokens are known or estimated."""
    return event("message_start", message=message)


def message_end(delta: JSONObject, usage: UsageWire, truncated: Truncated | None) -> bytes:
    """The reason, the real token counts, and what of the prompt was cut; then nothing more comes."""
    cut = {"truncated": truncated} if truncated else {}
    return event("message_delta", delta=delta, usage=usage, **cut) + event("message_stop")


class BlockEvents:
    """Turns pieces into events.  At most one block is open; `called` says whether there was a call."""

    def __init__(self) -> None:
        self._open: type[Block] | None = None
        self._next = 0
        self._taken: set[str] = set()

    @property
    def called(self) -> bool:
        return bool(self._taken)

    def of(self, piece: Piece) -> Iterator[bytes]:
        """What a piece adds, in the order in which a model produces it."""
        if piece.thinking:
            yield from self._say(ThinkingBlock(thinking=""), "thinking_delta", thinking=piece.thinking)
        if piece.text:
            yield from self._say(TextBlock(text=""), "text_delta", text=piece.text)
        for call in piece.tool_calls:
            block = tool_use(call, self._taken)
            whole = ENCODER.encode(block.input).decode()
            yield from self.close()
            yield from self._say(msgspec.structs.replace(block, input={}), "input_json_delta", partial_json=whole)
            yield from self.close()

    def _say(self, block: Block, kind: str, **delta: str) -> Iterator[bytes]:
        """A delta of the open block, or of a new one that begins as `block`."""
        if self._open is not type(block):
            yield from self.close()
            self._open = type(block)
            yield event("content_block_start", index=self._next, content_block=block)
        yield event("content_block_delta", index=self._next, delta={"type": kind, **delta})

    def close(self) -> Iterator[bytes]:
        """The open block, if there is one, ends."""
        if self._open is not None:
            yield event("content_block_stop", index=self._next)
            self._open = None
            self._next += 1
