"""Hooks that the engine offers to other plugins."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from corral import hookspec

if TYPE_CHECKING:
    from corral_engine.architecture import Architecture
    from corral_engine.constraints import ConstraintCompiler


class EngineHooks:
    """Asked when a model is opened, on a worker thread; order means nothing, a name offered later wins."""

    @hookspec
    def corral_engine_architectures(self) -> Iterable["Architecture"]:
        """Further model families, as `corral_engine.architecture.Architecture` descriptions."""
        raise NotImplementedError

    @hookspec
    def corral_engine_constraints(self) -> Iterable["ConstraintCompiler"]:
        """Compilers of constraints on the output, as `corral_engine.constraints.ConstraintCompiler`."""
        raise NotImplementedError
