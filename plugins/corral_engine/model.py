"""One opened model: program, executor, KV pages and vocabulary, and how a job becomes a sequence."""

from collections.abc import Sequence as Items
from dataclasses import dataclass

from corral import BadRequest, ContextOverflow, EmbedJob, Job, Unsupported
from corral_engine.answer import constraint_of
from corral_engine.architecture import Architecture
from corral_engine.constraints import ConstraintCompiler
from corral_engine.draft import DEFAULT_LENGTH, LONGEST, DraftModel, ModelDrafter
from corral_engine.embedding import Embedder
from corral_engine.hyperparameters import Hyperparameters
from corral_engine.kv_cache import PagePool
from corral_engine.lora import AdapterStore
from corral_engine.program import PAGE_SIZE, AdapterSet, Executor, Program
from corral_engine.sampling import Sampler
from corral_engine.sequence import Outbox, Sequence
from corral_engine.speculation import Drafter, FirstOf, PromptLookup
from corral_engine.vocabulary import Vocabulary


@dataclass(slots=True)
class Model:
    """Everything the runner needs.  `n_kv_tokens` bounds the sum of all sequences; `max_drafts` 0: no speculation."""

    name: str
    architecture: Architecture
    hyper: Hyperparameters
    program: Program
    executor: Executor
    pool: PagePool
    embedder: Embedder
    vocabulary: Vocabulary
    adapters: AdapterStore
    compilers: Items[ConstraintCompiler]
    weights_bytes: int
    n_tokens: int  # ids that have a text; rows of the embedding table beyond them are padding
    max_drafts: int = 0
    loop_tokens: int = 0
    draft: DraftModel | None = None

    @property
    def n_kv_tokens(self) -> int:
        return self.pool.n_pages * PAGE_SIZE

    def sequence(self, job: Job, outbox: Outbox) -> Sequence:
        """Check a job and prepare its sequence.  May read adapters and compile a grammar, so call it off the loop.

        Raises BadRequest, ContextOverflow, Unsupported.
        """
        if not self.architecture.head:
            raise Unsupported(f"{self.name} is an embedding model: it does not generate text")
        n_ctx = min(job.num_ctx if job.num_ctx > 0 else self.hyper.context_length, self._longest)
        self._check_tokens(job.token_ids, n_ctx - 1, n_ctx)
        options = job.options
        forbidden = job.eog_ids if options.ignore_eos else ()
        padding = range(self.n_tokens, self.program.vocab_size)
        sampler = Sampler(options, (*forbidden, *padding), self.vocabulary.find_breakers)
        return Sequence(
            job,
            outbox,
            sampler,
            n_ctx,
            drafter=self._drafter(job),
            adapters=self.adapters.load(job.adapters),
            constraint=constraint_of(job, self.compilers, self.vocabulary),
            may_shift=job.shift and self.architecture.shiftable,
            loop_tokens=0 if options.ignore_eos else self.loop_tokens,
        )

    @property
    def _longest(self) -> int:
        return min(self.hyper.context_length, self.n_kv_tokens)

    def _check_tokens(self, token_ids: Items[int], most: int, n_ctx: int) -> None:
        if not token_ids:
            raise BadRequest("the prompt is empty")
        if len(token_ids) > most:
            raise ContextOverflow(
                f"request ({len(token_ids)} tokens) exceeds the available context size ({n_ctx} tokens), "
                "try increasing it"
            )
        if min(token_ids) < 0 or max(token_ids) >= self.program.vocab_size:
            raise BadRequest(f"a token id lies outside the vocabulary of {self.program.vocab_size} tokens")

    def _drafter(self, job: Job) -> Drafter | None:
        """Prompt lookup, then the model's own draft model: where a text repeats itself, looking it up costs nothing."""
        asked = job.options.draft_num_predict
        most = self.max_drafts if asked < 0 else min(asked, self.max_drafts)
        drafters: list[Drafter] = [PromptLookup(most)] if most > 0 else []
        if self.draft is not None and asked != 0:
            length = min(asked, LONGEST) if asked > 0 else DEFAULT_LENGTH
            drafters.append(ModelDrafter(self.draft, length, job.cache_key))
        return FirstOf(drafters) if len(drafters) > 1 else next(iter(drafters), None)

    def check_embed(self, job: EmbedJob) -> AdapterSet:
        """Check the inputs and read the adapters.  Raises BadRequest, ContextOverflow, Unsupported."""
        for tokens in job.inputs:
            self._check_tokens(tokens, self._longest, self._longest)
        return self.adapters.load(job.adapters)

    def close(self) -> None:
        """Let go of weights and KV memory."""
        self.executor.close()
        if self.draft is not None:
            self.draft.close()
