"""The request, field for field as on the wire.  What has a grammar of its own is JSON here; see `blocks`, `fields`."""

import msgspec

from corral import JSON, JSONObject
from corral_http.decoding import Decoder


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all bodies.  A missing field, null and the default are the same."""


class SourceBody(Body, frozen=True):
    """Where an image or a document comes from; `data` is base64 or, in a document, its text; `content` blocks."""

    type: str = ""
    media_type: str = ""
    data: str = ""
    url: str = ""
    content: JSON = None


class BlockBody(Body, frozen=True):
    """A content block of any type: only the fields of its type have a meaning.  A search result's source is a text."""

    type: str = ""
    text: str = ""
    source: SourceBody | str | None = None
    id: str = ""
    name: str = ""
    input: JSONObject = {}
    tool_use_id: str = ""
    content: JSON = None
    is_error: bool = False
    thinking: str = ""
    title: str = ""
    context: str = ""
    citations: JSON = None
    cache_control: JSON = None


class MessageBody(Body, frozen=True):
    """One turn; `content` is a text or a list of blocks."""

    role: str = ""
    content: JSON = None


class ToolBody(Body, frozen=True):
    """A tool of the client; `type` names one of Anthropic's own."""

    type: str = ""
    name: str = ""
    description: str = ""
    input_schema: JSON = None
    allowed_callers: tuple[str, ...] = ()
    cache_control: JSON = None


class ToolChoiceBody(Body, frozen=True):
    """Whether tools must be called, and which."""

    type: str = "auto"
    name: str = ""
    disable_parallel_tool_use: bool = False


class ThinkingBody(Body, frozen=True):
    """Whether to reason first, and for how many tokens at most."""

    type: str = ""
    budget_tokens: int = 0


class OutputBody(Body, frozen=True):
    """How much effort, and in what shape."""

    effort: str = ""
    format: JSONObject | None = None


class MessagesBody(Body, frozen=True):
    """POST /v1/messages and /v1/messages/count_tokens.  The last fields are there to be refused: see `refusals`."""

    model: str = ""
    max_tokens: int = 0
    messages: tuple[MessageBody, ...] = ()
    system: JSON = None
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: tuple[str, ...] = ()
    tools: tuple[ToolBody, ...] = ()
    tool_choice: ToolChoiceBody = ToolChoiceBody()
    thinking: ThinkingBody = ThinkingBody()
    output_config: OutputBody = OutputBody()
    output_format: JSONObject | None = None
    truncate: bool = False  # an extension: too long a prompt is cut, not refused
    cache_control: JSON = None
    thread: JSON = None
    compaction: JSON = None
    container: JSON = None
    context_management: JSON = None
    fallbacks: JSON = None
    mcp_servers: JSON = None


MESSAGES = Decoder(MessagesBody)
BLOCK = Decoder(BlockBody)
