"""What an answer must match: that a tool is called, or that calls which the model makes fit their tools' schemas.

The grammar is Lark with JSON schemas and tags inside, as the grammar plugin reads it.
"""

from collections.abc import Sequence

from corral import Constraint, Conversation, Tool, Unsupported
from corral.log import get_logger
from corral_templates.output.choice import Style
from corral_templates.output.notation import begun, notation_of
from corral_templates.output.writing import Grammar, Headed, Notation, is_strict, tag


def constrain(
    style: Style, conversation: Conversation, content: Constraint | None, tool_choice: str
) -> Constraint | None:
    """None when everything is allowed.  Raises Unsupported for a notation of calls that no grammar describes.

    Without a choice and a format text is free, and calls are held to their tools' schemas from the tag on.
    """
    notation = notation_of(style)
    if tool_choice == "auto" and content is None:
        return _held(style, notation, conversation.tools)
    if notation is None:
        asked = "an output format beside tools" if tool_choice == "auto" else f"tool_choice {tool_choice!r}"
        written = style.family.names[0] if style.family else f"{style.tool_tag!r} says"
        raise Unsupported(f"{asked} cannot be enforced: this model writes its calls as {written} does")
    tools = [tool for tool in conversation.tools if tool_choice in ("auto", "required", tool.name)]
    grammar = Grammar(conversation.tools, loose=False, once=tool_choice not in ("auto", "required"))
    if notation.headed:
        return Constraint(
            kind="lark", source=grammar.source(_messages(grammar, notation.headed, conversation, tools, content))
        )
    opening = f"{tag(notation.opening)} " if notation.opening else ""
    section = grammar.rule("section", f"{opening}({notation.inside(grammar, tools)})")
    calls = section if grammar.once or not notation.repeats else f"{section} (NL? {section})*"
    if tool_choice == "auto" and content is not None:
        calls = f"{calls} | {grammar.rule('content', _content(content))}"
    return Constraint(kind="lark", source=grammar.source(calls))


def _messages(
    grammar: Grammar, headed: Headed, conversation: Conversation, tools: Sequence[Tool], content: Constraint | None
) -> str:
    """A whole answer made of messages: thinking unless it is off, then calls, or else content in a format."""
    if conversation.messages and conversation.messages[-1].role == "assistant":
        raise Unsupported("neither a call nor a format can be enforced in an answer that the request has begun")
    answer = headed.calls(grammar, tools)
    if content is not None:
        answer = f"({answer} | {headed.says} {grammar.rule('content', _content(content))} {headed.closes})"
    if conversation.think is False:
        return answer
    thought = grammar.rule("thought", f"{headed.thinks} {grammar.until(headed.ends)} {headed.starts}")
    return f"{thought}* {answer}"


def _held(style: Style, notation: Notation | None, tools: Sequence[Tool]) -> Constraint | None:
    """Free text, and calls that match their tools' schemas; None where no grammar describes them.

    Of tools that are not strict, a schema that cannot be enforced is left to whoever reads the call.
    """
    if notation is None or not tools:
        return None
    grammar = Grammar(tools, loose=True, once=False)
    try:
        inside = (notation.inside if notation.marks else begun(style))(grammar, tools)
    except Unsupported as err:
        if any(map(is_strict, tools)):
            raise
        get_logger("templates").debug("tools.unenforced", reason=err.message)
        return None
    rest = grammar.rule("rest", "%free")
    if not notation.marks:
        calls = f"({inside})*"
    else:
        calls = f"({grammar.until(notation.opening, free=True)} ({inside}))*" if notation.opening else f"({inside})?"
    kind = "lark" if any(map(is_strict, tools)) else "lark?"  # it may be left out
    return Constraint(kind=kind, source=grammar.source(f"{calls} {rest}"))


def _content(content: Constraint) -> str:
    """The right side of a rule for content.  Raises Unsupported for a grammar, which cannot stand inside another."""
    if content.kind == "json":
        return '%json {"type": "object"}'
    if content.kind == "json_schema":
        return f"%json {content.source}"
    if content.kind == "regex":
        return "/" + content.source.replace("/", "\\/") + "/"
    raise Unsupported(f"a {content.kind} grammar cannot be combined with tools: use a JSON schema or a regex")
