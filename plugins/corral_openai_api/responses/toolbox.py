"""Tools of the responses API: functions lie flat there, and namespaces hold further functions."""

from collections.abc import Iterable, Sequence

from corral import JSONObject, Tool
from corral.log import get_logger
from corral_openai_api import fields
from corral_openai_api.errors import FieldError, unsupported

_SETTING = "skip_builtin_tools of the plugin openai_api"


def tools(wires: Sequence[JSONObject], *, skips_builtin: bool) -> tuple[Tool, ...]:
    """The functions among the tools.  Raises FieldError.

    What only OpenAI's own machines could run is refused, or, with `skips_builtin`, left out, and the log says so.
    """
    fields.bounded(tuple(wires), "tools")
    found = [
        tool for index, wire in enumerate(wires) for tool in _functions(wire, f"tools[{index}]", "", skips_builtin)
    ]
    left_out = {str(wire.get("type"))[:40] for wire in wires} - {"function", "namespace"}
    if left_out:
        get_logger("openai_api").warning("tools.ignored", types=sorted(left_out)[:20])
    return tuple(found)


def _functions(wire: JSONObject, param: str, prefix: str, skips_builtin: bool) -> Iterable[Tool]:
    """A function, or those of a namespace, whose names begin with its own."""
    if wire.get("type") == "namespace" and not prefix:
        members = wire.get("tools")
        name = wire.get("name")
        if not isinstance(members, list) or not isinstance(name, str) or not name:
            raise FieldError(f"{param}: a namespace has a name and a list of tools", param)
        for index, member in enumerate(members):
            if isinstance(member, dict):
                yield from _functions(member, f"{param}.tools[{index}]", f"{name}.", skips_builtin)
    elif wire.get("type") == "function":
        yield _function(wire, param, prefix)
    elif wire.get("type") == "custom":  # the client's own, and it would wait for calls
        raise unsupported(f"{param}.type", "'custom' is not known here; make it a 'function'")
    elif not skips_builtin:
        text = f"{str(wire.get('type'))[:40]!r} does not run here, only functions do ({_SETTING} leaves it out)"
        raise unsupported(f"{param}.type", text)


def _function(wire: JSONObject, param: str, prefix: str) -> Tool:
    if wire.get("async"):
        raise unsupported(f"{param}.async", "an answer ends with its calls")
    callers = wire.get("allowed_callers")
    if isinstance(callers, list) and callers and "direct" not in callers:
        raise unsupported(f"{param}.allowed_callers", "calls are direct")
    name, description, parameters = (wire.get(key) for key in ("name", "description", "parameters"))
    if not isinstance(name, str) or not name:
        raise FieldError("a function needs a name", f"{param}.name", "missing_required_parameter")
    if not isinstance(description, str | None) or not isinstance(parameters, dict | None):
        raise FieldError(f"{param}: description is a string, parameters an object", param, "invalid_type")
    name = name if name.startswith(prefix) else prefix + name
    function = {"name": name, "description": description or "", "parameters": parameters or {}}
    wire = {"type": "function", "function": function}
    return Tool(name=name, description=description or "", parameters=parameters or {}, wire=wire)
