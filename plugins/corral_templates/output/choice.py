"""Puts the parser of one answer together: thinking split off first, then tool calls taken out."""

from collections.abc import Iterable, Sequence

from corral import Conversation, OutputParser, Piece
from corral_templates.output.family import Answer, OutputFamily
from corral_templates.output.generic import GenericCalls
from corral_templates.output.named import NAMED
from corral_templates.output.thinking import Segment, ThinkingSplitter


class Style:
    """How answers to one template's prompts are written: a family's way, or what the template's own tags reveal.

    `parser` is the name a model gives with PARSER; where it is known it decides.
    """

    def __init__(
        self,
        source: str,
        think_tags: tuple[str, str] | None,
        tool_tag: str,
        families: Sequence[OutputFamily],
        parser: str = "",
    ) -> None:
        named = NAMED.get(parser)
        chosen = next((family for family in families if parser in family.names), None)
        is_named = named is not None or chosen is not None
        self.family = chosen if is_named else next((each for each in families if each.implied_by(source)), None)
        own = self.family.think_tags if self.family else None
        own = own if own and (own[1] in source or is_named) and parser != "gemma4-no-thinking" else None
        self.think_tags = own or (named.think_tags if named else None) or think_tags
        self.tool_tag = (named.tool_tag if named else "") or tool_tag
        self.inside = named is not None and named.inside
        self.names_first = "[ARGS]" in source or parser == "ministral"  # the tool's name, then its arguments
        self.reads_calls = named is None or named.tools
        self.promises_tools = named.tools if named else chosen is not None
        reads = self.family is not None and self.family.reads_thinking
        self.promises_thinking = is_named and (reads or own is not None or bool(named and named.think_tags))
        self.arguments_key = "parameters" if '"parameters"' in source and '"arguments"' not in source else "arguments"

    @property
    def thinks(self) -> bool:
        """Whether thinking can be told from content."""
        return self.think_tags is not None or (self.family is not None and self.family.reads_thinking)


class PlainText:
    """The parser of answers in which nothing is to be found."""

    answer_after = thinking_opens = ""
    thinking_span: tuple[str, str, str] | None = None
    tags: tuple[str, ...] = ()

    def push(self, text: str) -> Iterable[Piece]:
        """All text is content."""
        return [Piece(text=text)] if text else []

    def finish(self) -> Iterable[Piece]:
        """Nothing is ever held back."""
        return ()


class ThinkingFirst:
    """Splits thinking off and gives the content to another parser."""

    def __init__(self, splitter: ThinkingSplitter, content: OutputParser) -> None:
        self._splitter, self._content = splitter, content
        self.answer_after = splitter.closing
        self.thinking_opens = "" if splitter.inside else splitter.opening
        span = self.thinking_opens, splitter.closing, _ended(splitter.closing)
        self.thinking_span: tuple[str, str, str] | None = span
        self.tags = (splitter.opening.strip(), splitter.closing, *content.tags)

    def push(self, text: str) -> Iterable[Piece]:
        """What is certain after `text`."""
        return [piece for segment in self._splitter.push(text) for piece in self._read(segment)]

    def finish(self) -> Iterable[Piece]:
        """What was held back by either."""
        held = [piece for segment in self._splitter.finish() for piece in self._read(segment)]
        return [*held, *self._content.finish()]

    def _read(self, segment: Segment) -> Iterable[Piece]:
        return [Piece(thinking=segment.text)] if segment.is_thinking else self._content.push(segment.text)


def _ended(closing: str) -> str:
    """What ends thinking in the middle of a sentence: the tag, on lines of its own where such tags stand so."""
    return f"\n{closing}\n\n" if closing.startswith(("</", "[/")) else closing


def parser_for(style: Style, conversation: Conversation, prompt: str) -> OutputParser:
    """The parser of the answer to `prompt`.  Calls are looked for only with tools, thinking only when it is on."""
    content = _content_parser(style, conversation, prompt)
    if style.think_tags is None or not conversation.think:
        return content
    opening, closing = style.think_tags
    inside = style.inside or prompt.rstrip().endswith(opening.strip())
    return ThinkingFirst(ThinkingSplitter(opening, closing, inside=inside), content)


def _content_parser(style: Style, conversation: Conversation, prompt: str) -> OutputParser:
    if style.family is not None and (conversation.tools or style.family.always):
        return style.family.parser(Answer(conversation.tools, prompt))
    return GenericCalls(style.tool_tag, conversation.tools) if conversation.tools and style.reads_calls else PlainText()
