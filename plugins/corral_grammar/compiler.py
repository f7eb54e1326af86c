"""Compiles constraints, within limits of size and time, and keeps what was compiled lately."""

import hashlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from corral import BadRequest, Constraint
from corral_grammar.cache import ByteCache
from corral_grammar.grammars import GRAMMARS
from corral_grammar.plugin import GrammarConfig

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from corral_engine.constraints import TokenTexts
    from corral_grammar.state import GrammarState

_STACK_BYTES = 128 << 20  # the library recurses along chains of rules; only what is used is ever allocated
_MAX_AT_ONCE = 2
_GRAMMAR_BYTES = 64 << 10  # what the smallest compiled grammar takes, and how much more for each byte of source
_BYTES_PER_SOURCE_BYTE = 64


class Prepared(NamedTuple):
    """One vocabulary, and what was compiled for it."""

    texts: "TokenTexts"
    tokenizer: "LLTokenizer"
    cache: "ByteCache[LLMatcher]"


class GrammarCompiler:
    """`corral_engine.constraints.ConstraintCompiler` for one model.  A copy in another process starts empty."""

    kinds = frozenset(GRAMMARS)

    def __init__(self, config: GrammarConfig) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._running = threading.Semaphore(_MAX_AT_ONCE)
        self._prepared: Prepared | None = None

    def __reduce__(self) -> "tuple[type[GrammarCompiler], tuple[GrammarConfig]]":
        return GrammarCompiler, (self.config,)

    def compile(self, constraint: Constraint, vocabulary: "TokenTexts") -> "GrammarState":
        """Raises BadRequest with the place of a mistake, or the limit that was passed."""
        from corral_grammar.state import GrammarState

        size_bytes = len(constraint.source.encode())
        if size_bytes > self.config.max_source_bytes:
            raise BadRequest(
                f"the {constraint.kind} constraint is {size_bytes} bytes long, "
                f"at most {self.config.max_source_bytes} are accepted"
            )
        prepared = self._prepare(vocabulary)
        key = f"{constraint.kind} {hashlib.sha256(constraint.source.encode()).hexdigest()}"
        matcher = prepared.cache.get(key)
        if matcher is None:
            grammar = GRAMMARS[constraint.kind](constraint.source)
            matcher = self._within_time(lambda: _compile(prepared.tokenizer, grammar, constraint))
            prepared.cache.put(key, matcher, _GRAMMAR_BYTES + _BYTES_PER_SOURCE_BYTE * size_bytes)
        return GrammarState(matcher.deep_copy(), vocabulary.eog_ids, forces=vocabulary.encodes)

    def _prepare(self, vocabulary: "TokenTexts") -> Prepared:
        from corral_grammar.vocabulary import make_tokenizer

        with self._lock:
            if self._prepared is None or self._prepared.texts is not vocabulary:
                cache: ByteCache[LLMatcher] = ByteCache(self.config.cache_bytes)
                self._prepared = Prepared(vocabulary, make_tokenizer(vocabulary), cache)
            return self._prepared

    def _within_time(self, work: "Callable[[], LLMatcher]") -> "LLMatcher":
        """Do it on a thread with a deep stack.  One that takes too long ends by the library's own limits, unheard."""
        results: list[LLMatcher | BadRequest] = []

        def run() -> None:
            try:
                results.append(work())
            except BadRequest as err:
                results.append(err)
            finally:
                self._running.release()

        thread = threading.Thread(target=run, name="grammar compiler", daemon=True)
        if not self._running.acquire(timeout=self.config.compile_s):
            raise BadRequest("other constraints are being compiled and take long; try again")
        _start_with_stack(thread)
        thread.join(self.config.compile_s)
        if not results:
            raise BadRequest(f"the constraint takes more than {self.config.compile_s:g} s to compile: make it simpler")
        if isinstance(results[0], BadRequest):
            raise results[0]
        return results[0]


_stack_size = threading.Lock()


def _start_with_stack(thread: threading.Thread) -> None:
    """The size is a setting of the process: change it for this one start only."""
    with _stack_size:
        before = threading.stack_size(_STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(before)


def _compile(tokenizer: "LLTokenizer", grammar: str, constraint: Constraint) -> "LLMatcher":
    from llguidance import LLMatcher, LLParserLimits

    from corral_grammar.state import summary

    limits = LLParserLimits(max_lexer_states=50_000, max_grammar_size=200_000, verbose_errors=False)
    matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=limits)
    problem = matcher.get_error()
    if not problem:
        first = matcher.deep_copy()
        is_empty = not any(first.compute_bitmask())
        problem = first.get_error() or ("nothing matches it" if is_empty else "")
    if not problem:
        return matcher
    if problem.startswith("NoExtension"):
        problem = "nothing matches it"
    place = ""
    if constraint.kind == "json_schema":
        from corral_grammar.grammars import locate

        place = locate(constraint.source)
    raise BadRequest(f"invalid {constraint.kind} constraint{place}: {summary(problem)}")
