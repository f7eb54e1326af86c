"""Where in what a model generates its constraint is in force: on the answer, not on the thinking before it."""

from collections.abc import Iterable, Sequence
from enum import Enum, auto

import numpy as np
from msgspec.structs import replace

from corral import BadRequest, Constraint, Job, Unsupported
from corral.log import get_logger
from corral_engine.constraints import ConstraintCompiler, ConstraintState, TokenTexts, compiler_for
from corral_engine.program import Float32
from corral_engine.thinking import ThinkingLimit
from corral_engine.vocabulary import Vocabulary

_MAX_BLANKS = 4  # tokens of white space before thinking, or between it and the answer


class _Part(Enum):
    BEGINNING = auto()  # thinking may begin, or the answer at once
    THINKING = auto()
    GAP = auto()  # white space between thinking and the answer, which is neither
    ANSWER = auto()


class Free:
    """A constraint that allows everything: thinking has a limit, and the answer none."""

    may_end, is_finished = True, False

    def allows(self, token_id: int) -> bool:
        return True

    def count_valid(self, token_ids: Sequence[int]) -> int:
        return len(token_ids)

    def mask(self, logits: Float32) -> None:
        """Nothing is refused."""

    def accept(self, token_id: int) -> None:
        """Nothing is remembered."""

    def forced_tokens(self) -> Sequence[int]:
        return ()


class ActiveConstraint:
    """The constraint of one sequence.

    With `begins_after` (what ends thinking) it is in force behind that text.  Thinking has begun, unless
    `thinking_opens` says what would begin it: then the model may do so or answer at once.  `must_answer`: it may not
    end while it thinks.  `eog_ids` are tokens that end the generation besides those of the vocabulary.  `limit` ends
    thinking that takes too long.
    """

    def __init__(
        self,
        state: ConstraintState,
        begins_after: str,
        texts: TokenTexts,
        *,
        thinking_opens: str = "",
        must_answer: bool = False,
        eog_ids: Sequence[int] = (),
        limit: ThinkingLimit | None = None,
    ) -> None:
        self.state, self.texts, self._limit = state, texts, limit
        self._ends = texts.eog_ids.union(eog_ids)
        self._opening, self._closing = thinking_opens.strip().encode(), begins_after.encode()
        self._must_answer = must_answer
        self._seen = b""  # what decides about the part: the beginning, or the end of the thinking
        self._held: list[int] = []  # tokens that begin the opening tag, or an answer that looks like it
        self._n_blanks = 0
        self._part = _Part.ANSWER
        if self._closing:
            self._part = _Part.BEGINNING if self._opening else _Part.THINKING

    @property
    def is_finished(self) -> bool:
        return self._part is _Part.ANSWER and self.state.is_finished

    def allows(self, token_id: int) -> bool:
        match self._part:
            case _Part.BEGINNING:
                return self._may_open(token_id) or self._may_answer(token_id)
            case _Part.THINKING:
                return self._may_think(token_id)
            case _Part.GAP:
                return self._is_blank(token_id) or self._fits(token_id)
            case _Part.ANSWER:
                return self._fits(token_id)

    def count_valid(self, token_ids: Sequence[int]) -> int:
        """How many of the guessed tokens are worth evaluating."""
        left = self._limit.n_left if self._limit is not None else None
        token_ids = token_ids[:left]
        return self.state.count_valid(token_ids) if self._part is _Part.ANSWER else len(token_ids)

    def masked(self, logits: Float32) -> Float32:
        """A copy of `logits` with only what is allowed.

        At the beginning that is the answer: a model that wanted to think would have begun to, for that was allowed.
        While it thinks only an end is ever refused (or one that is not clean): then thinking ends instead.
        """
        copy = np.array(logits, dtype=np.float32)
        every = range(min(len(copy), len(self.texts.token_bytes)))
        if self._part is _Part.THINKING:
            rest = self._rest_of_closing()
            closes = [token_id for token_id in every if self._closes(self.texts.spelling(token_id), rest)]
            copy[:] = -np.inf
            copy[closes] = logits[closes]
            return copy
        if self._part is _Part.BEGINNING and self._seen.strip():
            copy[[token_id for token_id in every if not self._may_open(token_id)]] = -np.inf
            return copy
        self._mask(copy, logits)
        return copy

    def accept(self, token_id: int) -> None:
        if self._limit is not None:
            self._limit.accept(token_id)
        match self._part:
            case _Part.BEGINNING if self._may_open(token_id):
                self._begin(token_id, self.texts.spelling(token_id))
            case _Part.THINKING:
                self._think(self.texts.spelling(token_id))
            case _Part.GAP if self._is_blank(token_id):
                self._n_blanks += 1
            case _:
                self._part = _Part.ANSWER
                for each in (*self._held, token_id):
                    self.state.accept(each)
                self._held = []

    def forced_tokens(self) -> Sequence[int]:
        """See `ConstraintState`."""
        if self._limit is not None and (closing := self._limit.forced_tokens()):
            return closing
        return self.state.forced_tokens() if self._part is _Part.ANSWER else ()

    def _fits(self, token_id: int) -> bool:
        return self.state.may_end if token_id in self._ends else self.state.allows(token_id)

    def _mask(self, copy: Float32, logits: Float32) -> None:
        self.state.mask(copy)
        if self.state.may_end:
            ends = [token_id for token_id in self._ends if token_id < len(copy)]
            copy[ends] = logits[ends]

    # --- the parts ------------------------------------------------------------------------------------------------

    def _may_open(self, token_id: int) -> bool:
        """Whether the text so far and this token are white space or a beginning of the opening tag."""
        if self._is_end(token_id):
            return False
        text = (self._seen + self.texts.spelling(token_id)).lstrip()
        if not text:
            return self._n_blanks < _MAX_BLANKS
        return self._opening.startswith(text) or text.startswith(self._opening)

    def _may_answer(self, token_id: int) -> bool:
        """Whether the answer may have begun: with this token, or with those that looked like the opening tag."""
        if not self._held:
            return self._fits(token_id)
        return not self._is_end(token_id) and self.state.count_valid([*self._held, token_id]) > len(self._held)

    def _may_think(self, token_id: int) -> bool:
        """A token may not hold the end of thinking and the beginning of the answer, for only tokens are checked."""
        if self._is_end(token_id):
            return not self._must_answer
        _, closed, rest = (self._seen + self.texts.spelling(token_id)).partition(self._closing)
        return not closed or not rest.strip()

    def _rest_of_closing(self) -> bytes:
        """What is still to come of the closing tag."""
        begun = (size for size in range(len(self._closing) - 1, 0, -1) if self._seen.endswith(self._closing[:size]))
        return self._closing[next(begun, 0) :]

    def _closes(self, text: bytes, rest: bytes) -> bool:
        return bool(text) and (rest.startswith(text) or (text.startswith(rest) and not text[len(rest) :].strip()))

    def _is_blank(self, token_id: int) -> bool:
        text = self.texts.token_bytes[token_id]
        return bool(text) and not text.strip() and self._n_blanks < _MAX_BLANKS

    def _is_end(self, token_id: int) -> bool:
        return token_id in self._ends

    def _begin(self, token_id: int, text: bytes) -> None:
        self._seen += text
        start = self._seen.lstrip()
        self._n_blanks += not start
        if start:
            self._held.append(token_id)
        if start.startswith(self._opening):
            self._part, self._seen, self._held = _Part.THINKING, b"", []
            self._think(start[len(self._opening) :])

    def _think(self, text: bytes) -> None:
        self._seen += text
        if self._closing in self._seen:
            self._part, self._n_blanks = _Part.GAP, 0
        keep = len(self._closing) - 1
        self._seen = self._seen[-keep:] if keep else b""


def _state(
    constraint: Constraint, compilers: Iterable[ConstraintCompiler], vocabulary: Vocabulary
) -> ConstraintState | None:
    """None for a constraint that nobody asked for (of a kind that ends in "?") and that cannot be compiled."""
    wanted = replace(constraint, kind=constraint.kind.removesuffix("?"))
    try:
        return compiler_for(wanted, compilers).compile(wanted, vocabulary)
    except (BadRequest, Unsupported) as err:
        if wanted == constraint:
            raise
        get_logger("engine").debug("constraint.left_out", reason=err.message)
        return None


def constraint_of(job: Job, compilers: Iterable[ConstraintCompiler], vocabulary: Vocabulary) -> ActiveConstraint | None:
    """What a job's answer is held to; None when it is free.  May compile a grammar.  Raises BadRequest, Unsupported."""
    limit = ThinkingLimit(job.thinking_limit, vocabulary) if job.thinking_limit is not None else None
    state = _state(job.constraint, compilers, vocabulary) if job.constraint is not None else None
    if state is None:
        return ActiveConstraint(Free(), "", vocabulary, limit=limit) if limit is not None else None
    return ActiveConstraint(
        state,
        job.constraint_after,
        vocabulary,
        thinking_opens=job.thinking_opens,
        must_answer=job.must_answer,
        eog_ids=job.eog_ids,
        limit=limit,
    )
