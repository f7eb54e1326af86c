"""The engine "go": templates as Modelfiles write them."""

from collections.abc import Callable, Sequence
from functools import cached_property

from corral import BadRequest, Constraint, Conversation, OutputParser
from corral_templates.go.functions import FUNCTIONS
from corral_templates.go.nodes import Tree
from corral_templates.go.parser import parse
from corral_templates.go.rendering import complete, render
from corral_templates.go.scan import identifiers, think_tags, tool_tag
from corral_templates.output.choice import Style, parser_for
from corral_templates.output.family import OutputFamily
from corral_templates.output.forcing import constrain
from corral_templates.select import ByChoice


class GoTemplate:
    """A compiled Go template."""

    def __init__(self, source: str, families: Sequence[OutputFamily] = (), parser: str = "") -> None:
        """Raises BadRequest("template error: …")."""
        self.source = source
        self._families, self._parser = families, parser
        try:
            self.tree: Tree = complete(parse(source, FUNCTIONS.keys()))
        except RecursionError as err:
            raise BadRequest("template error: template: :1: blocks nested too deeply") from err
        self._names = identifiers(self.tree)

    @cached_property
    def style(self) -> Style:
        """How answers to this template's prompts are written."""
        return Style(self.source, think_tags(self.tree), tool_tag(self.tree), self._families, self._parser)

    @property
    def capabilities(self) -> frozenset[str]:
        """Tools and insert by the variables used, thinking by its tags; a PARSER promises what it reads."""
        tools = "tools" in self._names or self.style.promises_tools
        can = {"tools": tools, "insert": "suffix" in self._names, "thinking": self.style.thinks}
        return frozenset(name for name, has in can.items() if has)

    def render(self, conversation: Conversation) -> str:
        """The prompt.  Raises BadRequest when the template fails on this conversation."""
        try:
            return render(self.tree, self._names, conversation)
        except RecursionError as err:
            raise BadRequest("template error: the tools or arguments are nested too deeply") from err

    def parser(self, conversation: Conversation, prompt: str) -> OutputParser:
        """How to read the answer to `prompt`."""
        return parser_for(self.style, conversation, prompt)

    def constrain(self, conversation: Conversation, content: Constraint | None, tool_choice: str) -> Constraint | None:
        """What the answer must match so that tools are called as asked."""
        return constrain(self.style, conversation, content, tool_choice)


class GoEngine(ByChoice):
    """Compiles Go templates.  `families` gives the output families known when a template is compiled."""

    name = "go"

    def __init__(self, families: Callable[[], Sequence[OutputFamily]]) -> None:
        self._families = families

    def compile(self, source: str, parser: str = "") -> GoTemplate:
        """Raises BadRequest("template error: …")."""
        return GoTemplate(source, self._families(), parser)
