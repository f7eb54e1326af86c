"""Fields that would change the answer and that nothing here can do: each is refused by its name."""

from corral import JSON, JSONObject, Unsupported, Value
from corral_anthropic_api.bodies import MessagesBody


class Unserved(Value, frozen=True):
    """A field, what to do instead, and the values beside null that ask for nothing."""

    name: str
    instead: str
    harmless: tuple[JSON, ...] = ()


_UNSERVED = (
    Unserved(name="compaction", instead="conversations are not summarized here; shorten messages"),
    Unserved(name="container", instead="there are no containers and no skills here", harmless=({},)),
    Unserved(name="fallbacks", instead="no request is declined here; name one model", harmless=([], "default")),
    Unserved(name="mcp_servers", instead="no servers are called from here; give their tools in tools", harmless=([],)),
)


class RefusedDetails(Unsupported):
    """A refusal that programs read: `details` is sent along."""

    def __init__(self, message: str, details: JSONObject) -> None:
        super().__init__(message)
        self.details = details


def refuse(body: MessagesBody) -> None:
    """Raises Unsupported for the first field of these that asks for something.

    The SDKs' tool runners keep conversations in threads until they read these details; then they send all of them.
    """
    if body.thread is not None:
        text = "thread is not supported: conversations are not kept here; send all messages, without thread"
        raise RefusedDetails(text, {"error_code": "thread_unsupported_request", "unsupported": ["thread"]})
    for field in _UNSERVED:
        value = getattr(body, field.name)
        if value is not None and value not in field.harmless:
            raise Unsupported(f"{field.name} is not supported: {field.instead}")
