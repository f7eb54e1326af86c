"""What an answer must match when a tool has to be called, or may be called beside content in a fixed format.

The grammar is Lark with JSON schemas inside (`%json`), as the grammar plugin reads it.
"""

import json
from collections.abc import Sequence

from msgspec.structs import replace

from corral import Constraint, Conversation, Tool, Unsupported
from corral_templates.output.choice import Style


def constrain(
    style: Style, conversation: Conversation, content: Constraint | None, tool_choice: str
) -> Constraint | None:
    """None when everything is allowed.  Raises Unsupported when the family's calls are no JSON between tags.

    Without a choice and a format, only calls of tools declared `strict` are held to their schemas.
    """
    if tool_choice == "auto" and content is None:
        return _strict(style, conversation.tools)
    if style.family is not None:
        asked = "an output format beside tools" if tool_choice == "auto" else f"tool_choice {tool_choice!r}"
        raise Unsupported(f"{asked} cannot be enforced: this model writes its calls as {style.family.names[0]} does")
    tools = [tool for tool in conversation.tools if tool_choice in ("auto", "required", tool.name)]
    rules = _calls(style, tools, once=tool_choice not in ("auto", "required"))
    if tool_choice == "auto" and content is not None:
        rules = [*rules, f"content: {_content(content)}", "start: calls | content"]
    else:
        rules = [*rules, "start: calls"]
    return Constraint(kind="lark", source="\n".join(rules))


def _strict(style: Style, tools: Sequence[Tool]) -> Constraint | None:
    """Free text, and calls that match their tools' schemas from the tag on; None where no tool is strict or no tag
    tells when a call begins."""
    tag = style.tool_tag
    if style.family is not None or not _is_element(tag) or not any(map(_is_strict, tools)):
        return None
    held = [tool if _is_strict(tool) else replace(tool, parameters={}) for tool in tools]
    rules = [
        *_objects(style, held),
        f"begins[lazy]: /(?s:.*){_escape(tag)}/",
        f"call: begins NEWLINE? object NEWLINE? {json.dumps(_closing(tag))}",
        r"NEWLINE: /\n/",
        "TEXT: /(?s:.*)/",
        "rest: TEXT",
        "start: call* rest",
    ]
    return Constraint(kind="lark", source="\n".join(rules))


def _is_strict(tool: Tool) -> bool:
    function = tool.wire.get("function", tool.wire)
    return isinstance(function, dict) and function.get("strict") is True


def _is_element(tag: str) -> bool:
    return tag.startswith("<") and tag.endswith(">")


def _closing(tag: str) -> str:
    return "</" + tag[1:]


def _escape(text: str) -> str:
    """As a regular expression, within slashes, that matches the text."""
    return "".join(f"\\u{{{ord(character):X}}}" for character in text)


def _calls(style: Style, tools: Sequence[Tool], *, once: bool) -> list[str]:
    """The rule `calls`: the tag, a call, and what closes the tag."""
    tag, objects = style.tool_tag, _objects(style, tools)
    if tag.endswith("[") or tag == "[TOOL_CALLS]":
        opening = tag if tag.endswith("[") else f"{tag}["
        more = "" if once else ' ("," " "? object)*'
        return [*objects, f'calls: {json.dumps(opening)} object{more} "]"']
    if _is_element(tag):
        call = f"call: {json.dumps(tag)} NEWLINE? object NEWLINE? {json.dumps(_closing(tag))}"
        return [*objects, call, r"NEWLINE: /\n/", "calls: call" if once else "calls: call (NEWLINE? call)*"]
    return [*objects, f"calls: {json.dumps(tag) + ' ' if tag != '{' else ''}object"]


def _objects(style: Style, tools: Sequence[Tool]) -> list[str]:
    """The rule `object`: a call of one of the tools.  Each schema is a document of its own: it may refer to itself."""
    rules = [f"object: {' | '.join(f'tool{number}' for number in range(len(tools)))}"]
    for number, tool in enumerate(tools):
        head = f'{{"name": {json.dumps(tool.name)}, {json.dumps(style.arguments_key)}: '
        rules.append(f'tool{number}: {json.dumps(head)} arguments{number} "}}"')
        rules.append(f"arguments{number}: %json {json.dumps(tool.parameters or {'type': 'object'})}")
    return rules


def _content(content: Constraint) -> str:
    """The right side of a rule for content.  Raises Unsupported for a grammar, which cannot stand inside another."""
    if content.kind == "json":
        return '%json {"type": "object"}'
    if content.kind == "json_schema":
        return f"%json {content.source}"
    if content.kind == "regex":
        return "/" + content.source.replace("/", "\\/") + "/"
    raise Unsupported(f"a {content.kind} grammar cannot be combined with tools: use a JSON schema or a regex")
