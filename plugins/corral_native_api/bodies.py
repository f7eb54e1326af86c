"""The request bodies, field for field as on the wire.  What has a grammar of its own is JSON here; see `fields`."""

import msgspec

from corral import JSON, JSONObject
from corral_http.decoding import Decoder


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all bodies.  A missing field, null and the default are the same."""


class Named(Body, frozen=True):
    """`name` is the old spelling of `model`."""

    model: str = ""
    name: str = ""

    @property
    def target(self) -> str:
        """The model that is meant."""
        return self.model or self.name


class FunctionBody(Body, frozen=True):
    """What is called; `index` is of no use to us."""

    name: str = ""
    arguments: JSONObject = {}


class ToolCallBody(Body, frozen=True):
    """A call that the model made in an earlier turn."""

    id: str = ""
    function: FunctionBody = FunctionBody()


class MessageBody(Body, frozen=True):
    """One turn.  `images` are base64."""

    role: str = ""
    content: str = ""
    thinking: str = ""
    images: tuple[str, ...] = ()
    tool_calls: tuple[ToolCallBody, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""


class ToolFunctionBody(Body, frozen=True):
    """A function that may be called; `parameters` is its JSON schema."""

    name: str = ""
    description: str = ""
    parameters: JSONObject = {}


class ToolBody(Body, frozen=True):
    """A tool's definition; its spelling on the wire is kept beside it."""

    function: ToolFunctionBody = ToolFunctionBody()


class AskBody(Body, frozen=True):
    """What `generate` and `chat` have in common."""

    model: str = ""
    format: JSON = None
    options: JSONObject = {}
    keep_alive: JSON = None
    think: JSON = None
    thinking_budget: int | None = None  # an extension: tokens of thinking at most
    stream: bool = True
    truncate: bool = True
    shift: bool = True
    logprobs: bool = False
    top_logprobs: int = 0
    debug_render_only: bool = msgspec.field(default=False, name="_debug_render_only")


class GenerateBody(AskBody, frozen=True):
    """POST /api/generate."""

    prompt: str = ""
    suffix: str = ""
    images: tuple[str, ...] = ()
    system: str = ""
    template: str = ""
    context: tuple[int, ...] | None = None
    raw: bool = False


class ChatBody(AskBody, frozen=True):
    """POST /api/chat."""

    messages: tuple[MessageBody, ...] = ()
    tools: tuple[JSONObject, ...] = ()


class RenderBody(GenerateBody, frozen=True):
    """POST /api/render: a chat when there are messages, else a completion."""

    messages: tuple[MessageBody, ...] = ()
    tools: tuple[JSONObject, ...] = ()


class EmbedBody(Body, frozen=True):
    """POST /api/embed.  With `partial` (an extension) an input that cannot be embedded fails alone."""

    model: str = ""
    input: JSON = None
    truncate: bool = True
    partial: bool = False
    dimensions: int = 0
    options: JSONObject = {}
    keep_alive: JSON = None


class EmbeddingsBody(Body, frozen=True):
    """POST /api/embeddings, the older of the two."""

    model: str = ""
    prompt: str = ""
    options: JSONObject = {}
    keep_alive: JSON = None


class ShowBody(Named, frozen=True):
    """POST /api/show."""

    verbose: bool = False
    system: str = ""
    options: JSONObject = {}


class TransferBody(Named, frozen=True):
    """POST /api/pull and /api/push."""

    insecure: bool = False
    stream: bool = True


class CopyBody(Body, frozen=True):
    """POST /api/copy."""

    source: str = ""
    destination: str = ""


class CreateBody(Named, frozen=True):
    """POST /api/create.  `files` and its kin map file names to digests of uploaded blobs."""

    stream: bool = True
    from_: str = msgspec.field(default="", name="from")
    files: dict[str, str] | None = None
    draft_files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    template: str = ""
    system: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    license: str | tuple[str, ...] = ()
    parameters: JSONObject = {}
    messages: tuple[MessageBody, ...] = ()
    quantize: str = ""
    quantization: str = ""
    draft_quantize: str = ""
    remote_host: str = ""
    info: JSONObject = {}


class TokenizeBody(Body, frozen=True):
    """POST /api/tokenize.  `content` is a text, or a list of texts and token ids."""

    model: str = ""
    content: str | tuple[str | int, ...] | None = None
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeBody(Body, frozen=True):
    """POST /api/detokenize."""

    model: str = ""
    tokens: tuple[int, ...] | None = None


class SearchBody(Body, frozen=True):
    """POST /api/experimental/web_search and web_fetch: nothing in it is ever used."""


GENERATE = Decoder(GenerateBody)
CHAT = Decoder(ChatBody)
RENDER = Decoder(RenderBody)
EMBED = Decoder(EmbedBody)
EMBEDDINGS = Decoder(EmbeddingsBody)
SHOW = Decoder(ShowBody)
NAMED = Decoder(Named)
TRANSFER = Decoder(TransferBody)
COPY = Decoder(CopyBody)
CREATE = Decoder(CreateBody)
TOKENIZE = Decoder(TokenizeBody)
DETOKENIZE = Decoder(DetokenizeBody)
SEARCH = Decoder(SearchBody)
TOOL = Decoder(ToolBody)
