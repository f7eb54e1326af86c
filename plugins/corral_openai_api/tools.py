"""Tools, and whether the model may, must or must not call one."""

from collections.abc import Sequence

from corral import JSON, JSONObject, Tool, Value
from corral_openai_api import fields
from corral_openai_api.bodies import TOOL
from corral_openai_api.errors import FieldError, unsupported


class Choice(Value, frozen=True):
    """The tools the model sees, and the kernel's `tool_choice`: "auto", "required", or a name."""

    tools: tuple[Tool, ...] = ()
    rule: str = "auto"


def tools(wires: Sequence[JSONObject]) -> tuple[Tool, ...]:
    """The functions as defined in chat completions; each keeps its definition as sent.  Raises FieldError."""
    fields.bounded(tuple(wires), "tools")
    return tuple(_tool(wire, index) for index, wire in enumerate(wires))


def _tool(wire: JSONObject, index: int) -> Tool:
    body = TOOL.typed(wire, f"tools[{index}]")
    if body.type != "function":
        raise unsupported(f"tools[{index}].type", f"{body.type[:40]!r} is not known here, only 'function' is")
    function = body.function
    if not function.name:
        raise FieldError(
            "a tool's function needs a name", f"tools[{index}].function.name", "missing_required_parameter"
        )
    return Tool(name=function.name, description=function.description, parameters=function.parameters, wire=wire)


def choice(value: JSON, defined: tuple[Tool, ...]) -> Choice:
    """`tool_choice` over the defined tools: "none" hides them, a name or "allowed_tools" shows only those meant.

    Raises FieldError for what is no choice, and for a tool that is not defined.
    """
    if value is None or value == "auto":
        return Choice(tools=defined)
    if value == "none":
        return Choice()
    if value == "required":
        if not defined:
            raise FieldError('tool_choice "required" needs tools', "tool_choice")
        return Choice(tools=defined, rule="required")
    if isinstance(value, dict) and value.get("type") == "function":
        return Choice(tools=_named([value], defined), rule=_name(value))
    if isinstance(value, dict) and value.get("type") == "allowed_tools":
        allowed = value.get("allowed_tools", value)
        meant = allowed.get("tools") if isinstance(allowed, dict) else None
        if isinstance(allowed, dict) and isinstance(meant, list) and meant:
            return choice(allowed.get("mode"), _named(meant, defined))
    raise FieldError("tool_choice must be none, auto, required or name a function", "tool_choice")


def _named(meant: Sequence[JSON], defined: tuple[Tool, ...]) -> tuple[Tool, ...]:
    names = [_name(each) for each in meant]
    for name in names:
        if name not in [tool.name for tool in defined]:
            raise FieldError(f"tool_choice names {name[:80]!r}, which is not among the tools", "tool_choice")
    return tuple(tool for tool in defined if tool.name in names)


def _name(value: JSON) -> str:
    """The name in {"type": "function", "function": {"name": …}}, or beside the type as in responses."""
    inner = value.get("function", value) if isinstance(value, dict) else None
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else ""
