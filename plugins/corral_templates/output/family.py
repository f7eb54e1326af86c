"""What an output family is, and the hook by which other plugins add theirs."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from corral import OutputParser, Tool, Value, hookspec


class Answer(NamedTuple):
    """The answer to be read: the tools that may be called, and the prompt it continues."""

    tools: tuple[Tool, ...]
    prompt: str


class OutputFamily(Value, frozen=True):
    """How a family of models writes thinking and tool calls.

    `names`: its own first, then the other parser names it stands for.  `implied_by(template text)`: whether a template
    makes models answer so.  `parser` reads what is left when thinking has been split off by `think_tags` (None: the
    template reveals them).  `reads_thinking`: the parser does that itself.  `always`: it reads answers without tools
    too.
    """

    names: tuple[str, ...]
    implied_by: Callable[[str], bool]
    parser: Callable[[Answer], OutputParser]
    think_tags: tuple[str, str] | None = None
    reads_thinking: bool = False
    always: bool = False


class OutputHooks:
    """The hook this plugin offers to others."""

    @hookspec
    def corral_output_parsers(self) -> Iterable[OutputFamily]:
        """Families of models whose answers are written in a way of their own.

        Called once, when serving begins.  The first family that is implied by a template's text reads its answers;
        third parties are asked before built-ins.
        """
        raise NotImplementedError
