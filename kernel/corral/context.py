"""The one context policy: what happens to a prompt that is longer than the context, whatever template made it."""

from collections.abc import Callable, Sequence

from corral.errors import ContextOverflow
from corral.types import Message, Truncated


def drop_oldest(
    messages: Sequence[Message], limit: int, count: Callable[[tuple[Message, ...]], int]
) -> tuple[Message, ...]:
    """Drop messages from the front until `count` of the rest is at most `limit` tokens.

    System messages and the last message are always kept, in their order; the result may still be too long.
    """
    keep = list(messages)
    while count(tuple(keep)) > limit:
        victim = next((i for i, message in enumerate(keep[:-1]) if message.role != "system"), None)
        if victim is None:
            break
        del keep[victim]
    return tuple(keep)


def cut_tokens(token_ids: Sequence[int], num_ctx: int, num_keep: int) -> tuple[int, ...]:
    """Keep the first `num_keep` tokens (negative: all) and the newest, leaving room for half a context of output."""
    keep = min(len(token_ids) if num_keep < 0 else num_keep, num_ctx - 1)
    length = num_ctx - max((num_ctx - keep) // 2, 1)
    tail = max(length - keep, 0)
    return tuple(token_ids[:keep]) + (tuple(token_ids[-tail:]) if tail else ())


def fit(
    token_ids: Sequence[int], *, num_ctx: int, num_keep: int, may_cut: bool, may_shift: bool
) -> tuple[tuple[int, ...], Truncated | None]:
    """A prompt that leaves room for at least one token in `num_ctx`, and what was cut.

    Raises ContextOverflow, whose message keeps the phrase that clients match.
    """
    if len(token_ids) < num_ctx:
        return tuple(token_ids), None
    if not may_cut:
        raise ContextOverflow(
            f"request ({len(token_ids)} tokens) exceeds the available context size ({num_ctx} tokens), "
            "try increasing it"
        )
    if not may_shift:
        raise ContextOverflow(
            "the prompt is longer than the context length currently available to the model; shorten the prompt, "
            "adjust the context length in settings, or use a model with a longer context length"
        )
    kept = cut_tokens(token_ids, num_ctx, num_keep)
    return kept, Truncated(prompt_tokens=len(token_ids), kept_tokens=len(kept))
