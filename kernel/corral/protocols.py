"""What a plugin may supply: one small protocol a kind.  A provider has `.name`, is free to make and opens nothing."""

import argparse
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from corral import types
from corral.errors import CorralError
from corral.runners import Runner, RunnerSettings
from corral.types import Value

if TYPE_CHECKING:
    from aiohttp import web

    from corral.kernel import Kernel
    from corral.pool import Resident


class Vocab(Value, frozen=True):
    """A tokenizer as data.

    `model` is the algorithm ("gpt2" byte-level BPE, "llama" SentencePiece, "bert" WordPiece, "t5" Unigram), `pre` the
    pre-tokenizer's name.  `token_types`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    Ids are -1 when the model has no such token; `None` for an `add_*` flag means "the algorithm's default".
    `eog_ids` are further end-of-generation ids; `tokenizer_json` a Hugging Face file, when that is the source.
    """

    model: str
    pre: str = ""
    tokens: Sequence[str] = ()
    scores: Sequence[float] = ()
    token_types: Sequence[int] = ()
    merges: Sequence[str] = ()
    bos_id: int = -1
    eos_id: int = -1
    eot_id: int = -1
    eom_id: int = -1
    unk_id: int = -1
    sep_id: int = -1
    pad_id: int = -1
    cls_id: int = -1
    mask_id: int = -1
    eog_ids: tuple[int, ...] = ()
    add_bos: bool | None = None
    add_eos: bool | None = None
    add_space_prefix: bool | None = None
    remove_extra_whitespaces: bool | None = None
    precompiled_charsmap: bytes = b""
    tokenizer_json: str = ""


class ModelInfo(Value, frozen=True):
    """What a weight file says about itself.  `metadata` maps GGUF-style keys to values; long arrays are lazy.

    `kind` is "model", "adapter" or "projector".
    """

    architecture: str
    metadata: Mapping[str, Any]
    tensors: tuple[types.TensorInfo, ...]
    kind: str = "model"
    name: str = ""
    parameter_count: int = 0
    quantization: str = ""
    context_length: int = 0
    embedding_length: int = 0
    chat_template: str | None = None


class Tensor(Value, frozen=True):
    """A view of a tensor's bytes as they lie in the file (little-endian, rows contiguous)."""

    info: types.TensorInfo
    data: memoryview


class Weights(Protocol):
    """An open weight file.  Tensors are views: nothing is read before it is used; `close` ends every view.

    `vocab` and `tensor` raise FormatError naming what is missing or inconsistent.
    """

    @property
    def path(self) -> Path: ...
    @property
    def info(self) -> ModelInfo: ...
    def vocab(self) -> Vocab: ...
    def tensor(self, name: str) -> Tensor: ...
    def close(self) -> None: ...


class Loader(Protocol):
    """Reads one weight format.

    `sniff` says whether a file that begins with `head` (at most 64 bytes) is of this format, and never raises.  `open`
    checks the whole structure and maps the file; it trusts no count and no offset.  Raises FormatError.
    """

    name: str

    def sniff(self, head: bytes) -> bool: ...
    def open(self, path: Path) -> Weights: ...


class Quantizer(Protocol):
    """Encodes rows of weights in one storage type (`name`, e.g. "Q4_K").

    `quantize`: float32 (R, C) → uint8 (R, C // block_size * type_size); raises FormatError when C is ragged.
    `dequantize`: uint8 blocks → float32 of `shape`.  `max_error` bounds the relative RMS error for Gaussian rows.
    """

    name: str
    block_size: int
    type_size: int
    max_error: float

    def quantize(self, rows: Any) -> Any: ...
    def dequantize(self, blocks: Any, shape: tuple[int, ...]) -> Any: ...


class Detokenizer(Protocol):
    """Turns a stream of tokens into text that is always whole characters.

    `push` gives what is certain after a token, `flush` at the end all that was held back: incomplete UTF-8, and
    whatever might have become a stop string.  `stopped_by` is the stop string that ended the text; later pushes give
    nothing.
    """

    def push(self, token_id: int) -> str: ...
    def flush(self) -> str: ...
    @property
    def stopped_by(self) -> str | None: ...


class Tokenizer(Protocol):
    """Text to token ids and back.

    `add_special` adds BOS and EOS as the model wants; `parse_special` reads the text of control tokens as the tokens;
    `special` shows them, or those that have one of the texts.
    """

    @property
    def vocab_size(self) -> int: ...
    @property
    def bos_id(self) -> int: ...
    @property
    def eog_ids(self) -> frozenset[int]: ...
    @property
    def adds_bos(self) -> bool: ...
    @property
    def adds_eos(self) -> bool: ...
    def encode(self, text: str, *, add_special: bool = False, parse_special: bool = True) -> list[int]: ...
    def decode(self, token_ids: Sequence[int], *, special: bool = False) -> str: ...
    def token_bytes(self, token_id: int, *, special: bool = True) -> bytes: ...
    def stream(self, stop: Sequence[str] = (), *, special: bool | Collection[str] = False) -> Detokenizer: ...


class TokenizerKind(Protocol):
    """Builds tokenizers of one algorithm; `name` is `Vocab.model`."""

    name: str

    def build(self, vocab: Vocab) -> Tokenizer: ...


class Conversation(Value, frozen=True):
    """All that a template may use.

    Without `suffix` the messages are rendered; with one, `prompt` and `suffix` alone (fill in the middle).
    `think` None means the client did not say.
    """

    messages: tuple[types.Message, ...] = ()
    tools: tuple[types.Tool, ...] = ()
    prompt: str = ""
    suffix: str = ""
    think: types.Think | None = None
    bos: str = ""
    eos: str = ""


class OutputParser(Protocol):
    """Splits generated text into content, thinking and tool calls.  Nothing pushed is ever lost.

    `answer_after` is the text that ends thinking, where a constrained answer begins; "" when it begins at once.
    `thinking_opens` must come first for there to be thinking, "" when the prompt has begun it; `thinking_span`: what
    opens it, ends it, may be written to end it.  `tags`: control tokens whose text it reads, unlike that of others.
    """

    answer_after: str
    thinking_opens: str
    thinking_span: tuple[str, str, str] | None
    tags: tuple[str, ...]

    def push(self, text: str) -> Iterable[types.Piece]: ...
    def finish(self) -> Iterable[types.Piece]: ...


class Template(Protocol):
    """A compiled chat template.  `capabilities` are of "tools", "insert", "thinking".

    `render` raises BadRequest when the template refuses the conversation.  `parser` reads the answer to `prompt`: tool
    calls only with tools, thinking only when thinking is on.  `constrain` is what an answer must match that calls tools
    as `tool_choice` says or matches `content`; it raises Unsupported when such calls cannot be enforced.
    """

    @property
    def source(self) -> str: ...
    @property
    def capabilities(self) -> frozenset[str]: ...
    def render(self, conversation: Conversation) -> str: ...
    def parser(self, conversation: Conversation, prompt: str) -> OutputParser: ...
    def constrain(
        self, conversation: Conversation, content: types.Constraint | None, tool_choice: str
    ) -> types.Constraint | None: ...


class TemplateEngine(Protocol):
    """A template language; `name` is "go" or "jinja".

    `source_of` is the text this engine would render the model's chats with, or None to leave it to the next engine;
    `preference` is the setting `go_template`: "1" always, "0" never, "" whichever template can do more.
    `compile` raises BadRequest("template error: …"); `parser` is the model's PARSER, the notation of its answers.
    """

    name: str

    def source_of(self, model: types.StoredModel, info: ModelInfo, preference: str) -> str | None: ...
    def compile(self, source: str, parser: str = "") -> Template: ...


class Description(Value, frozen=True):
    """What a stored model is: its header, its compiled template and all it can do."""

    model: types.StoredModel
    info: ModelInfo
    template: Template
    capabilities: frozenset[str]


class Generation(Protocol):
    """What stands between a typed request and its pieces: how a prompt is made, and how an answer is read.

    `describe` (on a worker thread) reads a model's header.  `prepare` checks what the model must be able to do, and
    fills in the request's options.  `render` (on a worker thread) is the prompt as text and tokens.  Closing `generate`
    stops its work within one step.  All raise BadRequests.
    """

    def describe(self, model: types.StoredModel) -> Description: ...
    def prepare(self, request: types.ChatRequest, what: Description) -> tuple[types.ChatRequest, Description]: ...
    def render(self, request: types.ChatRequest, what: Description, tokenizer: Tokenizer) -> types.Rendered: ...
    def generate(
        self, request: types.ChatRequest, what: Description, resident: "Resident", load_ns: int
    ) -> types.Pieces: ...


class Engine(Protocol):
    """Runs models of the architectures it knows (`fits`).

    `open` prepares the weights; its cancellation aborts the load.  Raises FormatError, Unsupported, OutOfMemory.
    """

    name: str

    def fits(self, info: ModelInfo) -> bool: ...
    async def open(self, weights: Weights, settings: RunnerSettings) -> Runner: ...


class Store(Protocol):
    """Models and blobs on disk.  Writes are atomic; two processes may share one store.

    Blobs: `path` is where one lies, whether or not it exists (BadRequest "invalid digest format"); `put` raises
    BadRequest "digest mismatch, …" when the bytes differ from `digest`; `adopt` takes a local file in, by hard link
    or reflink where possible.  Models: `resolve` gives the stored spelling of a name that differs only in case;
    `get` raises ModelNotFound, FormatError; `list` is newest first, without unreadable manifests; `save` writes
    config and manifest, then drops blobs that only the replaced manifest used; `put_manifest` stores a registry's bytes
    verbatim; `prune` removes unreferenced blobs older than an hour and says how many.
    """

    name: str

    @property
    def root(self) -> Path: ...
    def has(self, digest: str) -> bool: ...
    def path(self, digest: str) -> Path: ...
    async def put(self, chunks: AsyncIterable[bytes], *, digest: str | None = None) -> types.Layer: ...
    async def adopt(self, path: Path, *, move: bool = False) -> types.Layer: ...
    def resolve(self, ref: types.ModelRef) -> types.ModelRef: ...
    def get(self, ref: types.ModelRef) -> types.StoredModel: ...
    def list(self) -> Sequence[types.StoredModel]: ...
    async def save(
        self, ref: types.ModelRef, config: types.ModelConfig, layers: Sequence[types.Layer]
    ) -> types.StoredModel: ...
    def manifest(self, ref: types.ModelRef) -> bytes: ...
    async def put_manifest(self, ref: types.ModelRef, manifest: bytes) -> types.StoredModel: ...
    async def copy(self, source: types.ModelRef, destination: types.ModelRef) -> None: ...
    async def delete(self, ref: types.ModelRef) -> None: ...
    async def prune(self) -> int: ...


Updates = AsyncGenerator[types.Progress, None]


class Source(Protocol):
    """Somewhere models can be fetched from; `name` is `ModelRef.source`.

    Closing a generator stops the work within one chunk; partial downloads are kept and resumed.  `push` raises
    Unsupported where models cannot be pushed.  A source may have a `starter`: the name of a small model to begin with.
    """

    name: str

    def pull(self, ref: types.ModelRef, store: Store, *, insecure: bool = False) -> Updates: ...
    def push(self, ref: types.ModelRef, store: Store, *, insecure: bool = False) -> Updates: ...


class Routes(Protocol):
    """A dialect: its routes, and the JSON body of an error in its shape."""

    name: str

    def table(self, kernel: "Kernel") -> "Sequence[web.RouteDef]": ...
    def render_error(self, error: CorralError, status: int) -> bytes: ...


Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


class Middleware(Value, frozen=True):
    """Sees bytes and headers of every HTTP request.  `wrap(request, handler)` as in aiohttp."""

    name: str
    wrap: Callable[["web.Request", Handler], Awaitable["web.StreamResponse"]]


class Interceptor(Value, frozen=True):
    """Sees every typed generation request, whichever dialect asked."""

    name: str
    wrap: Callable[[types.ChatRequest, types.Generate], types.Pieces]


class Command(Protocol):
    """A subcommand of `corral`.  `run` gives the exit code; a CorralError becomes `Error: …` and exit code 1."""

    name: str
    help: str

    def configure(self, parser: argparse.ArgumentParser) -> None: ...
    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int: ...
