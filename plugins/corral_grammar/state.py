"""Where one sequence stands in its grammar."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llguidance import LLMatcher

from corral import BadRequest, CorralError
from corral.log import get_logger


@dataclass
class Work:
    """How long the library has built states of one grammar, for all sequences that follow it."""

    seconds: float = 0.0


class GrammarState:
    """`corral_engine.constraints.ConstraintState` on a matcher of its own.

    Checking a token takes microseconds, a mask tens to hundreds of them, so masks are made only when a sampled token
    does not fit.
    """

    def __init__(
        self, matcher: LLMatcher, eog_ids: frozenset[int], *, forces: bool, work: Work, is_loose: bool = False
    ) -> None:
        """`forces`: the model's tokenizer is known, so forced text can be written the way it would write it.

        `is_loose`: one that becomes too complex to follow is let go, for nobody asked for it.
        """
        self._matcher, self._eog_ids, self._forces = matcher, eog_ids, forces
        self._work = work
        self._is_loose, self._is_free = is_loose, False
        self._forced: list[int] | None = None

    def allows(self, token_id: int) -> bool:
        if token_id in self._eog_ids:
            return self.may_end
        if self._is_free:
            return True
        return self.count_valid([token_id]) == 1

    def count_valid(self, token_ids: Sequence[int]) -> int:
        """How many of the tokens, from the first, may come one after the other."""
        if self._is_free:
            return len(token_ids)
        began = time.perf_counter()
        n_valid = int(self._matcher.validate_tokens(list(token_ids)))
        self._work.seconds += time.perf_counter() - began
        return n_valid

    def mask(self, logits: Any) -> None:
        if self._is_free:
            return
        began = time.perf_counter()
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._work.seconds += time.perf_counter() - began
        self._check()
        if self._is_free:
            return
        allowed = np.unpackbits(bits, count=min(len(logits), 8 * len(bits)), bitorder="little")
        logits[: len(allowed)][allowed == 0] = -np.inf
        logits[len(allowed) :] = -np.inf

    def accept(self, token_id: int) -> None:
        forced = self._forced
        self._forced = forced[1:] if forced and forced[0] == token_id and len(forced) > 1 else None
        if self._is_free or self._matcher.consume_token(token_id):
            return
        self._check()
        if not self._is_free:
            raise CorralError(f"token {token_id} does not fit the required format")

    def forced_tokens(self) -> Sequence[int]:
        """The text that must come next, as far as its tokens do not depend on what follows it."""
        if not self._forces or self._is_free:
            return ()
        if self._forced is None:
            self._forced = [] if self._matcher.is_stopped() else list(self._matcher.compute_ff_tokens())
            self._check()
        return self._forced or ()

    @property
    def may_end(self) -> bool:
        return self._is_free or bool(self._matcher.is_accepting())

    @property
    def is_finished(self) -> bool:
        self._check()
        return not self._is_free and bool(self._matcher.is_stopped())

    def _check(self) -> None:
        """Raises BadRequest: what a grammar takes shows only as it is followed, and the client sent it."""
        if self._is_free or not self._matcher.is_error():
            return
        if self._is_loose:
            get_logger("grammar").debug("constraint.released", reason=summary(self._matcher.get_error()))
            self._is_free, self._forced = True, None
        else:
            raise BadRequest(f"the required format became too complex to follow: {summary(self._matcher.get_error())}")


def summary(message: str) -> str:
    """An error of the library without its stack, its state and the source it quotes."""
    lines = [line.strip() for line in message.splitlines()]
    errors = [line for line in lines if line.startswith("error: ")]
    return ": ".join([*lines[:1], *errors[:1]])[:300]
