"""Thinking that clients left in earlier answers, for the families that were trained not to see it again.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md; templates of other models see the text as it was sent.
"""

import re
from collections.abc import Sequence

from msgspec.structs import replace

from corral import Message, StoredModel

_THOUGHT = re.compile(r"\s*<think>.*?(?:</think>\s*|\Z)", re.DOTALL)


def without_old_thoughts(messages: Sequence[Message], model: StoredModel) -> tuple[Message, ...]:
    """`<think>…</think>` at the head of an assistant's message before the last of the user's is dropped.

    Only for models of the family qwen3, and those named deepseek-r1; thinking in a field of its own is the template's.
    """
    if model.config.family != "qwen3" and model.ref.model.lower() != "deepseek-r1":
        return tuple(messages)
    last = max((index for index, message in enumerate(messages) if message.role == "user"), default=0)
    return tuple(
        replace(message, content=_THOUGHT.sub("", message.content, count=1))
        if index < last and message.role == "assistant" and _THOUGHT.match(message.content)
        else message
        for index, message in enumerate(messages)
    )
