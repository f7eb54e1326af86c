"""Constrained decoding: what a plugin that knows grammars supplies, and how a sequence uses it.

A plugin offers compilers through the hook `corral_engine_constraints`.  A compiled constraint belongs to one
sequence: it is asked whether a sampled token fits, for a mask when it does not, and is told each accepted token.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from corral import Constraint, Unsupported
from corral_engine.program import Float32


class TokenTexts(Protocol):
    """The vocabulary as a constraint sees it."""

    @property
    def token_bytes(self) -> Sequence[bytes]:
        """What each token writes; b"" for control tokens."""
        ...

    @property
    def eog_ids(self) -> frozenset[int]:
        """Tokens that end a generation; allowed exactly when the constraint may end."""
        ...


class ConstraintState(Protocol):
    """The constraint of one sequence, at one point of its text."""

    def allows(self, token_id: int) -> bool:
        """Whether the token may come next."""
        ...

    def mask(self, logits: Float32) -> None:
        """Set the logits (V,) of all tokens that may not come next to -inf."""
        ...

    def accept(self, token_id: int) -> None:
        """Go on behind an allowed token."""
        ...

    def forced_tokens(self) -> Sequence[int]:
        """Tokens that must come next whatever the model thinks; () when there is a choice."""
        ...

    @property
    def is_finished(self) -> bool:
        """Whether nothing but an end-of-generation token may follow."""
        ...


class ConstraintCompiler(Protocol):
    """Compiles constraints; `kinds` are the values of `Constraint.kind` it knows."""

    @property
    def kinds(self) -> frozenset[str]: ...

    def compile(self, constraint: Constraint, vocabulary: TokenTexts) -> ConstraintState:
        """Raises BadRequest with the place of a mistake.  Called off the event loop; may take a second."""
        ...


def compiler_for(constraint: Constraint, compilers: Iterable[ConstraintCompiler]) -> ConstraintCompiler:
    """Raises Unsupported when no compiler knows the kind."""
    for compiler in compilers:
        if constraint.kind in compiler.kinds:
            return compiler
    raise Unsupported(
        f"constrained output of kind {constraint.kind!r} needs a grammar plugin, and none that is enabled offers it"
    )


class ActiveConstraint:
    """A constraint that begins after some text (the end of thinking) was generated."""

    def __init__(self, state: ConstraintState, begins_after: str, texts: TokenTexts) -> None:
        self.state, self.texts = state, texts
        self._awaited = begins_after.encode()
        self._tail = b""

    @property
    def is_active(self) -> bool:
        return not self._awaited

    @property
    def is_finished(self) -> bool:
        return self.is_active and self.state.is_finished

    def allows(self, token_id: int) -> bool:
        return not self.is_active or self.state.allows(token_id)

    def masked(self, logits: Float32) -> Float32:
        """A copy of `logits` with only what is allowed."""
        copy = np.array(logits, dtype=np.float32)
        self.state.mask(copy)
        return copy

    def accept(self, token_id: int) -> None:
        if self.is_active:
            self.state.accept(token_id)
            return
        self._tail = (self._tail + self.texts.token_bytes[token_id])[-4 * len(self._awaited) - 256 :]
        if self._awaited in self._tail:
            self._awaited = b""

    def forced_tokens(self) -> Sequence[int]:
        return self.state.forced_tokens() if self.is_active else ()
