"""Constraints that a plugin supplies: asked, masked, told, forced."""

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace

from conftest import Bench, MakeBench
from corral import Constraint, CorralError, Job, Options, Unsupported
from corral_engine.constraints import TokenTexts
from corral_engine.program import Float32

GREEDY = Options(temperature=0.0)


class Spell:
    """A constraint that allows one text and nothing else; the source holds the token ids."""

    kinds = frozenset({"spell"})

    def __init__(self, wanted: Sequence[int] = (), force: bool = False) -> None:
        self.wanted, self.force, self.at = list(wanted), force, 0

    def compile(self, constraint: Constraint, vocabulary: TokenTexts) -> "Spell":
        assert len(vocabulary.token_bytes) == 256
        assert vocabulary.token_bytes[68] == b"A"
        return Spell([int(word) for word in constraint.source.split()], self.force)

    def allows(self, token_id: int) -> bool:
        return self.at < len(self.wanted) and token_id == self.wanted[self.at]

    def count_valid(self, token_ids: Sequence[int]) -> int:
        wanted = self.wanted[self.at :]
        return next((n for n, token in enumerate(token_ids) if wanted[n : n + 1] != [token]), len(token_ids))

    def mask(self, logits: Float32) -> None:
        allowed = self.wanted[self.at : self.at + 1]
        kept = logits[allowed].copy()
        logits[:] = -np.inf
        logits[allowed] = kept

    def accept(self, token_id: int) -> None:
        assert self.allows(token_id)
        self.at += 1

    def forced_tokens(self) -> Sequence[int]:
        return self.wanted[self.at :] if self.force else ()

    @property
    def may_end(self) -> bool:
        return self.is_finished

    @property
    def is_finished(self) -> bool:
        return self.at == len(self.wanted)


def constrained(bench: Bench, *, force: bool = False) -> Bench:
    bench.model.compilers = (Spell(force=force),)
    return bench


SPELL = Constraint(kind="spell", source="70 80 90 100 110 120")


@pytest.mark.parametrize("options", [GREEDY, Options(seed=1), Options(seed=2, mirostat=2)])
@pytest.mark.parametrize("force", [False, True])
def test_the_text_is_what_the_constraint_allows(bench: MakeBench, options: Options, force: bool) -> None:
    made = constrained(bench(), force=force)
    (outbox,) = made.run(Job(token_ids=(3, 4), options=options, constraint=SPELL, max_tokens=50))
    assert outbox.tokens == [70, 80, 90, 100, 110, 120]
    assert outbox.end.reason == "stop"


def test_forced_tokens_need_fewer_steps(bench: MakeBench) -> None:
    made = constrained(bench(), force=True)
    made.submit(Job(token_ids=(3, 4), options=GREEDY, constraint=SPELL, n_logprobs=0))
    steps = 0
    while made.scheduler.step():
        steps += 1
    assert steps == 2


def test_a_constraint_may_begin_after_some_text(bench: MakeBench) -> None:
    made = constrained(bench())
    options = Options(temperature=0.0, logit_bias={68: 100.0})  # writes "A" for ever
    job = Job(token_ids=(3, 4), options=options, constraint=SPELL, constraint_after="AAA", max_tokens=50)
    (outbox,) = made.run(job)
    assert outbox.tokens == [68, 68, 68, 70, 80, 90, 100, 110, 120]


def test_a_dead_end_fails_the_request_alone(bench: MakeBench) -> None:
    made = constrained(bench())
    impossible = Job(token_ids=(3,), options=GREEDY, constraint=Constraint(kind="spell", source="70 80"))
    sequence, outbox = made.submit(impossible)
    assert sequence.constraint is not None
    sequence.constraint.state.wanted[1] = 10**6  # type: ignore[attr-defined]
    sequence.constraint.state.mask = lambda logits: logits.fill(-np.inf)  # type: ignore[method-assign]
    (other,) = made.run(Job(token_ids=(3, 4), options=GREEDY, max_tokens=3))
    assert isinstance(outbox.items[-1], CorralError)
    assert len(other.tokens) == 3
    assert made.is_clean


def test_an_unknown_kind_is_unsupported(bench: MakeBench) -> None:
    with pytest.raises(Unsupported, match="'regex'"):
        bench().submit(Job(token_ids=(3,), constraint=Constraint(kind="regex", source="a")))


def test_what_nobody_asked_for_is_left_out_where_it_cannot_be_compiled(bench: MakeBench) -> None:
    job = Job(token_ids=(3, 4), options=GREEDY, max_tokens=5)
    free, held = bench().run(job, replace(job, constraint=Constraint(kind="spell?", source="70 80 90")))
    assert held.tokens == free.tokens
    (held,) = constrained(bench()).run(replace(job, constraint=Constraint(kind="spell?", source="70 80 90")))
    assert held.tokens == [70, 80, 90]
