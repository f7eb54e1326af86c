"""What goes into a model's small layers, byte for byte as the reference writes it."""

import msgspec

from corral import JSON, JSONObject, Message

_ESCAPES = (
    ("<", "\\u003c"),
    (">", "\\u003e"),
    ("&", "\\u0026"),
    ("\N{LINE SEPARATOR}", "\\u2028"),
    ("\N{PARAGRAPH SEPARATOR}", "\\u2029"),
)


def parameters(values: JSONObject) -> bytes:
    """The params layer: sorted keys, whole numbers without a fraction."""
    return _encode({name: _number(values[name]) for name in sorted(values)})


def messages(conversation: tuple[Message, ...]) -> bytes:
    """The messages layer; empty fields but the content are left out."""
    return _encode([_message(message) for message in conversation])


def human_count(count: int) -> str:
    """A parameter count for people: "7B", "2.8B", "125M", "500.50M", "1K", "999"."""
    for unit, letter, digits in ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 0)):
        if count >= unit:
            return f"{count / unit:.{0 if count % unit == 0 else digits}f}{letter}"
    return str(count)


def _encode(value: object) -> bytes:
    """Compact JSON and a newline, safe inside HTML."""
    text = msgspec.json.encode(value).decode()
    for raw, escaped in _ESCAPES:
        text = text.replace(raw, escaped)
    return text.encode() + b"\n"


def _number(value: JSON) -> JSON:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if isinstance(value, list):
        return [_number(item) for item in value]
    if isinstance(value, dict):
        return {key: _number(value[key]) for key in sorted(value)}
    return value


def _message(message: Message) -> JSONObject:
    calls = [
        {"id": call.id, "function": {"index": call.index, "name": call.name, "arguments": _number(call.arguments)}}
        for call in message.tool_calls
    ]
    optional: JSONObject = {
        "thinking": message.thinking,
        "images": message.images,
        "tool_calls": calls,
        "tool_name": message.tool_name,
        "tool_call_id": message.tool_call_id,
    }
    given = {name: value for name, value in optional.items() if value}
    return {"role": message.role, "content": message.content, **given}
