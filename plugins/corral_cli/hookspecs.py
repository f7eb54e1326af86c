"""The hooks this plugin owns: the grammar of the command line, and what `corral doctor` looks at."""

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from corral import JSONObject, hookspec
from corral.types import Value

if TYPE_CHECKING:
    from corral.kernel import Kernel


class Finding(Value, frozen=True):
    """One fact about the machine or the installation.  `advice` is what to do when all is not well; `values` the same
    fact for programs."""

    fact: str
    state: Literal["ok", "warning", "broken"] = "ok"
    advice: str = ""
    values: JSONObject = {}


class Check(Protocol):
    """Looks at one thing; `name` is what stands before its findings.  Raises CorralError when it cannot even look."""

    name: str

    async def examine(self, kernel: "Kernel") -> Sequence[Finding]: ...


class Hooks(Protocol):
    """See plugins/README.md.  Implement `corral_checks` with `optionalhook=True`: the command line may be disabled."""

    @hookspec(firstresult=True)
    def corral_command_parser(self) -> type[argparse.ArgumentParser] | None:
        """The class that parses the command line; its `error` raises CorralError.

        Asked once, before the commands describe their arguments.  Without an answer plain argparse is used.
        """

    @hookspec
    def corral_checks(self) -> Iterable[Check]:
        """What `corral doctor` examines, in the order of the plugins.  The kernel is live while checks run."""
