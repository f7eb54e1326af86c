"""What a plugin may supply: one small protocol a kind.  A provider has `.name`, is free to make and opens nothing."""

import argparse
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from corral import types
from corral.errors import CorralError

if TYPE_CHECKING:
    from aiohttp import web

    from corral.kernel import Kernel


class Vocab(types.Value, frozen=True):
    """A tokenizer as data.

    `model` is the algorithm ("gpt2" byte-level BPE, "llama" SentencePiece, "bert" WordPiece, "t5" Unigram), `pre` the
    pre-tokenizer's name.  `token_types`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    Ids are -1 when the model has no such token; `None` for an `add_*` flag means "the algorithm's default".
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
    eog_ids: tuple[int, ...] = ()  # further end-of-generation ids the file names
    add_bos: bool | None = None
    add_eos: bool | None = None
    add_space_prefix: bool | None = None
    remove_extra_whitespaces: bool | None = None
    precompiled_charsmap: bytes = b""
    tokenizer_json: str = ""  # a Hugging Face tokenizer.json, when that is the source


class ModelInfo(types.Value, frozen=True):
    """What a weight file says about itself.  `metadata` maps GGUF-style keys to values; long arrays are lazy."""

    architecture: str
    metadata: Mapping[str, Any]
    tensors: tuple[types.TensorInfo, ...]
    kind: str = "model"  # "model", "adapter" or "projector"
    name: str = ""
    parameter_count: int = 0
    quantization: str = ""
    context_length: int = 0
    embedding_length: int = 0
    chat_template: str | None = None


class Tensor(types.Value, frozen=True):
    """A view of a tensor's bytes as they lie in the file (little-endian, rows contiguous)."""

    info: types.TensorInfo
    data: memoryview


class Weights(Protocol):
    """An open weight file.  Tensors are views: nothing is read before it is used; `close` ends every view."""

    @property
    def path(self) -> Path: ...
    @property
    def info(self) -> ModelInfo: ...
    def vocab(self) -> Vocab:
        """The tokenizer's data.  Raises FormatError when a required key is missing or inconsistent."""

    def tensor(self, name: str) -> Tensor:
        """Raises FormatError naming the tensor when the file has none of that name."""

    def close(self) -> None: ...


class Loader(Protocol):
    """Reads one weight format."""

    name: str

    def sniff(self, head: bytes) -> bool:
        """Whether a file that begins with `head` (at most 64 bytes) is of this format.  Never raises."""

    def open(self, path: Path) -> Weights:
        """Check the whole structure and map the file.  Raises FormatError; never trusts a count or an offset."""


class Quantizer(Protocol):
    """Encodes rows of weights in one storage type (`name`, e.g. "Q4_K")."""

    name: str
    block_size: int  # weights a block
    type_size: int  # bytes a block
    max_error: float  # bound on the relative RMS error for Gaussian rows

    def quantize(self, rows: Any) -> Any:
        """float32 (R, C) -> uint8 (R, C // block_size * type_size).  Raises FormatError when C is ragged."""

    def dequantize(self, blocks: Any, shape: tuple[int, ...]) -> Any:
        """uint8 blocks -> float32 of `shape`."""


class Detokenizer(Protocol):
    """Turns a stream of tokens into text that is always whole characters.

    Holds back incomplete UTF-8 and anything that may become a stop string.
    """

    def push(self, token_id: int) -> str:
        """The text that is certain after this token (may be empty)."""

    def flush(self) -> str:
        """At the end of generation: all that was held back."""

    @property
    def stopped_by(self) -> str | None:
        """The stop string that ended the text, if one did; later pushes return nothing."""


class Tokenizer(Protocol):
    """Text to token ids and back."""

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
    def encode(self, text: str, *, add_special: bool = False, parse_special: bool = True) -> list[int]:
        """`add_special` adds BOS/EOS as the model wants; `parse_special` reads control tokens' text as the tokens."""

    def decode(self, token_ids: Sequence[int], *, special: bool = False) -> str: ...
    def token_bytes(self, token_id: int, *, special: bool = True) -> bytes: ...
    def stream(self, stop: Sequence[str] = (), *, special: bool = False) -> Detokenizer: ...


class TokenizerKind(Protocol):
    """Builds tokenizers of one algorithm; `name` is `Vocab.model`."""

    name: str

    def build(self, vocab: Vocab) -> Tokenizer: ...


class Conversation(types.Value, frozen=True):
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
    """Splits generated text into content, thinking and tool calls.  Nothing pushed is ever lost."""

    def push(self, text: str) -> Iterable[types.Piece]: ...
    def finish(self) -> Iterable[types.Piece]: ...


class Template(Protocol):
    """A compiled chat template."""

    @property
    def source(self) -> str: ...
    @property
    def capabilities(self) -> frozenset[str]:
        """Of "tools", "insert", "thinking"."""

    def render(self, conversation: Conversation) -> str:
        """Raises BadRequest when the template refuses the conversation."""

    def parser(self, conversation: Conversation, prompt: str) -> OutputParser:
        """How to read the answer to `prompt`.  Tool parsing only with tools, thinking only when thinking is on."""


class TemplateEngine(Protocol):
    """A template language; `name` is "go" or "jinja"."""

    name: str

    def source_of(self, model: types.StoredModel, info: ModelInfo, preference: str) -> str | None:
        """The text this engine would render the model's chats with, or None to leave it to the next engine.

        `preference` is the setting `go_template`: "1" always, "0" never, "" whichever template can do more.
        """

    def compile(self, source: str) -> Template:
        """Raises BadRequest("template error: …")."""


class RunnerSettings(types.Settings, frozen=True):
    """How to open a model.  0 and "" mean "the engine decides".  Sizes in bytes, counts in tokens.

    `kv_tokens` is the KV budget shared by all sequences; a request's own `num_ctx` is bounded by it, not by a reload.
    """

    n_threads: int = 0
    n_parallel: int = 1
    kv_tokens: int = 0
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    max_queue: int = 512
    isolation: str = "thread"  # or "process"
    memory_bytes: int = 0


class AdapterSpec(types.Value, frozen=True):
    """A LoRA adapter to apply, with the user's scale."""

    path: str
    scale: float = 1.0


class Job(types.Value, frozen=True):
    """One sequence to generate.  `max_tokens` < 0 means until the end; counts are tokens."""

    token_ids: tuple[int, ...]
    options: types.Options = types.Options()
    eog_ids: tuple[int, ...] = ()
    max_tokens: int = -1
    num_ctx: int = 4096
    num_keep: int = 0
    shift: bool = True
    n_logprobs: int = -1  # -1 none, 0 the chosen token only, n the best n too
    prompt_logprobs: bool = False
    constraint: types.Constraint | None = None
    constraint_after: str = ""  # the constraint begins after this text (the end of thinking) was generated
    adapters: tuple[AdapterSpec, ...] = ()
    cache_key: str = ""


class TokensEvent(types.Value, frozen=True):
    """Tokens that were generated in one step (several when speculation was right)."""

    token_ids: tuple[int, ...]
    logprobs: tuple["ScoredToken", ...] = ()


class ScoredToken(types.Value, frozen=True):
    """A token id with its log-probability and the best rivals `(id, logprob)`, descending."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class PrefillEvent(types.Value, frozen=True):
    """How much of the prompt is evaluated; the last one, with done = total, always comes before the first token."""

    done_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    queue_ns: int = 0
    logprobs: tuple[ScoredToken, ...] = ()


class DoneEvent(types.Value, frozen=True):
    """The end of a sequence.  reason: "stop" (an end-of-generation token), "length", "shutdown".  Times in ns."""

    reason: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    eval_tokens: int = 0
    queue_ns: int = 0
    prompt_ns: int = 0
    eval_ns: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0


Event = TokensEvent | PrefillEvent | DoneEvent


class EmbedJob(types.Value, frozen=True):
    """Sequences to embed; each vector is pooled as the model says and not normalised."""

    inputs: tuple[tuple[int, ...], ...]
    adapters: tuple[AdapterSpec, ...] = ()


class RunnerStats(types.Value, frozen=True):
    """A snapshot.  Bytes, tokens, counts."""

    weights_bytes: int = 0
    kv_bytes: int = 0
    kv_tokens: int = 0
    kv_tokens_used: int = 0
    active: int = 0
    queued: int = 0


class Runner(Protocol):
    """A model ready to run.  Only structs cross this border, so a runner can live in another process."""

    def submit(self, job: Job) -> AsyncGenerator[Event, None]:
        """Closing the generator cancels the job within one step.  Raises Busy, BadRequest, RunnerDied."""

    async def embed(self, job: EmbedJob) -> tuple[tuple[float, ...], ...]: ...
    def stats(self) -> RunnerStats: ...
    @property
    def alive(self) -> bool: ...
    async def close(self) -> None: ...


class Engine(Protocol):
    """Runs models of the architectures it knows."""

    name: str

    def fits(self, info: ModelInfo) -> bool: ...
    async def open(self, weights: Weights, settings: RunnerSettings) -> Runner:
        """Prepare the weights.  Raises FormatError, Unsupported, OutOfMemory.  Cancellation aborts the load."""


class Store(Protocol):
    """Models and blobs on disk.  Writes are atomic; two processes may share one store."""

    name: str

    @property
    def root(self) -> Path: ...
    def has(self, digest: str) -> bool: ...
    def path(self, digest: str) -> Path:
        """Where a blob lies (whether or not it exists).  Raises BadRequest("invalid digest format")."""

    async def put(self, chunks: AsyncIterable[bytes], *, digest: str | None = None) -> types.Layer:
        """Write a blob; with `digest`, raise BadRequest("digest mismatch, …") when the bytes differ from it."""

    async def adopt(self, path: Path, *, move: bool = False) -> types.Layer:
        """Take a local file in as a blob: by hard link or reflink where possible, else by copy."""

    def resolve(self, ref: types.ModelRef) -> types.ModelRef:
        """The stored spelling of a name that differs only in case; `ref` itself when there is none."""

    def get(self, ref: types.ModelRef) -> types.StoredModel:
        """Raises ModelNotFound, FormatError (a broken manifest)."""

    def list(self) -> Sequence[types.StoredModel]:
        """Newest first; unreadable manifests are skipped with a log line."""

    async def save(
        self, ref: types.ModelRef, config: types.ModelConfig, layers: Sequence[types.Layer]
    ) -> types.StoredModel:
        """Write the config blob and the manifest, then drop blobs that only the replaced manifest used."""

    def manifest(self, ref: types.ModelRef) -> bytes: ...
    async def put_manifest(self, ref: types.ModelRef, manifest: bytes) -> types.StoredModel:
        """Store a registry's manifest verbatim; every blob it names must be present."""

    async def copy(self, source: types.ModelRef, destination: types.ModelRef) -> None: ...
    async def delete(self, ref: types.ModelRef) -> None: ...
    async def prune(self) -> int:
        """Remove unreferenced blobs older than an hour; returns how many."""


class Source(Protocol):
    """Somewhere models can be fetched from; `name` is `ModelRef.source`."""

    name: str

    def pull(
        self, ref: types.ModelRef, store: Store, *, insecure: bool = False
    ) -> AsyncGenerator[types.Progress, None]:
        """Closing the generator stops the work within one chunk; partial downloads are kept and resumed."""

    def push(
        self, ref: types.ModelRef, store: Store, *, insecure: bool = False
    ) -> AsyncGenerator[types.Progress, None]:
        """Raises Unsupported where models cannot be pushed."""


class Routes(Protocol):
    """A dialect: its routes, and its shape of an error."""

    name: str

    def table(self, kernel: "Kernel") -> "Sequence[web.RouteDef]": ...
    def render_error(self, error: CorralError, status: int) -> bytes:
        """The JSON body of an error in this dialect."""


Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


class Middleware(types.Value, frozen=True):
    """Sees bytes and headers of every HTTP request.  `wrap(request, handler)` as in aiohttp."""

    name: str
    wrap: Callable[["web.Request", Handler], Awaitable["web.StreamResponse"]]


class Interceptor(types.Value, frozen=True):
    """Sees every typed generation request, whichever dialect asked."""

    name: str
    wrap: Callable[[types.ChatRequest, types.Generate], types.Pieces]


class Command(Protocol):
    """A subcommand of `corral`."""

    name: str
    help: str

    def configure(self, parser: argparse.ArgumentParser) -> None: ...
    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """The exit code.  A CorralError becomes `Error: …` and exit code 1."""
