"""A smaller model of the same vocabulary guesses for a larger one.  Source: Leviathan et al. 2023, greedy guesses."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from corral import Unsupported, Vocab, Weights
from corral_engine.batching import NO_ADAPTERS, Feed, make_batch
from corral_engine.kv_cache import PagePool, SequenceCache, common_length
from corral_engine.program import Executor
from corral_engine.speculation import Quote, Trust

DEFAULT_LENGTH = 4  # tokens guessed at once unless `draft_num_predict` says so
LONGEST = 16  # tokens guessed at once at most
_FIRST_COMPARED = 5  # token texts before this id may differ: special tokens have many names
_MAX_SIZE_DIFFERENCE = 128
_SMOOTHING = 0.25  # weight of the latest measurement


def check_vocabulary(vocab: Vocab, draft: Vocab) -> None:
    """Raises Unsupported unless a token means the same to the model and to the one that drafts for it."""
    why = ""
    n, n_draft = len(vocab.tokens), len(draft.tokens)
    if vocab.model != draft.model:
        why = f"its tokenizer is {draft.model!r}, the model's {vocab.model!r}"
    elif (vocab.bos_id, vocab.eos_id, vocab.add_bos, vocab.add_eos) != (
        draft.bos_id,
        draft.eos_id,
        draft.add_bos,
        draft.add_eos,
    ):
        why = "its tokens for begin and end are others"
    elif abs(n - n_draft) > _MAX_SIZE_DIFFERENCE:
        why = f"its vocabulary has {n_draft} tokens, the model's {n}"
    else:
        pairs = zip(vocab.tokens, draft.tokens, strict=False)
        other = next((i for i, (a, b) in enumerate(pairs) if i >= _FIRST_COMPARED and a != b), None)
        if other is not None:
            why = f"token {other} is {draft.tokens[other]!r}, the model's {vocab.tokens[other]!r}"
    if why:
        raise Unsupported(f"it cannot draft for this model: {why}")


@dataclass(slots=True)
class DraftModel:
    """The smaller model, opened.  `n_ctx`: tokens of its context; `n_vocab`: ids that the larger one knows too."""

    weights: Weights
    executor: Executor
    pool: PagePool
    n_ctx: int
    n_vocab: int
    bytes: int
    chunk: int = 128  # most tokens of a prompt that are evaluated at once
    reads_again_at: float = 0.0  # prompts are read half of the time at most, one chunk a step

    def close(self) -> None:
        """Let go of weights and KV memory."""
        self.executor.close()
        self.weights.close()


class ModelDrafter:
    """The smaller model's side of one sequence: which of its tokens are in that model's cache, and its guesses."""

    def __init__(self, model: DraftModel, max_length: int, cache_key: str) -> None:
        """`max_length` tokens are guessed at most; sequences of one `cache_key` share prefixes."""
        self._model, self._key = model, cache_key
        self._trust = Trust(max_length)
        self._cache: SequenceCache | None = None
        self._seen: list[int] = []  # the tokens whose K and V are in the cache, guesses included
        self._n_sure = 0  # so many of them are the sequence's own
        self._guess_s = 0.0  # what a guess takes
        self.learn = self._trust.learn

    def propose(self, tokens: Sequence[int], quote: Quote) -> tuple[int, ...]:
        """What the smaller model would write next, if guessing pays; () while it still reads a long prompt.

        Nothing is guessed while it is not known what a token costs without guessing.
        """
        length = min(self._trust.length, self._model.n_ctx - len(tokens))
        if length <= 0 or not quote.token_s or self._trust.rests(quote.row + self._guess_s / quote.token_s):
            return ()
        if not self._settle(tokens, length):
            return ()
        pending = list(tokens[len(self._seen) :])
        if max(pending) >= self._model.n_vocab:
            return ()
        try:
            return self._guess(pending, length)
        except MemoryError:  # guessing is a favour: the step itself still fits
            return ()

    def _guess(self, pending: list[int], length: int) -> tuple[int, ...]:
        began, chunk = time.perf_counter(), self._model.chunk
        if len(pending) > chunk:
            if began >= self._model.reads_again_at:
                self._run(pending[:chunk])
                self._n_sure = len(self._seen)
                self._model.reads_again_at = 2 * time.perf_counter() - began
            return ()
        guesses = [self._run(pending)]
        while len(guesses) < length:
            guesses.append(self._run(guesses[-1:]))
        spent = (time.perf_counter() - began) / length
        self._guess_s += _SMOOTHING * (spent - self._guess_s) if self._guess_s else spent
        known = next((i for i, token in enumerate(guesses) if token >= self._model.n_vocab), length)
        return tuple(guesses[:known])

    def _settle(self, tokens: Sequence[int], n_more: int) -> bool:
        """Keep of the cache what `tokens` confirm.  False: there are no pages for them and `n_more`."""
        n = self._n_sure
        if self._cache is None or len(tokens) < n or (n and tokens[n - 1] != self._seen[n - 1]):  # new, or shifted
            self.close()
            self._cache = SequenceCache(self._model.pool, self._key)
            n = self._cache.reuse(list(tokens))
            self._seen = list(tokens[:n])
        n += common_length(self._seen[n:], tokens[n:])
        self._n_sure = min(n, len(tokens) - 1)  # the last one is evaluated again for its logits
        del self._seen[self._n_sure :]
        self._cache.share(self._seen, self._n_sure)
        return self._cache.reserve(len(tokens) + n_more)

    def _run(self, token_ids: list[int]) -> int:
        """Evaluate `token_ids` after what was seen; the most likely next token."""
        assert self._cache is not None
        feed = Feed(token_ids, len(self._seen), self._cache.pages, 1, NO_ADAPTERS)
        logits = self._model.executor.run(make_batch([feed]))
        self._seen += token_ids
        return int(logits[0].argmax())

    def close(self) -> None:
        """Leave the pages to others."""
        if self._cache is not None:
            self._cache.close(self._seen[: self._n_sure], self._n_sure)
            self._cache, self._n_sure, self._seen = None, 0, []
