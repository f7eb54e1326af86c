"""The request of the responses API.  Items and tools have many shapes: see `items` and `toolbox`."""

from corral import JSON, JSONObject
from corral_http.decoding import Decoder
from corral_openai_api.bodies import CommonBody, FormatBody


class ResponsesBody(CommonBody, frozen=True):
    """POST /v1/responses."""

    input: JSON = None
    instructions: str = ""
    max_output_tokens: int | None = None
    reasoning: JSONObject | None = None
    text: JSONObject = {}
    tools: tuple[JSONObject, ...] = ()
    tool_choice: JSON = None
    parallel_tool_calls: bool = True
    truncation: str = ""
    background: bool = False
    background_options: JSON = None
    max_tool_calls: int | None = None
    include: tuple[str, ...] = ()
    top_logprobs: int = 0
    metadata: JSONObject = {}
    store: bool | None = None
    previous_response_id: str = ""
    conversation: JSON = None
    prompt: JSON = None
    context_management: JSON = None
    moderation: JSON = None
    access_programs: JSON = None
    image: JSONObject | None = None
    prompt_cache_options: JSONObject | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None


RESPONSES = Decoder(ResponsesBody)
FORMAT = Decoder(FormatBody)
