"""What a template's text reveals: the variables it uses, the tags it writes around thinking and tool calls."""

from collections.abc import Iterator, Sequence

from corral_templates.go.nodes import (
    Action,
    Branch,
    Field,
    Invoke,
    Jump,
    Node,
    Pipe,
    Text,
    Tree,
    Variable,
    mentions,
    walk,
)


def identifiers(tree: Tree) -> frozenset[str]:
    """Every name in a field chain or after a variable, lower-cased; `(…).Field` chains are not looked into."""
    found: set[str] = set()
    for nodes in (tree.nodes, *tree.definitions.values()):
        for node in walk(nodes):
            if isinstance(node, Action | Branch | Invoke):
                found.update(name.lower() for name in _names(node.pipe))
    return frozenset(found)


def _names(pipe: Pipe) -> Iterator[str]:
    for command in pipe.commands:
        for argument in command.arguments:
            if isinstance(argument, Field):
                yield from argument.names
            elif isinstance(argument, Variable):
                yield from argument.fields
            elif isinstance(argument, Pipe):
                yield from _names(argument)


def tool_tag(tree: Tree) -> str:
    """The text that begins a tool call: the first literal inside the first `if .ToolCalls`, up to its `{`.

    "{" when a call begins with its JSON, or when the template writes none.
    """
    for node in walk(tree.nodes):
        if isinstance(node, Branch) and node.keyword == "if" and mentions(node.pipe, "ToolCalls"):
            return _first_text(node.body).replace("\r\n", "\n").split("{")[0].strip() or "{"
    return "{"


def _first_text(nodes: Sequence[Node]) -> str:
    """The first text that is not blank, unless a value is printed before it."""
    for node in walk(tuple(nodes)):
        if isinstance(node, Text) and node.text.strip():
            return node.text
        if isinstance(node, Action) and not node.pipe.variables:
            break
    return ""


def think_tags(tree: Tree) -> tuple[str, str] | None:
    """The texts around `.Thinking` in the loop over `.Messages`; None unless there are both."""
    opening = closing = ""
    for siblings in _around_thinking(tree.nodes, in_messages=False):
        first, last = siblings[0], siblings[-1]
        if isinstance(first, Text):
            opening = first.text.strip()
        if isinstance(last, Text):
            closing = last.text.strip()
    return (opening, closing) if opening and closing else None


def _around_thinking(nodes: tuple[Node, ...], *, in_messages: bool) -> Iterator[tuple[Node, ...]]:
    """For each use of `.Thinking` whose nearest loop is over `.Messages`: the list of nodes it stands in."""
    for node in nodes:
        if isinstance(node, Text | Jump):
            continue
        if in_messages and mentions(node.pipe, "Thinking"):
            yield nodes
        if isinstance(node, Branch):
            inside = mentions(node.pipe, "Messages") if node.keyword == "range" else in_messages
            yield from _around_thinking(node.body, in_messages=inside)
            yield from _around_thinking(node.orelse, in_messages=in_messages)
