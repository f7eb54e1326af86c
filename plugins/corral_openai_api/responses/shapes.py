"""The response object and its output items."""

from msgspec import UNSET, UnsetType

from corral import JSON, JSONObject, ToolCall, Truncated, Usage
from corral_openai_api.wire import CachedWire, LogprobWire, ReasoningWire, Wire, arguments


class SummaryPart(Wire, frozen=True):
    """The text of reasoning."""

    type: str
    text: str


class ReasoningItem(Wire, frozen=True, tag="reasoning"):
    """Reasoning; `encrypted_content` is its text too, for clients that send it back."""

    id: str
    summary: list[SummaryPart]
    encrypted_content: str | UnsetType = UNSET

    @classmethod
    def of(cls, id: str, text: str) -> "ReasoningItem":
        """A whole one."""
        part = SummaryPart(type="summary_text", text=text)
        return cls(id=id, summary=[part], encrypted_content=text)


class TextPart(Wire, frozen=True):
    """A part of a message."""

    type: str = "output_text"
    text: str = ""
    annotations: list[JSON] = []
    logprobs: list[LogprobWire] = []


class MessageItem(Wire, frozen=True, tag="message"):
    """What the assistant says."""

    id: str
    status: str
    role: str
    content: list[TextPart]

    @classmethod
    def of(cls, id: str, status: str, *parts: TextPart) -> "MessageItem":
        """A message of these parts."""
        return cls(id=id, status=status, role="assistant", content=list(parts))


class CallItem(Wire, frozen=True, tag="function_call"):
    """A call the model asks for; `arguments` is a JSON object as a string."""

    id: str
    status: str
    call_id: str
    name: str
    arguments: str

    @classmethod
    def of(cls, id: str, call_id: str, call: ToolCall) -> "CallItem":
        """A whole one."""
        return cls(id=id, status="completed", call_id=call_id, name=call.name, arguments=arguments(call))


Item = ReasoningItem | MessageItem | CallItem


class ResponseUsage(Wire, frozen=True):
    """What a response cost, in tokens."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: CachedWire
    output_tokens_details: ReasoningWire

    @classmethod
    def of(cls, usage: Usage) -> "ResponseUsage":
        """In the wire's words."""
        return cls(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.eval_tokens,
            total_tokens=usage.prompt_tokens + usage.eval_tokens,
            input_tokens_details=CachedWire(cached_tokens=usage.cached_tokens),
            output_tokens_details=ReasoningWire(reasoning_tokens=usage.thinking_tokens),
        )


class Response(Wire, frozen=True, kw_only=True):
    """A response: what was asked, echoed, and what came."""

    id: str
    object: str = "response"
    created_at: int
    completed_at: int | None = None
    status: str = "in_progress"
    incomplete_details: dict[str, str] | None = None
    model: str
    previous_response_id: str | None = None
    instructions: str | None = None
    output: list[Item] = []
    error: dict[str, str] | None = None
    tools: list[JSONObject] = []
    tool_choice: JSON = "auto"
    truncation: str = "disabled"
    parallel_tool_calls: bool = True
    text: JSONObject
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    top_logprobs: int = 0
    temperature: float = 1.0
    reasoning: JSONObject | None = None
    usage: ResponseUsage | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    store: bool = False
    background: bool = False
    service_tier: str = "default"
    metadata: JSONObject = {}
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    truncated: Truncated | UnsetType = UNSET


class InputItems(Wire, frozen=True, kw_only=True):
    """A page of what a response answered."""

    object: str = "list"
    data: list[JSONObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class InputTokens(Wire, frozen=True, kw_only=True):
    """How long a prompt is."""

    object: str = "response.input_tokens"
    input_tokens: int


class Deleted(Wire, frozen=True):
    """A response that is no longer kept."""

    id: str
    object: str
    deleted: bool
