"""Models whose chats cannot be rendered, for a broken template or for none: only what needs one fails."""

from typing import NoReturn

from corral import BadRequest, Constraint, Conversation, OutputParser, Template, TemplateEngine
from corral_templates.output.choice import PlainText
from corral_templates.select import DEFAULT_SOURCE, RENDERERS, ByChoice, faulty


class FaultyTemplate:
    """Can be shown, and says what is wrong with it when it is to render."""

    capabilities: frozenset[str] = frozenset()

    def __init__(self, source: str, message: str) -> None:
        self.source = source
        self._message = message

    def render(self, conversation: Conversation) -> NoReturn:
        """Raises BadRequest."""
        raise BadRequest(self._message)

    def parser(self, conversation: Conversation, prompt: str) -> OutputParser:
        """Answers to prompts that need no template are text."""
        return PlainText()

    def constrain(self, conversation: Conversation, content: Constraint | None, tool_choice: str) -> Constraint | None:
        """There are no tools to call."""
        return content


class FaultyEngine(ByChoice):
    """Takes the place of another engine for the stored templates that it refuses."""

    def __init__(self, engine: TemplateEngine) -> None:
        self.name = faulty(engine.name)
        self._engine = engine

    def compile(self, source: str, parser: str = "") -> Template:
        """Never fails: a broken template fails when it renders."""
        try:
            return self._engine.compile(source, parser)
        except BadRequest as err:
            return FaultyTemplate(source, err.message)


class Renderers(ByChoice):
    """Models that name a RENDERER and have no template that could take its place."""

    name = RENDERERS

    def compile(self, source: str, parser: str = "") -> Template:
        """A template that names the renderer when it is to render."""
        return FaultyTemplate(
            DEFAULT_SOURCE,
            f'unknown renderer "{source}": Corral writes prompts by templates, and this model has neither a TEMPLATE '
            "nor a chat template in its weights; create it anew with a TEMPLATE",
        )
