"""The prompt's length as the reference guesses it, for a stream that begins before the prompt is tokenized."""

from collections.abc import Sequence

import msgspec

from corral_anthropic_api import blocks
from corral_anthropic_api.bodies import MessagesBody
from corral_anthropic_api.conversation import Turn

_BYTES_A_TOKEN = 4


def estimated_tokens(body: MessagesBody, turns: Sequence[Turn]) -> int:
    """A quarter of the bytes of all texts, calls, results and tools; at least 1."""
    parts = [message.content for message in blocks.system(body.system)]
    for role, content in turns:
        parts.append(role)
        for block in content:
            parts += (block.text, block.thinking)
            if block.type in ("tool_use", "tool_result"):
                parts.append(_json([block.id, block.name, block.input, block.tool_use_id, block.content]))
    for tool in body.tools:
        parts += (tool.name, tool.description, _json(tool.input_schema))
    return max(sum(len(part.encode()) for part in parts) // _BYTES_A_TOKEN, 1)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
