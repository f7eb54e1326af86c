"""The fields that have a grammar of their own: keep_alive, think, format, options, images, tools, messages."""

import base64
import binascii
import json
import math
import re
from collections.abc import Sequence

import msgspec

from corral import (
    JSON,
    BadRequest,
    Constraint,
    JSONObject,
    Message,
    Options,
    Think,
    Tool,
    ToolCall,
)
from corral.log import get_logger
from corral_http.durations import parse_duration
from corral_native_api.bodies import TOOL, MessageBody

MAX_ITEMS = 10_000  # messages of a chat, inputs of an embedding
_LONGEST_S = 2**63 / 1e9  # what Go's nanoseconds can hold, about 292 years
_LEVELS = ("high", "medium", "low", "max")
_ALPHABET = re.compile(r"[A-Za-z0-9+/]*")
_GO_TYPES = {bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}
_OPTIONS = frozenset(field.name for field in msgspec.structs.fields(Options))
_SILENT = (  # of no meaning here, and sent by many clients
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "numa",
    "low_vram",
    "f16_kv",
    "logits_all",
    "vocab_only",
    "use_mlock",
    "tfs_z",
)


def keep_alive(value: JSON) -> float | None:
    """Seconds to stay loaded after the request: None "as before", inf "for ever", 0 "not at all"."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            seconds = parse_duration(value)
        except ValueError as err:
            raise BadRequest(str(err)) from err
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    else:
        raise BadRequest(f"Unsupported type: '{_GO_TYPES[type(value)]}'")
    return math.inf if seconds < 0 or seconds > _LONGEST_S else float(seconds)


def think(value: JSON) -> Think | None:
    """True, False or a level; None when the client did not say."""
    if value is None or isinstance(value, bool) or value in _LEVELS:
        return value  # type: ignore[no-any-return]  # narrowed by the line above
    if isinstance(value, str):
        raise BadRequest(
            f'invalid think value: {_quoted(value)} (must be "high", "medium", "low", "max", true, or false)'
        )
    raise BadRequest('think must be a boolean or string ("high", "medium", "low", "max", true, or false)')


def constraint(value: JSON) -> Constraint | None:
    """`format`: nothing, any JSON object, or a JSON schema."""
    if value is None or value == "":
        return None
    if value == "json":
        return Constraint(kind="json")
    text = msgspec.json.encode(value).decode()
    if isinstance(value, dict):
        return Constraint(kind="json_schema", source=text)
    raise BadRequest(f'invalid format: {_quoted(text)}; expected "json" or a valid JSON Schema object')


def options(values: JSONObject) -> JSONObject:
    """The options as they are; unknown ones are left in (the merge ignores them) and named in the log."""
    unknown = [name for name in values if name not in _OPTIONS and name not in _SILENT]
    if unknown:
        get_logger("native_api").warning("options.ignored", names=[name[:40] for name in unknown[:20]])
    return values


def top_logprobs(count: int) -> int:
    """Raises BadRequest outside 0–20."""
    if not 0 <= count <= 20:
        raise BadRequest("top_logprobs must be between 0 and 20")
    return count


def images(texts: Sequence[str]) -> tuple[bytes, ...]:
    """Base64 in the standard alphabet with padding; line breaks are allowed."""
    return tuple(_image(text.replace("\n", "").replace("\r", "")) for text in texts)


def _image(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as err:
        good = _ALPHABET.match(text)
        at = good.end() if good else 0
        raise BadRequest(f"illegal base64 data at input byte {at if at < len(text) else at // 4 * 4}") from err


def messages(bodies: Sequence[MessageBody]) -> tuple[Message, ...]:
    """Raises BadRequest for a bad image and for more than MAX_ITEMS messages."""
    if len(bodies) > MAX_ITEMS:
        raise BadRequest(f"{len(bodies)} messages; at most {MAX_ITEMS} are served")
    return tuple(map(_message, bodies))


def _message(body: MessageBody) -> Message:
    calls = tuple(
        ToolCall(name=call.function.name, arguments=call.function.arguments, id=call.id, index=index)
        for index, call in enumerate(body.tool_calls)
    )
    return Message(
        role=body.role.lower(),
        content=body.content,
        thinking=body.thinking,
        images=images(body.images),
        tool_calls=calls,
        tool_name=body.tool_name,
        tool_call_id=body.tool_call_id,
    )


def tools(wires: Sequence[JSONObject]) -> tuple[Tool, ...]:
    """The functions the model may call; each keeps its definition as sent.  Raises BadRequest."""
    if len(wires) > MAX_ITEMS:
        raise BadRequest(f"{len(wires)} tools; at most {MAX_ITEMS} are served")
    return tuple(_tool(wire, f"tools[{index}]") for index, wire in enumerate(wires))


def _tool(wire: JSONObject, where: str) -> Tool:
    function = TOOL.typed(wire, where).function
    if not function.name:  # the reference passes it on, but nobody could ever call it
        raise BadRequest(f"{where}.function.name is required")
    return Tool(name=function.name, description=function.description, parameters=function.parameters, wire=wire)


def _quoted(text: str) -> str:
    """As Go's %q writes it."""
    return json.dumps(text, ensure_ascii=False)
