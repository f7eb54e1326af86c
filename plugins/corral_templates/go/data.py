"""Corral's messages and tools as the Go structs that templates were written for."""

from collections.abc import Sequence

from corral import JSON, JSONObject, Message, Think, Tool, ToolCall
from corral_templates.go.values import GoValue, JSONList, JSONMap, Struct, TypeNames, from_json

_MESSAGE_KEYS = {
    "Role": "role",
    "Content": "content",
    "Thinking": "thinking",
    "Images": "images",
    "ToolCalls": "tool_calls",
    "ToolName": "tool_name",
    "ToolCallID": "tool_call_id",
}
_TOOL_KEYS = {"Type": "type", "Items": "items", "Function": "function"}
_FUNCTION_KEYS = {"Name": "name", "Description": "description", "Parameters": "parameters"}
_PARAMETER_KEYS = {
    "Type": "type",
    "Defs": "$defs",
    "Items": "items",
    "Required": "required",
    "Properties": "properties",
}
_PROPERTY_KEYS = {
    "AnyOf": "anyOf",
    "Type": "type",
    "Items": "items",
    "Description": "description",
    "Enum": "enum",
    "Properties": "properties",
    "Required": "required",
}


def message(source: Message) -> Struct:
    """`.Messages` holds these."""
    fields: dict[str, GoValue] = {
        "Role": source.role,
        "Content": source.content,
        "Thinking": source.thinking,
        "Images": list(source.images),
        "ToolCalls": [tool_call(call) for call in source.tool_calls],
        "ToolName": source.tool_name,
        "ToolCallID": source.tool_call_id,
    }
    return Struct("api.Message", fields, _MESSAGE_KEYS, frozenset(_MESSAGE_KEYS) - {"Role", "Content"})


def tool_call(source: ToolCall) -> Struct:
    """`.ToolCalls` holds these."""
    function = {"Index": source.index, "Name": source.name, "Arguments": JSONMap(from_json(source.arguments))}
    keys = {"Index": "index", "Name": "name", "Arguments": "arguments"}
    fields = {"ID": source.id, "Function": Struct("api.ToolCallFunction", function, keys, prints_json=True)}
    return Struct("api.ToolCall", fields, {"ID": "id", "Function": "function"}, frozenset({"ID"}))


def tools(source: Sequence[Tool]) -> JSONList | None:
    """`.Tools`: nil when there are none."""
    return JSONList(map(tool, source)) if source else None


def tool(source: Tool) -> Struct:
    """One element of `.Tools`."""
    function = {
        "Name": source.name,
        "Description": source.description,
        "Parameters": _parameters(source.parameters),
    }
    kind = source.wire.get("type", "function")
    fields = {
        "Type": kind if isinstance(kind, str) else "function",
        "Items": from_json(source.wire.get("items")),
        "Function": Struct("api.ToolFunction", function, _FUNCTION_KEYS, prints_json=True),
    }
    return Struct("api.Tool", fields, _TOOL_KEYS, frozenset({"Items"}), prints_json=True)


def _parameters(schema: JSONObject) -> Struct:
    fields: dict[str, GoValue] = {
        "Type": schema.get("type") or "",
        "Defs": from_json(schema.get("$defs")),
        "Items": from_json(schema.get("items")),
        "Required": _list(schema.get("required")),
        "Properties": _properties(schema.get("properties")),
    }
    omitted = frozenset({"Defs", "Items", "Required"})
    return Struct("api.ToolFunctionParameters", fields, _PARAMETER_KEYS, omitted, prints_json=True)


def _properties(schema: object) -> JSONMap | None:
    if not isinstance(schema, dict):
        return None
    return JSONMap({name: _property(prop if isinstance(prop, dict) else {}) for name, prop in schema.items()})


def _property(schema: JSONObject) -> Struct:
    kinds = schema.get("type")
    members = schema.get("anyOf")
    fields: dict[str, GoValue] = {
        "AnyOf": [_property(member) for member in _list(members) if isinstance(member, dict)],
        "Type": TypeNames([kinds] if isinstance(kinds, str) else map(str, _list(kinds))),
        "Items": from_json(schema.get("items")),
        "Description": schema.get("description") or "",
        "Enum": from_json(_list(schema.get("enum"))),
        "Properties": _properties(schema.get("properties")),
        "Required": _list(schema.get("required")),
    }
    return Struct("api.ToolProperty", fields, _PROPERTY_KEYS, frozenset(_PROPERTY_KEYS), prints_json=True)


def _list(value: JSON) -> list[JSON]:
    """A list as it is, anything else as none: schemas come from clients."""
    return value if isinstance(value, list) else []


def think_fields(think: Think | None) -> dict[str, GoValue]:
    """`.Think`, `.ThinkLevel` and `.IsThinkSet`."""
    level = think if isinstance(think, str) else "medium" if think else ""
    return {"Think": bool(think), "ThinkLevel": level, "IsThinkSet": think is not None}
