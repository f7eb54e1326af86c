"""The hook this plugin owns: the grammar of the command line."""

import argparse
from typing import Protocol

from corral import hookspec


class Hooks(Protocol):
    """See plugins/README.md."""

    @hookspec(firstresult=True)
    def corral_command_parser(self) -> type[argparse.ArgumentParser] | None:
        """The class that parses the command line; its `error` raises CorralError.

        Asked once, before the commands describe their arguments.  Without an answer plain argparse is used.
        """
