"""A conversation as the variables that chat templates read."""

from collections.abc import Sequence

from corral import JSONObject, Message, Think, Tool, ToolCall


def messages(source: Sequence[Message]) -> list[JSONObject]:
    """`messages`; earlier thinking is not shown again."""
    return [_message(message) for message in source]


def _message(message: Message) -> JSONObject:
    fields: JSONObject = {"role": message.role, "content": message.content}
    if message.tool_name:
        fields["name"] = message.tool_name
    if message.tool_call_id:
        fields["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        fields["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    return fields


def _tool_call(call: ToolCall) -> JSONObject:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def tools(source: Sequence[Tool]) -> list[JSONObject] | None:
    """`tools` as the client sent them; None when there are none."""
    return [tool.wire or _tool(tool) for tool in source] or None


def _tool(tool: Tool) -> JSONObject:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def thinking(think: Think | None) -> JSONObject:
    """`enable_thinking` and `reasoning_effort`: only what the client said."""
    fields: JSONObject = {} if think is None else {"enable_thinking": bool(think)}
    if isinstance(think, str) and think:
        fields["reasoning_effort"] = think
    return fields
