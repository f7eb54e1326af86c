"""Fields that would change the answer and that nothing here can do: each is refused by its name."""

from corral import JSONObject, Unsupported
from corral_anthropic_api.bodies import MessagesBody
from corral_http.unserved import Unserved, first_asked

_UNSERVED = (
    Unserved(path="compaction", why="conversations are not summarized here; shorten messages"),
    Unserved(path="container", why="there are no containers and no skills here", harmless=({}, "")),
    Unserved(path="fallbacks", why="no request is declined here; name one model", harmless=([], "default")),
    Unserved(path="mcp_servers", why="no servers are called from here; give their tools in tools", harmless=([],)),
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
    if asked := first_asked(body, _UNSERVED):
        raise Unsupported(f"{asked.path} is not supported: {asked.why}")
