"""From pieces to output items, with the event of every step: items open, grow and close one after the other."""

import time
from collections.abc import Iterator

from msgspec import UnsetType
from msgspec.structs import replace

from corral import CorralError, Piece, TokenLogprob, ToolCall
from corral_http.frames import sse
from corral_openai_api.responses.shapes import (
    CallItem,
    Item,
    MessageItem,
    ReasoningItem,
    Response,
    ResponseUsage,
    TextPart,
)
from corral_openai_api.wire import LogprobWire, encoded, logprobs, new_id

_CUT = {"reason": "max_output_tokens"}
_ENDED_EARLY = CorralError("the server was shut down before the answer was complete; send the request again")


class Outline:
    """The response under way.  Whoever wants the whole only, ignores the events."""

    def __init__(self, blank: Response) -> None:
        self.response = blank
        self.items: list[Item] = []
        self.events: list[bytes] = []  # all so far; the place of each is its sequence number
        self._kind = ""  # of the open item: "reasoning", "message" or none
        self._id = ""
        self._text: list[str] = []
        self._logprobs: list[LogprobWire] = []

    def _event(self, name: str, **fields: object) -> bytes:
        kind = f"response.{name}"
        data = encoded({"type": kind, "sequence_number": len(self.events), **fields})
        self.events.append(sse(data, kind))
        return self.events[-1]

    def _of_item(self, name: str, **fields: object) -> bytes:
        """An event about the open item."""
        return self._event(name, item_id=self._id, output_index=len(self.items), **fields)

    def begin(self) -> Iterator[bytes]:
        """Before the first piece."""
        yield self._event("created", response=self.response)
        yield self._event("in_progress", response=self.response)

    def read(self, piece: Piece) -> Iterator[bytes]:
        """What a piece adds."""
        if piece.thinking:
            yield from self._open("reasoning")
            self._text.append(piece.thinking)
            yield self._of_item("reasoning_summary_text.delta", summary_index=0, delta=piece.thinking)
        if piece.text or (piece.logprobs and self._kind == "message"):
            yield from self._open("message")
            scored = _scored(piece.logprobs)
            self._text.append(piece.text)
            self._logprobs += scored
            yield self._of_item("output_text.delta", content_index=0, delta=piece.text, logprobs=scored)
        for call in piece.tool_calls:
            yield from self._call(call)

    def _open(self, kind: str) -> Iterator[bytes]:
        """Close what is open, unless it is of this kind, and begin a new item."""
        if self._kind == kind:
            return
        yield from self._close("completed")
        self._kind, self._text, self._logprobs = kind, [], []
        if kind == "reasoning":
            self._id = new_id("rs_")
            item: Item = ReasoningItem(id=self._id, summary=[])
        else:
            self._id = new_id("msg_")
            item = MessageItem.of(self._id, "in_progress")
        yield self._event("output_item.added", output_index=len(self.items), item=item)
        if kind == "message":
            yield self._of_item("content_part.added", content_index=0, part=TextPart())

    def _close(self, status: str) -> Iterator[bytes]:
        """The open item is whole, or as whole as it will be."""
        kind, self._kind = self._kind, ""
        if not kind:
            return
        text = "".join(self._text)
        if kind == "reasoning":
            item: Item = ReasoningItem.of(self._id, text)
            yield self._of_item("reasoning_summary_text.done", summary_index=0, text=text)
        else:
            part = TextPart(text=text, logprobs=self._logprobs)
            item = MessageItem.of(self._id, status, part)
            yield self._of_item("output_text.done", content_index=0, text=text, logprobs=self._logprobs)
            yield self._of_item("content_part.done", content_index=0, part=part)
        yield self._event("output_item.done", output_index=len(self.items), item=item)
        self.items.append(item)

    def _call(self, call: ToolCall) -> Iterator[bytes]:
        """A call comes whole: its item opens and closes at once."""
        yield from self._close("completed")
        self._id = new_id("fc_")
        item = CallItem.of(self._id, call.id or new_id("call_", 8), call)
        added = replace(item, status="in_progress", arguments="")
        yield self._event("output_item.added", output_index=len(self.items), item=added)
        yield self._of_item("function_call_arguments.delta", delta=item.arguments)
        yield self._of_item("function_call_arguments.done", arguments=item.arguments)
        yield self._event("output_item.done", output_index=len(self.items), item=item)
        self.items.append(item)

    def end(self, last: Piece) -> Iterator[bytes]:
        """After the last piece.  An answer cut by a limit is incomplete; one that the server's end cut has failed."""
        usage = ResponseUsage.of(last.usage) if last.usage else None
        self.response = replace(self.response, usage=usage, truncated=last.truncated or self.response.truncated)
        if last.done_reason == "shutdown":
            yield from self._fail(_ENDED_EARLY)
            return
        status = "completed" if last.done_reason == "stop" else "incomplete"
        yield from self._close(status)
        self.response = replace(
            self.response,
            status=status,
            completed_at=int(time.time()),
            incomplete_details=_CUT if status == "incomplete" else None,
            output=self.items,
        )
        yield self._event("completed", response=self.response)

    def forgo(self) -> bytes:
        """The last event in place of the one that said that a later response may continue this one."""
        self.response = replace(self.response, store=False)
        self.events.pop()
        return self._event("completed", response=self.response)

    def add_empty(self) -> None:
        """An answer that says nothing, said as a message."""
        self.items.append(MessageItem.of(new_id("msg_"), self.response.status, TextPart()))
        self.response = replace(self.response, output=self.items)

    def fail(self, error: CorralError) -> bytes:
        """An error after the first event ends the response; what was said before it is in the items."""
        return b"".join(self._fail(error))

    def _fail(self, error: CorralError) -> Iterator[bytes]:
        yield from self._close("incomplete")
        told = {"code": "server_error", "message": error.message}
        self.response = replace(self.response, status="failed", error=told, output=self.items, store=False)
        yield self._event("failed", response=self.response)


def _scored(tokens: tuple[TokenLogprob, ...]) -> list[LogprobWire]:
    wire = logprobs(tokens)
    return [] if isinstance(wire, UnsetType) else wire.content
