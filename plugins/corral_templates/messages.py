"""What every template language does to a conversation first: image tags in the text, equal roles merged."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from corral import Conversation, Message


def with_image_tags(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Each image as `[img-N]` (N counts over the conversation): in place of `[img]`, else before the text."""
    result: list[Message] = []
    number = 0
    for message in messages:
        content, front = message.content, ""
        for _ in message.images:
            tag = f"[img-{number}]"
            number += 1
            if "[img]" in content:
                content = content.replace("[img]", tag, 1)
            else:
                front += tag
        result.append(replace(message, role=message.role.lower(), content=front + content))
    return tuple(result)


def collate(messages: Sequence[Message]) -> tuple[str, tuple[Message, ...]]:
    """The joined system text, and the messages with neighbours of one role (tool excepted) merged into the first.

    Texts are joined by a blank line; a merged message loses its images, thinking and tool calls, as in the reference.
    """
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    return system, tuple(_merged(messages))


def _merged(messages: Sequence[Message]) -> Iterator[Message]:
    texts: list[str] = []
    first: Message | None = None
    for message in messages:
        if first is not None and message.role == first.role != "tool":
            texts.append(message.content)
            continue
        if first is not None:
            yield replace(first, content="\n\n".join(texts))
        first, texts = message, [message.content]
    if first is not None:
        yield replace(first, content="\n\n".join(texts))


def without_system(messages: Sequence[Message]) -> tuple[Message, ...] | None:
    """The messages with a leading system text put before the first user's; None when there is no such pair."""
    match messages:
        case [Message(role="system") as system, Message(role="user") as user, *rest]:
            return replace(user, content=f"{system.content}\n\n{user.content}"), *rest
    return None


def size_chars(conversation: Conversation) -> int:
    """About how much text a conversation holds; what a rendering may produce is bounded in proportion to it."""
    texts = sum(len(message.content) + len(message.thinking) + 200 for message in conversation.messages)
    return texts + len(conversation.prompt) + len(conversation.suffix) + 2000 * len(conversation.tools)
