"""The parsed template: a tree of frozen nodes, and a walk over it in document order."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Dot:
    """`.`, the current value."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: bool, int, float, string or (`nil`) None."""

    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Field:
    """`.A.B`: fields of the current value."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """`$x.A.B`; `$` alone is the root."""

    name: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """The name of a function, first in its command."""

    name: str


@dataclass(frozen=True, slots=True)
class Chain:
    """`(…).A.B`: fields of a parenthesised value."""

    operand: "Operand"
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """A function or a value, and its arguments."""

    arguments: tuple["Operand", ...]


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands joined by `|`, and the variables that take the result.  `assigns`: they exist already."""

    commands: tuple[Command, ...]
    variables: tuple[str, ...] = ()
    assigns: bool = False


Operand = Dot | Literal | Field | Variable | Function | Chain | Pipe


@dataclass(frozen=True, slots=True)
class Text:
    """Literal output."""

    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A pipeline whose value is printed, unless it declares or assigns."""

    pipe: Pipe
    line: int = 0


@dataclass(frozen=True, slots=True)
class Branch:
    """`if`, `with` or `range`, by `keyword`."""

    keyword: str
    pipe: Pipe
    body: tuple["Node", ...]
    orelse: tuple["Node", ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Invoke:
    """`{{template "name" pipeline}}`."""

    name: str
    pipe: Pipe
    line: int = 0


@dataclass(frozen=True, slots=True)
class Jump:
    """`break` or `continue`."""

    keyword: str


Node = Text | Action | Branch | Invoke | Jump


@dataclass(frozen=True, slots=True)
class Tree:
    """A template: its own nodes and the ones it defines by name."""

    nodes: tuple[Node, ...]
    definitions: dict[str, tuple[Node, ...]] = field(default_factory=dict)


def operands(pipe: Pipe) -> Iterator[Operand]:
    """Every operand of a pipeline, those in parentheses included, in the order they are written."""
    for command in pipe.commands:
        for argument in command.arguments:
            yield argument
            inner = argument.operand if isinstance(argument, Chain) else argument
            if isinstance(inner, Pipe):
                yield from operands(inner)


def mentions(pipe: Pipe, name: str) -> bool:
    """Whether a pipeline reads a field called `name` of anything."""
    for operand in operands(pipe):
        fields = operand.names if isinstance(operand, Field) else getattr(operand, "fields", ())
        if name in fields:
            return True
    return False


def walk(nodes: tuple[Node, ...]) -> Iterator[Node]:
    """Every node in document order, blocks before what is inside them."""
    for node in nodes:
        yield node
        if isinstance(node, Branch):
            yield from walk(node.body)
            yield from walk(node.orelse)
