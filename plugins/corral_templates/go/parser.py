"""Tokens → tree, refusing what Go's parser refuses."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from corral_templates.go.lexer import Kind, Token, template_error, tokenize
from corral_templates.go.literals import character, number, unquote
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

_MAX_DEPTH = 100  # blocks and parentheses inside one another; a guard of Python's stack, real templates need 20
_BLOCKS = ("if", "with", "range")
_KEYWORDS = {*_BLOCKS, "else", "end", "define", "template", "block", "break", "continue"}
_CONSTANTS = {"true": True, "false": False, "nil": None}


def parse(source: str, functions: Collection[str]) -> Tree:
    """The tree of a template that may call `functions`.  Raises BadRequest("template error: …")."""
    return _Parser(source, functions).tree()


class _Parser:
    """Recursive descent over the token list, with the variables in scope."""

    def __init__(self, source: str, functions: Collection[str]) -> None:
        self.tokens = list(tokenize(source))
        self.at = 0
        self.functions = functions
        self.variables = ["$"]
        self.definitions: dict[str, tuple[Node, ...]] = {}
        self.depth = 0
        self.loops = 0

    # --- tokens ---------------------------------------------------------------------------------------------------

    def peek(self) -> Token:
        return self.tokens[self.at]

    def next(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def skip_space(self) -> Token:
        """The next token that is no blank, not consumed."""
        while self.peek().kind is Kind.SPACE:
            self.at += 1
        return self.peek()

    def fail(self, message: str) -> Exception:
        return template_error(self.tokens[min(self.at, len(self.tokens) - 1)].line, message)

    def unexpected(self, token: Token, where: str) -> Exception:
        if token.kind is Kind.EOF:
            return self.fail("unexpected EOF")
        return self.fail(f"unexpected {token.text or token.kind!s} in {where}")

    def close(self, where: str) -> None:
        token = self.skip_space()
        if token.kind is not Kind.CLOSE:
            raise self.unexpected(token, where)
        self.at += 1

    # --- blocks ---------------------------------------------------------------------------------------------------

    def tree(self) -> Tree:
        nodes, keyword = self.nodes(top=True)
        if keyword:
            raise self.fail(f"unexpected {{{{{keyword}}}}}")
        return Tree(nodes, self.definitions)

    def nodes(self, *, top: bool = False) -> tuple[tuple[Node, ...], str]:
        """Nodes up to EOF (""), or up to the `end` or `else` that follows them (its keyword is consumed)."""
        result: list[Node] = []
        while True:
            token = self.next()
            if token.kind is Kind.EOF:
                if not top:
                    self.at -= 1
                    raise self.fail("unexpected EOF")
                return tuple(result), ""
            if token.kind is Kind.TEXT:
                result.append(Text(token.text))
                continue
            word = self.skip_space()
            if word.kind is not Kind.IDENTIFIER or word.text not in _KEYWORDS:
                result.append(Action(self.action(), token.line))
                continue
            self.at += 1
            if word.text in ("end", "else"):
                return tuple(result), word.text
            if word.text == "define":
                if not top:
                    raise self.fail("unexpected {{define}} inside a block")
                self.define()
            else:
                result.append(self.keyword(word))

    def action(self) -> Pipe:
        pipe = self.pipeline("command", Kind.CLOSE)
        if len(pipe.variables) > 1:
            raise self.fail("too many declarations in command")
        return pipe

    def keyword(self, word: Token) -> Node:
        if word.text in _BLOCKS:
            return self.branch(word)
        if word.text in ("break", "continue"):
            self.close(word.text)
            if not self.loops:
                raise self.fail(f"{{{{{word.text}}}}} outside {{{{range}}}}")
            return Jump(word.text)
        name = self.name(f"{word.text} clause")
        if self.skip_space().kind is Kind.CLOSE:
            raise self.fail("undefined template specified" if word.text == "template" else "missing value for block")
        pipe = self.pipeline(f"{word.text} clause", Kind.CLOSE)
        if word.text == "block":
            self.definitions[name] = self.body_of_definition()
        return Invoke(name, pipe, word.line)

    def name(self, where: str) -> str:
        token = self.skip_space()
        if token.kind not in (Kind.STRING, Kind.RAW_STRING):
            raise self.unexpected(token, where)
        self.at += 1
        return unquote(token)

    def define(self) -> None:
        name = self.name("define clause")
        self.close("define clause")
        self.definitions[name] = self.body_of_definition()

    def body_of_definition(self) -> tuple[Node, ...]:
        """Nodes up to `end`, with `$` as the only variable and outside any loop."""
        outer = self.variables, self.loops
        self.variables, self.loops = ["$"], 0
        nodes, keyword = self.block()
        if keyword != "end":
            raise self.fail("unexpected {{else}} in define clause")
        self.close("end")
        self.variables, self.loops = outer
        return nodes

    @contextmanager
    def nesting(self) -> Iterator[None]:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.fail(f"blocks or parentheses nested more than {_MAX_DEPTH} deep")
        yield
        self.depth -= 1

    def block(self) -> tuple[tuple[Node, ...], str]:
        """The nodes of a block, and the keyword after them."""
        with self.nesting():
            return self.nodes()

    def branch(self, word: Token) -> Branch:
        """After `if`, `with` or `range`.  What the pipeline declares lives until `end`."""
        outer = len(self.variables)
        pipe = self.pipeline(word.text, Kind.CLOSE)
        self.loops += word.text == "range"
        body, keyword = self.block()
        self.loops -= word.text == "range"
        orelse: tuple[Node, ...] = ()
        if keyword == "else":
            orelse = self.orelse(word)
        else:
            self.close("end")
        del self.variables[outer:]
        return Branch(word.text, pipe, body, orelse, word.line)

    def orelse(self, word: Token) -> tuple[Node, ...]:
        """After `else`: a nested block of the same keyword (`else if`, `else with`) shares the one `end`."""
        token = self.skip_space()
        if token.kind is Kind.IDENTIFIER and token.text == word.text and word.text != "range":
            self.at += 1
            with self.nesting():
                return (self.branch(token),)
        self.close("else")
        orelse, keyword = self.block()
        if keyword == "else":
            raise self.fail("expected end; found {{else}}")
        self.close("end")
        return orelse

    # --- pipelines ------------------------------------------------------------------------------------------------

    def pipeline(self, where: str, end: Kind) -> Pipe:
        """A pipeline and the token that ends it."""
        names, assigns = self.declarations(where)
        commands: list[Command] = []
        while True:
            token = self.skip_space()
            if token.kind is end:
                self.at += 1
                break
            if token.kind is Kind.PIPE and commands:
                self.at += 1
                if self.skip_space().kind in (end, Kind.PIPE):
                    raise self.fail(f"missing value for {where}")
                commands.append(self.command(where))
            elif commands:
                raise self.unexpected(token, where)
            else:
                commands.append(self.command(where))
        if not commands:
            raise self.fail(f"missing value for {where}")
        for stage, command in enumerate(commands[1:], start=2):
            if isinstance(command.arguments[0], Dot | Literal):
                raise self.fail(f"non executable command in pipeline stage {stage}")
        if not assigns:
            self.variables += names
        return Pipe(tuple(commands), tuple(names), assigns)

    def declarations(self, where: str) -> tuple[list[str], bool]:
        """The `$a := `, `$a = ` or (in range) `$a, $b := ` that may begin a pipeline."""
        start, names = self.at, list[str]()
        while self.skip_space().kind is Kind.VARIABLE:
            names.append(self.next().text)
            token = self.skip_space()
            if token.kind in (Kind.DECLARE, Kind.ASSIGN):
                self.at += 1
                assigns = token.kind is Kind.ASSIGN
                if assigns:
                    for name in names:
                        self.known(name)
                return names, assigns
            if token.kind is not Kind.COMMA or where != "range" or len(names) == 2:
                if token.kind is Kind.COMMA:
                    raise self.fail(f"too many declarations in {where}")
                break
            self.at += 1
        self.at = start
        return [], False

    def known(self, name: str) -> str:
        if name not in self.variables:
            raise self.fail(f'undefined variable "{name}"')
        return name

    def command(self, where: str) -> Command:
        """Operands separated by blanks, up to a pipe or the end."""
        arguments: list[Operand] = []
        while True:
            token = self.skip_space()
            if token.kind in (Kind.CLOSE, Kind.RIGHT_PAREN, Kind.PIPE, Kind.EOF):
                break
            arguments.append(self.operand(where))
            if self.peek().kind not in (Kind.SPACE, Kind.CLOSE, Kind.RIGHT_PAREN, Kind.PIPE):
                raise self.unexpected(self.peek(), "operand")
        if not arguments:
            raise self.fail("empty command")
        first = arguments[0]
        if isinstance(first, Literal) and first.value is None:
            raise self.fail("nil is not a command")
        if len(arguments) > 1 and isinstance(first, Dot | Literal):
            raise self.fail("can't give argument to non-function")
        return Command(tuple(arguments))

    def operand(self, where: str) -> Operand:
        """A term and the fields that follow it without a blank."""
        term = self.term(where)
        fields: list[str] = []
        while self.peek().kind is Kind.FIELD:
            fields.append(self.next().text[1:])
        if not fields:
            return term
        if isinstance(term, Field):
            return Field((*term.names, *fields))
        if isinstance(term, Variable):
            return Variable(term.name, tuple(fields))
        if isinstance(term, Literal):
            raise self.fail(f"unexpected .{fields[0]} after a constant")
        return Chain(term, tuple(fields))

    def term(self, where: str) -> Operand:
        token = self.next()
        match token.kind:
            case Kind.DOT:
                return Dot()
            case Kind.FIELD:
                return Field((token.text[1:],))
            case Kind.VARIABLE:
                return Variable(self.known(token.text), ())
            case Kind.NUMBER:
                return Literal(number(token))
            case Kind.CHAR:
                return Literal(character(token))
            case Kind.STRING | Kind.RAW_STRING:
                return Literal(unquote(token))
            case Kind.IDENTIFIER if token.text in _CONSTANTS:
                return Literal(_CONSTANTS[token.text])
            case Kind.IDENTIFIER if token.text in self.functions:
                return Function(token.text)
            case Kind.IDENTIFIER if token.text not in _KEYWORDS:
                raise self.fail(f'function "{token.text}" not defined')
            case Kind.LEFT_PAREN:
                with self.nesting():
                    return self.pipeline("parenthesized pipeline", Kind.RIGHT_PAREN)
        self.at -= 1
        raise self.unexpected(token, where)
