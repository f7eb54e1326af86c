"""Responses that later ones may continue: the newest, in this process's memory only."""

import zlib
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from corral import JSONObject, Message, ModelNotFound, Value
from corral_openai_api.errors import FieldError, unsupported
from corral_openai_api.responses.shapes import Response

_MOST_BYTES = 64 << 20
_END = b"\n\n"  # of an event; there is none inside


class Kept(Value, frozen=True):
    """A response, its events, and the conversation without instructions: input items up to it, messages with it."""

    response: Response
    messages: tuple[Message, ...]
    input: tuple[JSONObject, ...]
    packed_events: bytes
    size_bytes: int

    @property
    def events(self) -> list[bytes]:
        """As they were sent, or would have been."""
        return [event + _END for event in zlib.decompress(self.packed_events).split(_END)[:-1]]


class Memory:
    """At most `most` responses, and _MOST_BYTES of conversations; the oldest are forgotten first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._size_bytes = 0

    def keep(
        self, response: Response, messages: tuple[Message, ...], input: Sequence[JSONObject], events: Sequence[bytes]
    ) -> bool:
        """Remember a response that has ended; False, and others stay, when it alone is more than may be kept."""
        packed = zlib.compress(b"".join(events), 1)
        size = len(packed) + len(msgspec.json.encode((response, messages, input)))  # JSON has integers of any length
        if size > _MOST_BYTES:
            return False
        self._kept[response.id] = Kept(
            response=response, messages=messages, input=tuple(input), packed_events=packed, size_bytes=size
        )
        self._size_bytes += size
        while len(self._kept) > self.most or self._size_bytes > _MOST_BYTES:
            self._size_bytes -= self._kept.popitem(last=False)[1].size_bytes
        return True

    def continued(self, id: str) -> Kept | None:
        """The response to continue; None for no id.  Raises FieldError."""
        if not id:
            return None
        if not self.most:
            raise unsupported("previous_response_id", "no responses are kept here; send the conversation in input")
        if id not in self._kept:
            text = (
                f"Previous response with id '{id[:80]}' not found: it is no longer kept; send the conversation in input"
            )
            raise FieldError(text, "previous_response_id", "previous_response_not_found")
        return self._kept[id]

    def find(self, id: str) -> Kept:
        """Raises ModelNotFound, the kernel's word for 404."""
        if id not in self._kept:
            raise ModelNotFound(f"Response with id '{id[:80]}' not found.", code="not_found")
        return self._kept[id]

    def forget(self, id: str) -> None:
        """Raises ModelNotFound for what is not there."""
        self.find(id)
        self._size_bytes -= self._kept.pop(id).size_bytes
