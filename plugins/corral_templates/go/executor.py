"""Runs a parsed template over data, with Go's scoping, and with bounds on steps, output and depth."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from corral import BadRequest
from corral_templates.go.functions import FUNCTIONS, SHORT_CIRCUIT, ExecutionError
from corral_templates.go.lexer import template_error
from corral_templates.go.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Field,
    Function,
    Invoke,
    Jump,
    Literal,
    Node,
    Operand,
    Pipe,
    Text,
    Tree,
    Variable,
)
from corral_templates.go.printing import action_text, text
from corral_templates.go.values import MISSING, PRINTS_JSON, GoValue, Struct, is_true, type_name

_NONE = object()  # no value was piped in


class _Break(Exception):
    """`{{break}}`."""


class _Continue(Exception):
    """`{{continue}}`."""


class Limits:
    """Bounds on one rendering: steps taken, characters made (printed, or returned by functions).

    Raises BadRequest when one is passed.
    """

    def __init__(self, steps: int, output_chars: int) -> None:
        self.steps, self.output_chars = steps, output_chars

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise BadRequest("template error: the template runs too long; it has a loop without a sensible end")

    def wrote(self, chars: int) -> None:
        self.output_chars -= chars
        if self.output_chars < 0:
            raise BadRequest("template error: the rendered prompt is too large")


def execute(tree: Tree, data: Mapping[str, GoValue], limits: Limits) -> str:
    """The text of `tree` over the root map `data`.  Raises BadRequest for what Go calls an execution error."""
    run = _Run(tree.definitions, limits)
    try:
        run.nodes(tree.nodes, data, [("$", data)])
    except RecursionError as err:
        raise template_error(run.line, "exceeded maximum template depth") from err
    except ExecutionError as err:
        raise template_error(run.line, f"executing: {err}") from err
    return "".join(run.output)


class _Run:
    """One execution: the output so far and the line being run."""

    def __init__(self, definitions: Mapping[str, tuple[Node, ...]], limits: Limits) -> None:
        self.definitions, self.limits = definitions, limits
        self.output: list[str] = []
        self.line = 1

    def write(self, written: str) -> None:
        self.limits.wrote(len(written))
        self.output.append(written)

    # --- nodes: `scope` is the stack of variables, the innermost last ----------------------------------------------

    def nodes(self, nodes: Sequence[Node], dot: GoValue, scope: list[tuple[str, GoValue]]) -> None:
        outer = len(scope)
        for node in nodes:
            self.limits.step()
            match node:
                case Text():
                    self.write(node.text)
                case Action():
                    self.line = node.line
                    value = self.pipe(node.pipe, dot, scope)
                    if not node.pipe.variables:
                        self.write(action_text(value))
                case Branch():
                    self.line = node.line
                    self.branch(node, dot, scope)
                case Invoke():
                    self.line = node.line
                    self.invoke(node, dot, scope)
                case Jump():
                    raise _Break if node.keyword == "break" else _Continue
        del scope[outer:]

    def branch(self, node: Branch, dot: GoValue, scope: list[tuple[str, GoValue]]) -> None:
        outer = len(scope)
        if node.keyword == "range":
            self.range(node, dot, scope)
        else:
            value = self.pipe(node.pipe, dot, scope)
            if is_true(value):
                self.nodes(node.body, value if node.keyword == "with" else dot, scope)
            else:
                self.nodes(node.orelse, dot, scope)
        del scope[outer:]

    def range(self, node: Branch, dot: GoValue, scope: list[tuple[str, GoValue]]) -> None:
        names = node.pipe.variables
        value = self.pipe(Pipe(node.pipe.commands), dot, scope)
        items = _items(value)
        first = next(items, None)
        if first is None:
            self.nodes(node.orelse, dot, scope)
            return
        outer = len(scope)
        for key, item in chain([first], items):
            self.limits.step()
            for name, bound in zip(names, (key, item) if len(names) == 2 else (item,), strict=False):
                if node.pipe.assigns:
                    _assign(scope, name, bound)
                else:
                    scope.append((name, bound))
            try:
                self.nodes(node.body, item, scope)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                del scope[outer:]

    def invoke(self, node: Invoke, dot: GoValue, scope: list[tuple[str, GoValue]]) -> None:
        if node.name not in self.definitions:
            raise ExecutionError(f'template "{node.name}" not defined')
        value = self.pipe(node.pipe, dot, scope)
        self.nodes(self.definitions[node.name], value, [("$", value)])

    # --- values ---------------------------------------------------------------------------------------------------

    def pipe(self, pipe: Pipe, dot: GoValue, scope: list[tuple[str, GoValue]]) -> GoValue:
        value: GoValue = _NONE
        for command in pipe.commands:
            value = self.command(command, dot, scope, value)
        for name in pipe.variables:
            if pipe.assigns:
                _assign(scope, name, value)
            else:
                scope.append((name, value))
        return value

    def command(self, command: Command, dot: GoValue, scope: list[tuple[str, GoValue]], piped: GoValue) -> GoValue:
        first, *rest = command.arguments
        if not isinstance(first, Function):
            if rest or piped is not _NONE:
                raise ExecutionError("can't give argument to non-function")
            return self.operand(first, dot, scope)
        if first.name in SHORT_CIRCUIT:
            return self.short_circuit(first.name, rest, dot, scope, piped)
        arguments = [self.operand(operand, dot, scope) for operand in rest]
        if piped is not _NONE:
            arguments.append(piped)
        result = FUNCTIONS[first.name](first.name, arguments)
        if isinstance(result, str):
            self.limits.wrote(len(result))
        return result

    def short_circuit(
        self, name: str, operands: Sequence[Operand], dot: GoValue, scope: list[tuple[str, GoValue]], piped: GoValue
    ) -> GoValue:
        """`and`: the first false operand, `or`: the first true one, else the last; later ones are not evaluated."""
        value: GoValue = _NONE
        for operand in operands:
            value = self.operand(operand, dot, scope)
            if is_true(value) == (name == "or"):
                return value
        value = value if piped is _NONE else piped
        if value is _NONE:
            raise ExecutionError(f"wrong number of args for {name}: want at least 1 got 0")
        return value

    def operand(self, operand: Operand, dot: GoValue, scope: list[tuple[str, GoValue]]) -> GoValue:
        self.limits.step()
        match operand:
            case Dot():
                return dot
            case Literal():
                return operand.value
            case Field():
                return _fields(dot, operand.names)
            case Variable():
                return _fields(_lookup(scope, operand.name), operand.fields)
            case Pipe():
                return self.pipe(operand, dot, scope)
            case Chain():
                return _fields(self.operand(operand.operand, dot, scope), operand.fields)
            case Function():
                return self.command(Command((operand,)), dot, scope, _NONE)


def _lookup(scope: list[tuple[str, GoValue]], name: str) -> GoValue:
    for known, value in reversed(scope):
        if known == name:
            return value
    raise ExecutionError(f'undefined variable: "{name}"')


def _assign(scope: list[tuple[str, GoValue]], name: str, value: GoValue) -> None:
    for i in range(len(scope) - 1, -1, -1):
        if scope[i][0] == name:
            scope[i] = (name, value)
            return
    raise ExecutionError(f'undefined variable: "{name}"')


def _fields(value: GoValue, names: Sequence[str]) -> GoValue:
    """`value.A.B`.  Only a struct's missing field, or a field of nil or of a plain value, is an error."""
    for name in names:
        if value is MISSING:
            return MISSING
        if isinstance(value, Struct):
            if name == "String" and value.prints_json:
                value = text(value)
            elif name in value.fields:
                value = value.fields[name]
            else:
                raise ExecutionError(f"can't evaluate field {name} in type {value.type_name}")
        elif isinstance(value, PRINTS_JSON) and name == "String":
            value = text(value)
        elif isinstance(value, Mapping):
            value = value.get(name, MISSING)
        elif value is None:
            raise ExecutionError(f"nil pointer evaluating interface {{}}.{name}")
        else:
            raise ExecutionError(f"can't evaluate field {name} in type {type_name(value)}")
    return value


def _items(value: GoValue) -> Iterator[tuple[GoValue, GoValue]]:
    """(key, item) of what `range` walks: lists, maps by key, and 0 … n-1 for an int."""
    if value is None or value is MISSING:
        return iter(())
    if isinstance(value, Mapping):
        return iter(sorted(value.items()))
    if isinstance(value, int) and not isinstance(value, bool):
        return ((i, i) for i in range(value))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return iter(enumerate(value))
    raise ExecutionError(f"range can't iterate over {text(value)}")
