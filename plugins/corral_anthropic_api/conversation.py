"""From turns of blocks to the kernel's messages: one turn may hold a speech, calls and the results of calls."""

from collections.abc import Sequence

from msgspec.structs import replace

from corral import BadRequest, Message, ToolCall, Unsupported
from corral_anthropic_api import blocks
from corral_anthropic_api.blocks import Blocks
from corral_anthropic_api.bodies import BlockBody

Turn = tuple[str, Blocks]
"""Role and blocks."""

_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")
_RESULTS = ("tool_result", "mcp_tool_result")  # of the same shape
_KNOWN = ("text", "image", "thinking", *_RESULTS, *_CALLS, *blocks.DOCUMENTS)
_IGNORED = ("redacted_thinking",)  # nobody but its author can read it


def conversation(turns: Sequence[Turn]) -> tuple[Message, ...]:
    """Results of tools come before what the user says beside them, after what an assistant says.

    Raises BadRequest: no role, a call without id or name, or an image or document that cannot be used; and Unsupported.
    """
    messages: list[Message] = []
    called: dict[str, str] = {}
    for index, (role, content) in enumerate(turns):
        if not role:
            raise BadRequest(f"messages[{index}].role is required")
        for nth, block in enumerate(content):
            if block.type not in (*_KNOWN, *_IGNORED) and not block.type.endswith("_tool_result"):
                where = f"messages[{index}].content[{nth}].type"
                raise Unsupported(f"{where} is not supported: {block.type[:40]!r} is not known here")
        spoken = _spoken(role.lower(), content)
        called |= {call.id: call.name for call in spoken.tool_calls}
        speech = [spoken] if spoken != Message(role=spoken.role) else []
        results = [_answered(block, called) for block in content if block.type.endswith("tool_result")]
        messages += [*results, *speech] if spoken.role == "user" else [*speech, *results]
    blocks.note_ignored([block.type for _, content in turns for block in content if block.type in _IGNORED])
    return tuple(messages)


def _spoken(role: str, content: Blocks) -> Message:
    """What the turn itself says, without results of tools."""
    calls = [_call(block) for block in content if block.type in _CALLS]
    return Message(
        role=role,
        content="".join(blocks.words(block) for block in content),
        thinking=next((block.thinking for block in reversed(content) if block.type == "thinking"), ""),
        images=tuple(blocks.image(block) for block in content if block.type == "image"),
        tool_calls=tuple(replace(call, index=index) for index, call in enumerate(calls)),
    )


def _call(block: BlockBody) -> ToolCall:
    for field in ("id", "name"):
        if not getattr(block, field):
            raise BadRequest(f"{block.type} block missing required '{field}' field")
    return ToolCall(name=block.name, arguments=block.input, id=block.id)


def _answered(block: BlockBody, called: dict[str, str]) -> Message:
    text, images = blocks.result(block) if block.type in _RESULTS else (blocks.found(block), ())
    name = called.get(block.tool_use_id, "")
    return Message(role="tool", content=text, images=images, tool_name=name, tool_call_id=block.tool_use_id)
