"""The fields that have a grammar of their own: thinking, tools, output format, sampling."""

import re
from collections.abc import Sequence

import msgspec

from corral import JSON, BadRequest, Constraint, JSONObject, Think, Tool, Unsupported
from corral.log import get_logger
from corral_anthropic_api.blocks import MAX_ITEMS
from corral_anthropic_api.bodies import MessagesBody, ToolBody, ToolChoiceBody

_THINKING = {"enabled": True, "disabled": False}
_CLIENTS = re.compile(r"(bash|text_editor|computer|memory)_\d+")  # Anthropic's tools that the client runs
_SETTING = "skip_server_tools of the plugin anthropic_api"
_CHOICES = ("auto", "any", "tool", "none")
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "max": "max", "xhigh": "high"}


class _Schema(msgspec.Struct, frozen=True):
    """What of a tool's schema must have a certain type, whatever else it says."""

    type: str | list[str] | None = None
    properties: dict[str, JSON] | None = None
    required: list[str] | None = None


def think(body: MessagesBody) -> Think | None:
    """`thinking` decides; when it leaves the question open, `output_config.effort` does."""
    said = _THINKING.get(body.thinking.type)
    return said if said is not None else _EFFORTS.get(body.output_config.effort.strip().lower())


def tools(bodies: Sequence[ToolBody], choice: ToolChoiceBody, *, skips_server: bool) -> tuple[Tool, ...]:
    """The functions the model may call, none when it must not.  Raises BadRequest: no name, or a bad schema.

    Of Anthropic's own tools those that the client runs are functions without a schema; those that only Anthropic's
    servers could run are refused with Unsupported, or, with `skips_server`, left out, and the log says so.
    """
    if len(bodies) > MAX_ITEMS:
        raise BadRequest(f"{len(bodies)} tools; at most {MAX_ITEMS} are served")
    offered = []
    for index, body in enumerate(bodies):
        if body.type in ("", "custom") or _CLIENTS.fullmatch(body.type):
            offered.append(_tool(body, f"tools[{index}]"))
        elif skips_server:
            get_logger("anthropic_api").warning("tool.ignored", type=body.type[:40])
        else:
            text = f"{body.type[:40]!r} does not run here ({_SETTING} leaves it out)"
            raise Unsupported(f"tools[{index}].type is not supported: {text}")
    return () if choice.type == "none" else tuple(offered)


def _tool(body: ToolBody, where: str) -> Tool:
    if not body.name:
        raise BadRequest(f"{where}.name is required")
    if body.allowed_callers and "direct" not in body.allowed_callers:
        raise Unsupported(f"{where}.allowed_callers is not supported: calls are direct")
    return Tool(name=body.name, description=body.description, parameters=_schema(body))


def tool_choice(choice: ToolChoiceBody, offered: Sequence[Tool]) -> str:
    """Whether a tool must be called: "auto", "required", or the tool's name.

    Raises BadRequest for a type that is not known, and for tools that are not offered.
    """
    if choice.type not in _CHOICES:
        raise BadRequest(f'tool_choice.type is "{choice.type[:40]}"; it must be one of {", ".join(_CHOICES)}')
    if choice.type == "any":
        if not offered:
            raise BadRequest('tool_choice "any" needs tools')
        return "required"
    if choice.type != "tool":
        return "auto"
    if all(tool.name != choice.name for tool in offered):
        raise BadRequest(f'tool_choice names the tool "{choice.name[:200]}", which is not among the tools')
    return choice.name


def _schema(body: ToolBody) -> JSONObject:
    schema = body.input_schema
    if schema is None:
        return {}
    try:
        msgspec.convert(schema, _Schema)
    except msgspec.ValidationError as err:
        raise BadRequest(f'invalid input_schema for tool "{body.name}": {err}') from err
    return dict(schema)


def constraint(body: MessagesBody) -> Constraint | None:
    """`output_config.format`, or its older spelling `output_format`: a JSON schema for the answer."""
    wanted = body.output_config.format or body.output_format
    if wanted is None:
        return None
    schema = wanted.get("schema")
    if wanted.get("type") != "json_schema" or not isinstance(schema, dict):
        raise BadRequest('output_config.format must be {"type": "json_schema", "schema": {…}}')
    return Constraint(kind="json_schema", source=msgspec.json.encode(schema).decode())


def overrides(body: MessagesBody) -> JSONObject:
    """Sampling options by their names here; what the client left out is the model's affair."""
    given = {
        "num_predict": body.max_tokens or None,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "stop": body.stop_sequences or None,
    }
    return {name: value for name, value in given.items() if value is not None}
