"""From input items to the kernel's messages: speech, calls and reasoning of one turn stand in one message there."""

from msgspec.structs import replace

from corral import JSON, JSONObject, Message, ToolCall
from corral_openai_api import fields
from corral_openai_api.errors import FieldError, unsupported
from corral_openai_api.messages import ROLES, decode_arguments
from corral_openai_api.parts import Content, image, joined

_SKIPPED = ("web_search_call",)
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}


def conversation(value: JSON, before: tuple[Message, ...] = ()) -> tuple[Message, ...]:
    """The messages of `input`, after those that came before.  Raises FieldError."""
    if isinstance(value, str):
        return (*before, Message(role="user", content=value)) if value else before
    if value is None:
        return before
    if not isinstance(value, list):
        raise FieldError(f"input must be a string or array: got {type(value).__name__}", "input")
    fields.bounded(value, "input")
    reader = _Reader([*before])
    for index, item in enumerate(value):
        reader.read(item, f"input[{index}]")
    return reader.finish()


class _Reader:
    """Turns so far, and the reasoning that waits for the turn it belongs to."""

    def __init__(self, turns: list[Message]) -> None:
        self.turns = turns
        self.thinking = ""
        self.names = {call.id: call.name for turn in turns for call in turn.tool_calls}

    def read(self, item: JSON, param: str) -> None:
        if not isinstance(item, dict):
            raise FieldError(f"{param}: an item is an object", param)
        kind = item.get("type") or ("message" if item.get("role") else None)
        if kind is None:
            raise FieldError(f"{param}: input item missing required 'type' field", param)
        if kind == "message":
            self._message(item, param)
        elif kind == "reasoning":
            self.thinking += _reasoning(item)
        elif kind == "function_call":
            self._call(item, param)
        elif kind == "function_call_output":
            self._output(item, param)
        elif kind not in _SKIPPED:
            raise FieldError(f'{param}: unknown input item type: "{str(kind)[:80]}"', param)

    def finish(self) -> tuple[Message, ...]:
        """All turns; reasoning that nothing followed is a turn of its own."""
        if self.thinking:
            self.turns.append(Message(role="assistant", thinking=self.thinking))
        return tuple(self.turns)

    def _message(self, item: JSONObject, param: str) -> None:
        role = _text(item, "role", param).lower()
        said = _content(item.get("content"), f"{param}.content")
        message = Message(role=ROLES.get(role, role), content=said.text, images=said.images)
        if message.role == "assistant":
            self._assistant(message)
        else:
            self.turns.append(message)

    def _call(self, item: JSONObject, param: str) -> None:
        name, call_id = _text(item, "name", param), _text(item, "call_id", param)
        within = _text(item, "namespace", param)
        name = f"{within}.{name}" if within and not name.startswith(f"{within}.") else name
        spelt = _text(item, "arguments", param)
        arguments = decode_arguments(spelt) if spelt else {}
        if arguments is None:
            raise FieldError(f"failed to parse function call arguments: {spelt[:200]!r} is no JSON object", param)
        self.names[call_id] = name
        self._assistant(Message(role="assistant", tool_calls=(ToolCall(name=name, arguments=arguments, id=call_id),)))

    def _output(self, item: JSONObject, param: str) -> None:
        call_id = _text(item, "call_id", param)
        said = _content(item.get("output"), f"{param}.output")
        name = self.names.get(call_id, "")
        self.turns.append(
            Message(role="tool", content=said.text, images=said.images, tool_name=name, tool_call_id=call_id)
        )

    def _assistant(self, more: Message) -> None:
        """What the assistant says or calls; calls join what stands before them, and speech joins calls."""
        thinking, self.thinking = self.thinking, ""
        last = self.turns[-1] if self.turns else None
        if last is None or last.role != "assistant" or not (more.tool_calls or last.tool_calls):
            self.turns.append(replace(more, thinking=thinking))
            return
        calls = [*last.tool_calls, *more.tool_calls]
        self.turns[-1] = replace(
            last,
            content=last.content + more.content,
            thinking=last.thinking + thinking,
            images=last.images + more.images,
            tool_calls=tuple(replace(call, index=index) for index, call in enumerate(calls)),
        )


def _text(item: JSONObject, key: str, param: str) -> str:
    """Raises FieldError for anything but a text; absent is empty."""
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise FieldError(f"{param}.{key} must be a string", f"{param}.{key}", "invalid_type")
    return value or ""


def _reasoning(item: JSONObject) -> str:
    """The text of earlier reasoning: as we encrypt it, which is not at all, else its summary."""
    if isinstance(item.get("encrypted_content"), str):
        return str(item["encrypted_content"])
    parts = [part for key in ("summary", "content") for part in item.get(key) or () if isinstance(part, dict)]
    return "".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str))


def _content(value: JSON, param: str) -> Content:
    if value is None or isinstance(value, str):
        return Content(text=value or "")
    if not isinstance(value, list):
        raise FieldError(f"{param} must be a string or an array of parts", param, "invalid_type")
    fields.bounded(value, param)
    return joined([_part(part, f"{param}[{index}]") for index, part in enumerate(value)])


def _part(part: JSON, param: str) -> Content:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "input_file":
        raise FieldError("file inputs are not currently supported", param, "unsupported_parameter")
    if kind == "input_image":
        if part.get("image_url") is None and part.get("file_id") is not None:
            raise unsupported(f"{param}.file_id", "no files are kept here; send a data URL as image_url")
        return Content(images=(image(part.get("image_url"), param),))
    key = _TEXTS.get(str(kind))
    if key is None or not isinstance(part.get(key), str):
        raise FieldError(f"{param}: unknown content type: {str(kind)[:80]}", param)
    return Content(text=part[key])
