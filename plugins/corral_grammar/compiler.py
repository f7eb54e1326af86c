"""Compiles constraints, within limits of size and time, and keeps what was compiled lately."""

import atexit
import hashlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from corral import BadRequest, Constraint
from corral.log import get_logger
from corral_grammar.cache import ByteCache
from corral_grammar.grammars import GRAMMARS, LIMITS, refusal, refusal_inside, relax
from corral_grammar.plugin import GrammarConfig
from corral_grammar.tags import LOOSE, Tags, has_tags

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from corral_engine.constraints import TokenTexts
    from corral_grammar.state import GrammarState, Work

_STACK_BYTES = 128 << 20  # the library recurses along chains of rules; only what is used is ever allocated
_MAX_AT_ONCE = 2
_GRAMMAR_BYTES = 64 << 10  # what the smallest compiled grammar takes, and how much more for each byte of source
_BYTES_PER_SOURCE_BYTE = 64
_BYTES_PER_SECOND = 300 << 20  # at most as fast does the library build states, which stay with the grammar
_EXIT_S = 10.0  # how long the end of the process waits for compilations: longer than any may take


class Prepared(NamedTuple):
    """One vocabulary, and what was compiled for it."""

    texts: "TokenTexts"
    tokenizer: "LLTokenizer"
    cache: "ByteCache[Compiled]"
    tags: Tags


class Compiled(NamedTuple):
    """One grammar.  Its states are shared by all sequences that follow it, and grow with what they do."""

    matcher: "LLMatcher"
    work: "Work"
    is_loose: bool = False  # where it cannot be followed, it need not be


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

        prepared, size_bytes = self._prepare(vocabulary), len(constraint.source.encode())
        key = f"{constraint.kind} {hashlib.sha256(constraint.source.encode()).hexdigest()}"
        compiled = prepared.cache.get(key)
        if compiled is None:
            compiled = self._compiled(prepared, constraint)
        grown = int(_BYTES_PER_SECOND * compiled.work.seconds)
        prepared.cache.put(key, compiled, _GRAMMAR_BYTES + _BYTES_PER_SOURCE_BYTE * size_bytes + grown)
        return GrammarState(
            compiled.matcher.deep_copy(),
            vocabulary.eog_ids,
            forces=vocabulary.encodes,
            work=compiled.work,
            is_loose=compiled.is_loose,
        )

    def _compiled(self, prepared: Prepared, constraint: Constraint) -> Compiled:
        """One that passes a limit with schemas that need not be enforced is compiled without them."""
        if LOOSE not in constraint.source:
            return self._checked(prepared, constraint)
        try:
            return self._checked(prepared, constraint)._replace(is_loose=True)
        except BadRequest as err:
            looser = relax(constraint.source) if constraint.kind == "lark" else ""
            if not looser:
                raise
            get_logger("grammar").debug("schemas.unenforced", reason=err.message)
            return self._checked(prepared, replace(constraint, source=looser))._replace(is_loose=True)

    def _checked(self, prepared: Prepared, constraint: Constraint) -> Compiled:
        size_bytes = len(constraint.source.encode())
        if size_bytes > self.config.max_source_bytes:
            raise BadRequest(
                f"the {constraint.kind} constraint is {size_bytes} bytes long, "
                f"at most {self.config.max_source_bytes} are accepted"
            )
        if constraint.kind == "lark" and has_tags(constraint.source):
            constraint = replace(constraint, source=prepared.tags.expand(constraint.source))
        return self._within_time(lambda: _compile(prepared.tokenizer, constraint))

    def _prepare(self, vocabulary: "TokenTexts") -> Prepared:
        from corral_grammar.vocabulary import make_tokenizer

        with self._lock:
            if self._prepared is None or self._prepared.texts is not vocabulary:
                cache: ByteCache[Compiled] = ByteCache(self.config.cache_bytes)
                self._prepared = Prepared(vocabulary, make_tokenizer(vocabulary), cache, Tags(vocabulary))
            return self._prepared

    def _within_time(self, work: "Callable[[], Compiled]") -> Compiled:
        """Do it on a thread with a deep stack.  One that takes too long ends by the library's own limits, unheard."""
        results: list[Compiled | Exception] = []

        def run() -> None:
            try:
                results.append(work())
            except Exception as err:
                results.append(err)
            finally:
                self._running.release()
                _threads.discard(thread)

        thread = threading.Thread(target=run, name="grammar compiler", daemon=True)
        if not self._running.acquire(timeout=self.config.compile_s):
            raise BadRequest("other constraints are being compiled and take long; try again")
        _threads.add(thread)
        _start_with_stack(thread)
        thread.join(self.config.compile_s)
        if not results:
            raise BadRequest(f"the constraint takes more than {self.config.compile_s:g} s to compile: make it simpler")
        if isinstance(results[0], Exception):
            raise results[0]
        return results[0]


_threads: set[threading.Thread] = set()  # those that compile now


@atexit.register
def wait_for_compilations(seconds: float = _EXIT_S) -> None:
    """An interpreter must not go from under a thread that is inside the library."""
    end = time.monotonic() + seconds
    for thread in list(_threads):
        thread.join(max(0.0, end - time.monotonic()))


_stack_size = threading.Lock()


def _start_with_stack(thread: threading.Thread) -> None:
    """The size is a setting of the process: change it for this one start only."""
    with _stack_size:
        before = threading.stack_size(_STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(before)


def _compile(tokenizer: "LLTokenizer", constraint: Constraint) -> Compiled:
    from llguidance import LLMatcher

    from corral_grammar.state import Work, summary

    began = time.thread_time()
    grammar = GRAMMARS[constraint.kind](constraint.source)
    matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=LIMITS)
    problem = matcher.get_error()
    if not problem:
        first = matcher.deep_copy()
        n_allowed = int.from_bytes(first.compute_bitmask(), "little").bit_count()
        problem = first.get_error() or ("" if n_allowed else "nothing matches it")
        is_empty = n_allowed == 1 and matcher.is_accepting()  # an end is all that may come
        if not problem and is_empty and constraint.kind in ("gbnf", "lark"):
            problem = "nothing but the empty text matches it"
    if not problem:
        return Compiled(matcher, Work(time.thread_time() - began))
    if problem.startswith("NoExtension"):
        problem = "nothing matches it"
    problem = summary(problem)
    if constraint.kind == "json_schema":
        raise BadRequest(refusal(msgspec.json.decode(constraint.source), problem))
    inside = refusal_inside(constraint.source) if constraint.kind == "lark" else ""
    raise BadRequest(inside or f"invalid {constraint.kind} constraint: {problem}")
