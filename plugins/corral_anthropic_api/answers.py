"""From pieces to one message, or to the events of a stream."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace

from corral import ChatRequest, Piece, Usage
from corral.server import FACTS, KERNEL
from corral_anthropic_api import wire
from corral_anthropic_api.events import PING, BlockEvents, message_end, message_start
from corral_anthropic_api.identity import message_id
from corral_anthropic_api.patience import patiently

_REASONS = {"stop": "end_turn", "length": "max_tokens", "shutdown": "pause_turn"}  # the last: send it back to go on


class Answer:
    """The answer to one request.  `shown` is the model as the client wrote it, `tells_cache` as in `usage_wire`."""

    def __init__(
        self, request: web.Request, typed: ChatRequest, shown: str, estimated_tokens: int, *, tells_cache: bool
    ) -> None:
        self.typed, self.tells_cache = typed, tells_cache
        self._facts, self._pipeline = request[FACTS], request.app[KERNEL].pipeline
        usage = wire.UsageWire(input_tokens=estimated_tokens, output_tokens=0)
        self._head = wire.MessageWire(id=message_id(), model=shown, content=[], usage=usage)

    def whole(self, pieces: Sequence[Piece]) -> wire.MessageWire:
        """Thinking and text as one block each, then a block for each call."""
        content: list[wire.Block] = []
        if thinking := "".join(piece.thinking for piece in pieces):
            content.append(wire.ThinkingBlock(thinking=thinking))
        if text := "".join(piece.text for piece in pieces):
            content.append(wire.TextBlock(text=text))
        taken: set[str] = set()
        content += [wire.tool_use(call, taken) for piece in pieces for call in piece.tool_calls]
        usage = self._finish(pieces[-1])
        ending = self._ending(pieces[-1], called=bool(taken))
        return replace(self._head, content=content, usage=usage, truncated=pieces[-1].truncated or UNSET, **ending)

    async def frames(self, ping_s: float) -> AsyncGenerator[bytes, None]:
        """The events.  Until the first of them an error is a status: it comes once the prompt is being evaluated."""
        began, started, blocks = time.perf_counter(), False, BlockEvents()
        pieces = self._pipeline.chat(replace(self.typed, tells_prompt=True))
        async with aclosing(patiently(pieces, ping_s)) as alive:
            async for piece in alive:
                data = b"" if started else self._start(piece)
                started = True
                if piece is None:
                    data += PING
                else:
                    said = b"".join(blocks.of(piece))
                    if said:
                        self._facts.setdefault("ttft_ms", round((time.perf_counter() - began) * 1e3, 1))
                    data += said
                    if piece.done_reason is not None:
                        usage = self._finish(piece)
                        ending = self._ending(piece, called=blocks.called)
                        data += b"".join(blocks.close()) + message_end(ending, usage, piece.truncated)
                if data:
                    yield data

    def _start(self, piece: Piece | None) -> bytes:
        known = piece.prompt_usage if piece is not None else None
        usage = wire.usage_wire(known, tells_cache=self.tells_cache) if known else self._head.usage
        return message_start(replace(self._head, usage=usage))

    def _finish(self, last: Piece) -> wire.UsageWire:
        """The real counts, which the request's log line has too."""
        usage = last.usage or Usage()
        self._facts.update(model=self._head.model, done_reason=last.done_reason, **usage.facts)
        return wire.usage_wire(usage, tells_cache=self.tells_cache)

    def _ending(self, last: Piece, *, called: bool) -> dict[str, str]:
        """The stop reason, and the client's own stop sequence where one was met."""
        if called:
            return {"stop_reason": "tool_use"}
        if last.stop_text and last.stop_text in self.typed.overrides.get("stop", ()):
            return {"stop_reason": "stop_sequence", "stop_sequence": last.stop_text}
        return {"stop_reason": _REASONS.get(last.done_reason or "", "stop_sequence")}
