"""Constrained decoding: what a plugin that knows grammars supplies.

A plugin offers compilers through the hook `corral_engine_constraints`.  A compiled constraint belongs to one
sequence: it is asked whether a sampled token fits, for a mask when it does not, and is told each accepted token.
Where in an answer it is in force is `corral_engine.answer`'s affair.  A constraint of a kind that ends in "?" is left
out where it cannot be compiled.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

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

    def spelling(self, token_id: int) -> bytes:
        """What a token is called: its text, also of a control token."""
        ...

    @property
    def encodes(self) -> bool:
        """Whether `encode` knows the model's own tokenizer."""
        ...

    def encode(self, text: str) -> Sequence[int]:
        """The tokens the model's own tokenizer would write `text` with; () when it is not known."""
        ...


class ConstraintState(Protocol):
    """The constraint of one sequence, at one point of its text."""

    def allows(self, token_id: int) -> bool:
        """Whether the token may come next."""
        ...

    def count_valid(self, token_ids: Sequence[int]) -> int:
        """How many of the tokens, from the first, may come one after the other."""
        ...

    def mask(self, logits: Float32) -> None:
        """Set the logits (V,) of all tokens that may not come next to -inf."""
        ...

    def accept(self, token_id: int) -> None:
        """Go on behind an allowed token."""
        ...

    def forced_tokens(self) -> Sequence[int]:
        """Tokens that must come next whatever the model thinks; () when there is a choice.

        They are not sampled.  What is left of them after some were accepted must still be forced.
        """
        ...

    @property
    def may_end(self) -> bool:
        """Whether the text so far is a whole answer."""
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
