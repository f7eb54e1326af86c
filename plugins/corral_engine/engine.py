"""The Engine provider: decides whether it runs a model, and opens it."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from corral import (
    FormatError,
    Loader,
    ModelInfo,
    OutOfMemory,
    RunnerSettings,
    TokenizerKind,
    Unsupported,
    Weights,
)
from corral.log import get_logger
from corral_engine.abandon import Checkpoint, carry_on, checkpoint, settled

if TYPE_CHECKING:
    from corral import Runner, Vocab
    from corral_engine.architecture import Architecture
    from corral_engine.constraints import ConstraintCompiler
    from corral_engine.draft import DraftModel
    from corral_engine.kv_storage import CacheType, KVStorage
    from corral_engine.model import Model
    from corral_engine.plugin import EngineConfig
    from corral_engine.program import Executor, Program, Tensors

_OVERHEAD = 64 << 20  # bytes for activations and everything else
_KV_SHARE = 0.5  # of the memory that is left once the weights are in, unless the settings say how much
_LEAST_KV_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Parts:
    """What other plugins add.  A runner in another process gets a copy, so all of it can be pickled."""

    architectures: "tuple[Architecture, ...]" = ()
    compilers: "tuple[ConstraintCompiler, ...]" = ()
    loaders: tuple[Loader, ...] = ()
    tokenizers: tuple[TokenizerKind, ...] = ()


class CorralEngine:
    """Runs the architectures of this plugin and of those that answer `corral_engine_architectures`."""

    name = "corral"

    def __init__(self, config: "EngineConfig", parts: Callable[[], Parts] = Parts) -> None:
        """`parts` is asked whenever a model is opened."""
        self.config, self.parts = config, parts

    def architectures(self) -> Mapping[str, "Architecture"]:
        """By name; a third party's wins over a built-in of the same name."""
        from corral_engine.architectures import BUILT_IN

        return {architecture.name: architecture for architecture in (*BUILT_IN, *self.parts().architectures)}

    def fits(self, info: ModelInfo) -> bool:
        return info.kind == "model" and info.architecture in self.architectures()

    def warm(self) -> None:
        """Import what a model will need, so that the first one loads sooner."""
        import corral_engine.runner

        if self.config.kernels != "numpy":
            with suppress(ImportError):  # told when a model is opened
                import corral_engine.native.adapters  # noqa: F401

    async def open(self, weights: Weights, settings: RunnerSettings) -> "Runner":
        """Prepare the weights on another thread, or in another process.

        Raises FormatError, Unsupported, OutOfMemory.
        """
        if settings.isolation == "process":
            from corral_engine.process import ProcessRunner

            return await ProcessRunner.open(self.config, self.parts(), weights.path, settings)
        cancelled = threading.Event()
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(None, self._open, weights, settings, cancelled)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            cancelled.set()
            await settled(opening)  # the file may only be closed once nobody reads it
            if not opening.cancelled() and opening.exception() is None:
                await opening.result().close()
            raise

    def _open(self, weights: Weights, settings: RunnerSettings, cancelled: threading.Event) -> "Runner":
        from corral_engine.residue import give_back
        from corral_engine.runner import ThreadRunner
        from corral_engine.scheduler import Scheduler, SchedulerSettings

        model = self.load(weights, settings, checkpoint(cancelled))
        scheduling = SchedulerSettings(
            n_parallel=settings.n_parallel,
            max_queue=settings.max_queue,
            prefill_chunk=self.config.prefill_chunk,
            step_s=self.config.step_s,
            stall_s=self.config.stall_s,
        )
        give_back()
        return ThreadRunner(model, Scheduler(model.executor, model.pool, scheduling, model.embedder))

    def load(self, weights: Weights, settings: RunnerSettings, check: Checkpoint = carry_on) -> "Model":
        """Everything but the thread.  Raises FormatError, Unsupported, OutOfMemory, and what `check` raises."""
        from corral_engine.build import build
        from corral_engine.embedding import Embedder
        from corral_engine.kv_cache import PagePool
        from corral_engine.kv_storage import KVStorage
        from corral_engine.lora import AdapterStore
        from corral_engine.model import Model
        from corral_engine.program import PAGE_SIZE
        from corral_engine.rank import read_head
        from corral_engine.tensors import map_tensors, vector_reader
        from corral_engine.vocabulary import Vocabulary

        info, parts = weights.info, self.parts()
        architecture = self.architectures().get(info.architecture)
        if architecture is None:
            raise Unsupported(f"architecture {info.architecture!r} is not one that this engine runs")

        n_ctx = settings.kv_tokens // max(settings.n_parallel, 1)
        program, hyper = build(architecture, info, vector_reader(weights), n_ctx)
        tensors = map_tensors(program, weights)
        weights_bytes = sum(tensor.nbytes for tensor in tensors.values())
        types = self._cache_types(settings, causal=program.causal)
        draft_bytes = Path(settings.draft).stat().st_size if Path(settings.draft).is_file() else 0
        n_pages = self._kv_pages(program, hyper.context_length, settings, weights_bytes + draft_bytes, types)
        pooling = hyper.pooling or architecture.pooling
        head = read_head(weights, program.hidden_size) if pooling == "rank" else None
        vocabulary = Vocabulary(weights.vocab(), parts.tokenizers)
        n_tokens = len(vocabulary.vocab.tokens) or program.vocab_size
        if n_tokens > program.vocab_size:
            raise FormatError(
                f"{weights.path.name}: the vocabulary has {n_tokens} tokens, "
                f"token_embd.weight only {program.vocab_size} rows"
            )
        try:
            storage = KVStorage(program.cache, n_pages, *types)
        except MemoryError as err:
            raise OutOfMemory(f"no memory for a KV cache of {n_pages * PAGE_SIZE} tokens: lower its budget") from err
        check()
        executor = self._executor(program, tensors, storage, settings, check)
        pool = PagePool(storage)
        taken = weights_bytes + draft_bytes + _OVERHEAD + n_pages * storage.page_bytes
        try:
            draft = (
                self._draft(settings, vocabulary.vocab, n_pages, taken, check)
                if settings.draft and program.causal
                else None
            )
        except BaseException:
            executor.close()
            raise
        return Model(
            name=info.name or weights.path.name,
            architecture=architecture,
            hyper=hyper,
            program=program,
            executor=executor,
            pool=pool,
            embedder=Embedder(executor, pool, pooling, self.config.prefill_chunk, causal=program.causal, head=head),
            vocabulary=vocabulary,
            adapters=AdapterStore(info, parts.loaders),
            compilers=parts.compilers,
            weights_bytes=weights_bytes + (draft.bytes if draft else 0),
            n_tokens=n_tokens,
            max_drafts=self.config.speculation,
            loop_tokens=self.config.loop_tokens,
            draft=draft,
        )

    def _draft(
        self, settings: RunnerSettings, vocab: "Vocab", n_pages: int, taken: int, check: Checkpoint
    ) -> "DraftModel":
        """Open the model that guesses, with KV pages for as many tokens as memory allows beside the `taken` bytes.

        Raises FormatError, Unsupported, OutOfMemory.
        """
        from corral_engine.build import build
        from corral_engine.draft import DraftModel
        from corral_engine.kv_cache import PagePool
        from corral_engine.kv_storage import KVStorage, plan
        from corral_engine.lora import open_weights
        from corral_engine.tensors import map_tensors, vector_reader

        path = Path(settings.draft)
        weights = open_weights(path, self.parts().loaders)
        try:
            try:
                architecture, draft_vocab = self.require_draft(vocab, weights)
            except Unsupported as err:
                raise Unsupported(f"{path.name}: {err.message}") from err
            program, hyper = build(architecture, weights.info, vector_reader(weights), 0)
            tensors = map_tensors(program, weights)
            types = self._cache_types(settings, causal=True)
            spare = max(0, self._available(settings) - taken) // plan(program.cache, *types)[2]
            try:
                storage = KVStorage(program.cache, max(1, min(n_pages, spare)), *types)
            except MemoryError as err:
                raise OutOfMemory(f"no memory for the KV cache of {path.name}, which drafts") from err
            executor = self._executor(program, tensors, storage, settings, check)
        except BaseException:
            weights.close()
            raise
        return DraftModel(
            weights=weights,
            executor=executor,
            pool=PagePool(storage),
            n_ctx=hyper.context_length,
            n_vocab=min(len(vocab.tokens), len(draft_vocab.tokens)) or program.vocab_size,
            bytes=sum(tensor.nbytes for tensor in tensors.values()),
        )

    def require_draft(self, vocab: "Vocab", weights: Weights) -> "tuple[Architecture, Vocab]":
        """What a model that drafts for one of this vocabulary is.  Raises Unsupported when it cannot, FormatError."""
        from corral_engine.draft import check_vocabulary

        architecture = self.architectures().get(weights.info.architecture)
        if architecture is None or not architecture.head:
            raise Unsupported(f"it cannot draft: its architecture is {weights.info.architecture!r}")
        draft = weights.vocab()
        check_vocabulary(vocab, draft)
        return architecture, draft

    def _cache_types(self, settings: RunnerSettings, *, causal: bool) -> "tuple[CacheType, CacheType]":
        """An encoder's K and V live for one batch only, so they may as well be exact."""
        if not causal:
            return "f32", "f32"
        asked = self.config.kv_type_k or settings.kv_type_k, self.config.kv_type_v or settings.kv_type_v
        for kind in asked:
            if kind not in ("f32", "f16", "q8_0"):
                raise Unsupported(f"KV cache type {kind!r} is not one of f32, f16, q8_0")
        return cast("tuple[CacheType, CacheType]", asked)

    def _available(self, settings: RunnerSettings) -> int:
        """Bytes that a model may take."""
        from corral_engine.memory import available_bytes

        limit = settings.memory_bytes or self.config.memory_bytes
        return min(available_bytes(), limit) if limit else available_bytes()

    def _kv_pages(
        self,
        program: "Program",
        context: int,
        settings: RunnerSettings,
        weights_bytes: int,
        types: "tuple[CacheType, CacheType]",
    ) -> int:
        """Pages of the KV budget.  Raises OutOfMemory naming what is needed and what there is."""
        from corral_engine.kv_storage import plan
        from corral_engine.program import PAGE_SIZE

        page_bytes = plan(program.cache, *types)[2]
        available = self._available(settings)
        left = available - weights_bytes - _OVERHEAD
        wanted = settings.kv_tokens or self.config.kv_tokens
        least = wanted or min(context, _LEAST_KV_TOKENS)
        needed = -(-least // PAGE_SIZE) * page_bytes
        if needed > left:
            raise OutOfMemory(
                f"the model needs {weights_bytes + _OVERHEAD + needed} bytes (weights {weights_bytes}, KV cache for "
                f"{least} tokens {needed}), and {max(available, 0)} bytes are available"
            )
        if wanted:
            return -(-wanted // PAGE_SIZE)
        most = -(-context // PAGE_SIZE) * max(settings.n_parallel, 1)
        return max(-(-least // PAGE_SIZE), min(most, int(left * _KV_SHARE) // page_bytes))

    def _executor(
        self,
        program: "Program",
        tensors: "Tensors",
        storage: "KVStorage",
        settings: RunnerSettings,
        check: Checkpoint,
    ) -> "Executor":
        """Native kernels where they can be had, else numpy, saying so."""
        from corral_engine.reference import ReferenceExecutor

        n_threads = settings.n_threads or self.config.n_threads
        if self.config.kernels != "numpy":
            try:
                from corral_engine.native.adapters import AdaptedExecutor

                return AdaptedExecutor(program, tensors, storage, n_threads, check)
            except (ImportError, Unsupported) as err:
                if self.config.kernels == "native":
                    raise Unsupported(f"the native kernels cannot be used here: {err}") from err
                get_logger("engine").warning("kernels.fell_back", kernels="numpy", reason=str(err))
        return ReferenceExecutor(program, tensors, storage, n_threads)
