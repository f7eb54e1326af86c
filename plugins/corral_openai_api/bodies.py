"""The request bodies, field for field as on the wire.  What has a grammar of its own is JSON here; see `fields`.

Fields that no one reads are there to be named: `refused` says which of them cannot be served.
"""

import msgspec

from corral import JSON, JSONObject
from corral_http.decoding import Decoder


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all bodies.  A missing field, null and the default are the same."""


class FunctionCallBody(Body, frozen=True):
    """`arguments` is a JSON object, as a string."""

    name: str = ""
    arguments: str | JSONObject = ""


class ToolCallBody(Body, frozen=True):
    """A call that the model made in an earlier turn."""

    id: str = ""
    type: str = "function"
    function: FunctionCallBody = FunctionCallBody()


class MessageBody(Body, frozen=True):
    """One turn.  `content` is a text or a list of parts; `reasoning` has a second name among clients."""

    role: str = ""
    content: JSON = None
    name: str = ""
    tool_calls: tuple[ToolCallBody, ...] = ()
    tool_call_id: str = ""
    reasoning: str = ""
    reasoning_content: str = ""
    refusal: str = ""
    function_call: JSON = None
    audio: JSON = None


class FunctionBody(Body, frozen=True):
    """A function that may be called; `parameters` is its JSON schema."""

    name: str = ""
    description: str = ""
    parameters: JSONObject = {}


class ToolBody(Body, frozen=True):
    """A tool's definition."""

    type: str = "function"
    function: FunctionBody = FunctionBody()


class StreamOptions(Body, frozen=True):
    """What a stream carries beside the text."""

    include_usage: bool = False


class JSONSchemaBody(Body, frozen=True):
    """`response_format.json_schema`; name and strictness change nothing here."""

    schema: JSONObject | None = None


class FormatBody(Body, frozen=True):
    """`response_format`, and `text.format` of responses, whose schema stands one level higher."""

    type: str = ""
    json_schema: JSONSchemaBody = JSONSchemaBody()
    schema: JSONObject | None = None
    syntax: str = ""
    definition: str = ""
    choices: tuple[str, ...] = ()


class ReasoningBody(Body, frozen=True):
    """How much to think."""

    effort: str = ""
    summary: str = ""


class CommonBody(Body, frozen=True):
    """What all generating routes take, Corral's extensions included: they ride in the SDKs' `extra_body`."""

    model: str = ""
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    user: str = ""
    options: JSONObject = {}
    num_ctx: int | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    keep_alive: str | float | None = None
    truncate: bool = False
    thinking_budget: int | None = None  # an extension: tokens of reasoning at most
    debug_render_only: bool = msgspec.field(default=False, name="_debug_render_only")


class CompletionCommonBody(CommonBody, frozen=True):
    """What chat completions and completions have in common."""

    stream_options: StreamOptions = StreamOptions()
    max_tokens: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: JSON = None
    logit_bias: dict[str, float] = {}
    n: int = 1


class ChatBody(CompletionCommonBody, frozen=True):
    """POST /v1/chat/completions."""

    messages: tuple[MessageBody, ...] = ()
    max_completion_tokens: int | None = None
    response_format: FormatBody = FormatBody()
    tools: tuple[JSONObject, ...] = ()
    tool_choice: JSON = None
    parallel_tool_calls: bool = True
    reasoning_effort: str = ""
    reasoning: ReasoningBody | None = None
    chat_template_kwargs: JSONObject | None = None  # an extension: see `fields.think`
    logprobs: bool = False
    top_logprobs: int = 0
    modalities: tuple[str, ...] = ()
    audio: JSON = None
    functions: JSON = None
    function_call: JSON = None
    web_search_options: JSON = None
    verbosity: JSON = None
    moderation: JSON = None
    service_tier: str = ""


class CompletionBody(CompletionCommonBody, frozen=True):
    """POST /v1/completions.  `raw` (an extension) leaves the prompt untouched by the model's template."""

    prompt: JSON = None
    suffix: str = ""
    logprobs: int | bool | None = None
    echo: bool = False
    best_of: int | None = None
    raw: bool = False


class EmbeddingsBody(Body, frozen=True):
    """POST /v1/embeddings.  With `partial` (an extension) an input that cannot be embedded fails alone."""

    model: str = ""
    input: JSON = None
    encoding_format: str = "float"
    dimensions: int = 0
    user: str = ""
    truncate: bool = True
    partial: bool = False
    options: JSONObject = {}
    num_ctx: int | None = None
    keep_alive: str | float | None = None


CHAT = Decoder(ChatBody)
COMPLETION = Decoder(CompletionBody)
EMBEDDINGS = Decoder(EmbeddingsBody)
TOOL = Decoder(ToolBody)
