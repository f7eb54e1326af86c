"""From the messages of a chat to the kernel's."""

from collections.abc import Sequence

from corral import JSON, BadRequest, JSONObject, Message, ToolCall
from corral_http.decoding import first_value
from corral_openai_api import fields
from corral_openai_api.bodies import MessageBody, ToolCallBody
from corral_openai_api.errors import FieldError, unsupported
from corral_openai_api.parts import Content, content

ROLES = {"developer": "system", "function": "tool"}  # what templates know


def messages(bodies: Sequence[MessageBody]) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """The conversation, and what the model must be able to do for it.  Raises FieldError."""
    if not bodies:
        raise BadRequest("[] is too short - 'messages'")
    fields.bounded(tuple(bodies), "messages")
    names: dict[str, str] = {}  # of calls so far, by id
    turns: list[Message] = []
    hears = False
    for index, body in enumerate(bodies):
        where = f"messages[{index}]"
        if not body.role:
            raise FieldError(f"{where} needs a role", f"{where}.role", "missing_required_parameter")
        if body.function_call is not None:
            raise unsupported(f"{where}.function_call", "use tool_calls")
        if body.audio is not None:
            raise unsupported(f"{where}.audio", "no sound is kept here; send its text as content")
        for nth, call in enumerate(body.tool_calls):
            if call.type != "function":
                text = f"{call.type[:40]!r} is not known here, only 'function' is"
                raise unsupported(f"{where}.tool_calls[{nth}].type", text)
        said = content(body.content, f"{where}.content")
        hears |= said.audio
        turn = _message(body, said, names, where)
        names |= {call.id: call.name for call in turn.tool_calls}
        turns.append(turn)
    return tuple(turns), ("audio",) if hears else ()


def _message(body: MessageBody, said: Content, names: dict[str, str], where: str) -> Message:
    role = ROLES.get(body.role.lower(), body.role.lower())
    return Message(
        role=role,
        content=said.text or body.refusal,
        thinking=body.reasoning or body.reasoning_content,
        images=said.images,
        tool_calls=tuple(_call(call, index, where) for index, call in enumerate(body.tool_calls)),
        tool_name=body.name or names.get(body.tool_call_id, "") if role == "tool" else "",
        tool_call_id=body.tool_call_id,
    )


def _call(call: ToolCallBody, index: int, where: str) -> ToolCall:
    arguments = call.function.arguments
    decoded = decode_arguments(arguments) if isinstance(arguments, str) else arguments
    if decoded is None:
        raise FieldError("invalid tool call arguments", f"{where}.tool_calls[{index}].function.arguments")
    return ToolCall(name=call.function.name, arguments=decoded, id=call.id, index=index)


def decode_arguments(text: str) -> JSONObject | None:
    """The object that `text` spells; None when it spells none."""
    try:
        value: JSON = first_value(text.encode(errors="replace"))
    except BadRequest:
        return None
    return value if isinstance(value, dict) else None
