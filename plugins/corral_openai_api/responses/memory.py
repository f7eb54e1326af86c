"""Responses that later ones may continue: the newest, in this process's memory only."""

from collections import OrderedDict

import msgspec

from corral import Message, ModelNotFound, Value
from corral_openai_api.errors import FieldError, unsupported
from corral_openai_api.responses.shapes import Response

_MOST_BYTES = 64 << 20


class Kept(Value, frozen=True):
    """A response, and the conversation up to and with it, without instructions."""

    response: Response
    messages: tuple[Message, ...]
    size_bytes: int


class Memory:
    """At most `most` responses, and _MOST_BYTES of conversations; the oldest are forgotten first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._size_bytes = 0

    def keep(self, response: Response, messages: tuple[Message, ...]) -> None:
        """Remember a response that has ended."""
        size = len(msgspec.json.encode((response, messages)))  # which, unlike msgpack, has integers of any length
        self._kept[response.id] = Kept(response=response, messages=messages, size_bytes=size)
        self._size_bytes += size
        while self._kept and (len(self._kept) > self.most or self._size_bytes > _MOST_BYTES):
            self._size_bytes -= self._kept.popitem(last=False)[1].size_bytes

    def messages(self, id: str) -> tuple[Message, ...]:
        """The conversation to continue; nothing for no id.  Raises FieldError."""
        if not id:
            return ()
        if not self.most:
            raise unsupported("previous_response_id", "no responses are kept here; send the conversation in input")
        if id not in self._kept:
            text = (
                f"Previous response with id '{id[:80]}' not found: it is no longer kept; send the conversation in input"
            )
            raise FieldError(text, "previous_response_id", "previous_response_not_found")
        return self._kept[id].messages

    def response(self, id: str) -> Response:
        """Raises ModelNotFound, the kernel's word for 404."""
        if id not in self._kept:
            raise ModelNotFound(f"Response with id '{id[:80]}' not found.", code="not_found")
        return self._kept[id].response

    def forget(self, id: str) -> None:
        """Raises ModelNotFound for what is not there."""
        self.response(id)
        self._size_bytes -= self._kept.pop(id).size_bytes
