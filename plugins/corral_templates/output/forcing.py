"""What an answer must match when a tool has to be called, or may be called beside content in a fixed format.

The grammar is Lark with JSON schemas inside (`%json`), as the grammar plugin reads it.
"""

import json
from collections.abc import Sequence

from corral import Constraint, Conversation, JSONObject, Tool, Unsupported
from corral_templates.output.choice import Style


def constrain(
    style: Style, conversation: Conversation, content: Constraint | None, tool_choice: str
) -> Constraint | None:
    """None when everything is allowed.  Raises Unsupported when the family's calls are no JSON between tags."""
    if tool_choice == "auto" and content is None:
        return None
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


def _calls(style: Style, tools: Sequence[Tool], *, once: bool) -> list[str]:
    """The rule `calls`: the tag, a call, and what closes the tag."""
    tag = style.tool_tag
    one = f"object: %json {json.dumps({'anyOf': [_call_schema(tool, style.arguments_key) for tool in tools]})}"
    if tag.endswith("[") or tag == "[TOOL_CALLS]":
        opening = tag if tag.endswith("[") else f"{tag}["
        more = "" if once else ' ("," " "? object)*'
        return [one, f'calls: {json.dumps(opening)} object{more} "]"']
    if tag.startswith("<") and tag.endswith(">"):
        call = f"call: {json.dumps(tag)} NEWLINE? object NEWLINE? {json.dumps('</' + tag[1:])}"
        return [one, call, r"NEWLINE: /\n/", "calls: call" if once else "calls: call (NEWLINE? call)*"]
    return [one, f"calls: {json.dumps(tag) + ' ' if tag != '{' else ''}object"]


def _call_schema(tool: Tool, arguments_key: str) -> JSONObject:
    """A JSON object that calls the tool: first its name, then its arguments."""
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, arguments_key: tool.parameters or {"type": "object"}},
        "required": ["name", arguments_key],
        "additionalProperties": False,
    }


def _content(content: Constraint) -> str:
    """The right side of a rule for content.  Raises Unsupported for a grammar, which cannot stand inside another."""
    if content.kind == "json":
        return '%json {"type": "object"}'
    if content.kind == "json_schema":
        return f"%json {content.source}"
    if content.kind == "regex":
        return "/" + content.source.replace("/", "\\/") + "/"
    raise Unsupported(f"a {content.kind} grammar cannot be combined with tools: use a JSON schema or a regex")
