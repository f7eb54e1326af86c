"""Fixtures: the vocabulary, and constraints compiled for it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from corral import Constraint
from corral_grammar.compiler import GrammarCompiler
from corral_grammar.plugin import GrammarConfig
from corral_grammar.state import GrammarState

sys.path.append(str(Path(__file__).parent))

from byte_texts import Bytes

Compile = Callable[..., GrammarState]


@pytest.fixture
def texts() -> Bytes:
    return Bytes()


@pytest.fixture
def build(texts: Bytes) -> Compile:
    """`build("regex", "a+")`, with `GrammarConfig`'s fields by name."""

    def compile_one(kind: str, source: str = "", **config: object) -> GrammarState:
        return GrammarCompiler(GrammarConfig(**config)).compile(Constraint(kind=kind, source=source), texts)  # type: ignore[arg-type]

    return compile_one
