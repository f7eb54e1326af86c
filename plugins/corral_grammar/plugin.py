"""What the plugin offers: one compiler for every kind of constraint."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from corral import Settings, hookimpl

if TYPE_CHECKING:
    from corral_engine.constraints import ConstraintCompiler


class GrammarConfig(Settings, frozen=True):
    """Limits of what a client may ask for.  `cache_bytes` is what compiled grammars may keep; 0 keeps none."""

    max_source_bytes: int = 256 << 10
    compile_s: float = 5.0
    cache_bytes: int = 64 << 20


class Plugin:
    """See the package."""

    Config = GrammarConfig

    def __init__(self, config: GrammarConfig) -> None:
        self.config = config

    @hookimpl(optionalhook=True)  # without the engine nobody asks
    def corral_engine_constraints(self) -> "Iterable[ConstraintCompiler]":
        """A new compiler for each model that is opened: its cache goes when the model goes."""
        from corral_grammar.compiler import GrammarCompiler

        return [GrammarCompiler(self.config)]
