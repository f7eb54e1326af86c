"""A template language for tests: the words in a template are its capabilities, its rendering is a plain list of turns.

The answer's grammar is as plain: `<think>…</think>` is thinking, `<call>{"name": …, "arguments": …}</call>` calls a
tool.
"""

import json
from collections.abc import Iterable

from corral import BadRequest, Constraint, Conversation, Message, ModelInfo, Piece, StoredModel, ToolCall

WORDS = frozenset({"tools", "insert", "thinking"})


class PlainTemplates:
    """Stands in for the engine "go"."""

    name = "go"

    def source_of(self, model: StoredModel, info: ModelInfo, preference: str) -> str | None:
        """The model's template, else one without capabilities."""
        return model.template or "plain"

    def compile(self, source: str, parser: str = "") -> "PlainTemplate":
        """Raises BadRequest for an action that does not end."""
        if source.count("{{") != source.count("}}"):
            raise BadRequest("template error: unclosed action")
        return PlainTemplate(source)


class PlainTemplate:
    """`[role] content` a line."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.capabilities = WORDS & set(source.split())

    def render(self, conversation: Conversation) -> str:
        """The source's last word stands in front, so that a test sees which template was used."""
        if conversation.suffix:
            return f"<prefix>{conversation.prompt}<suffix>{conversation.suffix}"
        head = [f"{self.source.split()[-1]}:"] + [f"[tool] {tool.name}" for tool in conversation.tools]
        return "\n".join([*head, *map(_line, conversation.messages), "[assistant]"])

    def parser(self, conversation: Conversation, prompt: str) -> "PlainParser":
        """Thinking only when it is on, calls only when there are tools."""
        return PlainParser(thinking=bool(conversation.think), tools={tool.name for tool in conversation.tools})

    def constrain(self, conversation: Conversation, content: Constraint | None, tool_choice: str) -> Constraint | None:
        """A grammar that says what it was made from; None when everything is allowed."""
        if tool_choice == "auto" and content is None:
            return None
        names = ",".join(tool.name for tool in conversation.tools)
        return Constraint(kind="lark", source=f"{tool_choice} of {names} or {content.kind if content else None}")


def _line(message: Message) -> str:
    calls = [f"{call.id or '-'}:{call.name}{json.dumps(call.arguments)}" for call in message.tool_calls]
    marks = [f"<{name}>" for name in (message.tool_name, message.tool_call_id) if name] + ["[img]"] * len(
        message.images
    )
    return " ".join(
        [f"[{message.role}]", *marks, *([f"({message.thinking})"] if message.thinking else []), message.content, *calls]
    )


class PlainParser:
    """Holds back whatever may become a tag."""

    def __init__(self, *, thinking: bool, tools: set[str]) -> None:
        self.thinking_opens = "<think>" if thinking else ""
        self.pairs = [*([("<think>", "</think>")] if thinking else []), *([("<call>", "</call>")] if tools else [])]
        self.tags = tuple(tag for pair in self.pairs for tag in pair)
        self.held = ""
        self.answer_after = "</think>" if thinking else ""
        self.thinking_span: tuple[str, str, str] | None = ("<think>", "</think>", "</think>") if thinking else None

    def push(self, text: str) -> Iterable[Piece]:
        """Pieces that are certain."""
        self.held += text
        while self.held:
            begun = [tag for tag in self.pairs if self.held.startswith(tag[0])]
            if begun:
                opening, closing = begun[0]
                end = self.held.find(closing)
                if end < 0:
                    return
                inside, self.held = self.held[len(opening) : end], self.held[end + len(closing) :]
                yield _inside(opening, inside)
            elif any(tag[0].startswith(self.held) for tag in self.pairs):
                return
            else:
                yield Piece(text=self.held[0])
                self.held = self.held[1:]

    def finish(self) -> Iterable[Piece]:
        """What was held back, as text."""
        if self.held:
            yield Piece(text=self.held)
        self.held = ""


def _inside(opening: str, inside: str) -> Piece:
    if opening == "<think>":
        return Piece(thinking=inside)
    call = json.loads(inside)
    return Piece(tool_calls=(ToolCall(name=call["name"], arguments=call["arguments"], id=call.get("id", "")),))
