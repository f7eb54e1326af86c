"""Values that cross rooms: model names, requests, pieces of an answer.  Frozen structs, no behaviour beyond naming."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import msgspec

JSON = Any  # a decoded JSON value: None, bool, int, float, str, list or dict of the same
JSONObject = dict[str, JSON]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the typed values that cross rooms."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every typed configuration table: unknown keys are refused."""


class ModelRef(Value, frozen=True):
    """The full name of a model: `host/namespace/model:tag`.  `source` names the Source that can fetch it."""

    host: str
    namespace: str
    model: str
    tag: str
    source: str = "registry"
    scheme: str = "https"
    default_host: str = "registry.ollama.ai"

    @property
    def name(self) -> str:
        """The display form: default host and namespace dropped, the tag always shown."""
        if self.host.lower() != self.default_host:
            return self.full_name
        prefix = "" if self.namespace.lower() == "library" else f"{self.namespace}/"
        return f"{prefix}{self.model}:{self.tag}"

    @property
    def full_name(self) -> str:
        """Every part spelt out: `registry.ollama.ai/library/smollm2:latest`."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"


class Layer(Value, frozen=True):
    """One blob of a stored model.  `digest` is `sha256:<64 hex>`, `size_bytes` the blob's length."""

    media_type: str
    digest: str
    size_bytes: int
    origin: str = ""


class ModelConfig(Value, frozen=True):
    """What the store knows about a model without opening its weights."""

    format: str = "gguf"
    family: str = ""
    families: tuple[str, ...] = ()
    parameter_size: str = ""
    quantization: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    capabilities: tuple[str, ...] = ()
    context_length: int = 0
    embedding_length: int = 0
    base_name: str = ""
    remote_host: str = ""
    remote_model: str = ""


class StoredModel(Value, frozen=True):
    """A model as the store holds it: layers resolved to paths, small layers decoded.

    `digest` is the hex sha256 of the manifest, `modified_at` seconds since the epoch.
    """

    ref: ModelRef
    digest: str
    size_bytes: int
    modified_at: float
    config: ModelConfig
    layers: tuple[Layer, ...] = ()
    weights: tuple[Path, ...] = ()
    adapters: tuple[Path, ...] = ()
    projectors: tuple[Path, ...] = ()
    drafts: tuple[Path, ...] = ()
    template: str | None = None
    system: str = ""
    parameters: JSONObject = {}
    messages: tuple["Message", ...] = ()
    licenses: tuple[str, ...] = ()


class TensorInfo(Value, frozen=True):
    """A tensor's name, storage type (`"Q4_1"`, `"F32"`), shape (outermost first, numpy order) and bytes."""

    name: str
    type: str
    shape: tuple[int, ...]
    size_bytes: int


class Progress(Value, frozen=True):
    """One status of a long operation (pull, push, create).  Byte counts are 0 when they have no meaning."""

    status: str
    digest: str = ""
    total_bytes: int = 0
    completed_bytes: int = 0


class ToolCall(Value, frozen=True):
    """A call the model asks for.  `arguments` is always a JSON object."""

    name: str
    arguments: JSONObject
    id: str = ""
    index: int = 0


class Tool(Value, frozen=True):
    """A function the model may call; `parameters` is its JSON schema, `wire` the definition as the client sent it."""

    name: str
    description: str = ""
    parameters: JSONObject = {}
    wire: JSONObject = {}


class Message(Value, frozen=True):
    """One turn of a conversation."""

    role: str
    content: str = ""
    thinking: str = ""
    images: tuple[bytes, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""


class Options(Value, frozen=True):
    """Sampling and context options, in Ollama's names and with its defaults.

    Model parameters and request options are merged over these by name (`corral_generation.options`).
    Units: counts are tokens.  `num_ctx` 0 means "the server decides", `seed` -1 "random".
    """

    num_ctx: int = 0
    num_keep: int = 4
    num_predict: int = -1
    seed: int = -1
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    repeat_last_n: int = 64
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    adaptive_target: float = -1.0
    adaptive_decay: float = 0.9
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    min_keep: int = 0
    ignore_eos: bool = False
    samplers: tuple[str, ...] = ()
    logit_bias: dict[int | str, float] = {}  # by token id, or a text, which a Job has none of
    stop: tuple[str, ...] = ()
    num_batch: int = 512
    num_thread: int = 0
    draft_num_predict: int = -1


Think = bool | str  # False, True, or a level: "low" "medium" "high" "max"


class Constraint(Value, frozen=True):
    """What the answer must match.  kind: "json" (any object), "json_schema", "regex", "gbnf", "lark"."""

    kind: str
    source: str = ""


class ChatRequest(Value, frozen=True):
    """A generation request, whichever dialect asked.

    Either `messages` (a chat) or `prompt` (a completion; `raw` leaves it untouched) is used.  `overrides` are the
    client's options by name; the pipeline merges them over the model's parameters into `options` before the
    interceptors see the request.  `keep_alive_s` None keeps the model's present value, inf means for ever.
    """

    model: str
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    prompt_token_ids: tuple[int, ...] | None = None
    suffix: str = ""
    system: str | None = None
    template: str | None = None
    context: tuple[int, ...] | None = None
    raw: bool = False
    images: tuple[bytes, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"  # "auto", "required", or the name of the one tool that must be called
    max_tool_calls: int = 0  # the answer ends after so many; 0 means no bound
    think: Think | None = None
    thinking_tokens: int = -1  # thinking is ended after so many; negative: when the model ends it
    constraint: Constraint | None = None
    overrides: JSONObject = {}
    options: Options = Options()
    keep_alive_s: float | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    prompt_logprobs: bool = False
    truncate: bool = True
    shift: bool = True
    strict_context: bool = False  # too long a prompt is an error, never cut (the /v1 dialects)
    needs: tuple[str, ...] = ()  # capabilities the dialect requires beyond what the request implies
    cache_key: str = ""  # requests with different keys never share cached prefixes
    tells_prompt: bool = False  # pieces with `prompt_usage` come while the prompt is evaluated


class TokenLogprob(Value, frozen=True):
    """Log-probability of one token and of its best rivals, from the raw logits, sorted descending."""

    token: bytes
    logprob: float
    token_id: int = -1
    top: tuple["TokenLogprob", ...] = ()


class Usage(Value, frozen=True):
    """What a request cost.  Times in nanoseconds, counts in tokens."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    eval_tokens: int = 0
    thinking_tokens: int = 0  # of `eval_tokens`
    queue_ns: int = 0
    load_ns: int = 0
    prompt_ns: int = 0
    eval_ns: int = 0
    total_ns: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0

    @property
    def facts(self) -> JSONObject:
        """For the log line: counts, and times in ms; what is zero is left out."""
        pairs = ((name, getattr(self, name)) for name in self.__struct_fields__ if name != "total_ns")
        return {n.replace("_ns", "_ms"): round(v / 1e6, 1) if n.endswith("_ns") else v for n, v in pairs if v}


class Truncated(Value, frozen=True):
    """The prompt was cut to fit: token counts before and after."""

    prompt_tokens: int
    kept_tokens: int


class Piece(Value, frozen=True):
    """A part of an answer.  The last one carries `done_reason` ("stop", "length", "shutdown") and `usage`."""

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    done_reason: str | None = None
    stop_text: str = ""
    usage: Usage | None = None
    prompt_usage: Usage | None = None  # what is known before the first token (`ChatRequest.tells_prompt`)
    context: tuple[int, ...] | None = None
    truncated: Truncated | None = None


Pieces = AsyncGenerator[Piece, None]
Generate = Callable[[ChatRequest], Pieces]


class Rendered(Value, frozen=True):
    """A prompt as text and tokens, after the context policy."""

    text: str
    token_ids: tuple[int, ...]
    truncated: Truncated | None = None


class LoadedModel(Value, frozen=True):
    """A row of `ps`.  `expires_at` is seconds since the epoch, inf when the model never expires.

    `activity`: requests running and queued, and what finished ones cost in all (counts, times in ms).
    """

    model: StoredModel
    size_bytes: int
    context_length: int
    expires_at: float
    activity: JSONObject = {}
