"""From a request to the tokens that run: the model's own messages, rendering, and the one context policy."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from corral import (
    ChatRequest,
    ContextOverflow,
    Conversation,
    Description,
    Message,
    Rendered,
    StoredModel,
    Tokenizer,
    Truncated,
)
from corral_generation.history import without_old_thoughts


def conversation(request: ChatRequest, model: StoredModel) -> tuple[Message, ...]:
    """The model's SYSTEM and MESSAGEs around the request's own messages."""
    if request.prompt is None:
        own = tuple(replace(message, role=message.role.lower()) for message in request.messages)
        system = "" if own and own[0].role == "system" else model.system
    else:
        own = (Message(role="user", content=request.prompt, images=request.images),)
        system = model.system if request.system is None else request.system
    head = (Message(role="system", content=system),) if system else ()
    return without_old_thoughts((*head, *(model.messages if request.context is None else ()), *own), model)


def render(
    request: ChatRequest, what: Description, tokenizer: Tokenizer, *, runs: bool = True
) -> tuple[Rendered, Conversation]:
    """The prompt as text and tokens, cut to the context as the request allows, and what was rendered.

    Messages go first, oldest first; then tokens, unless it is only to be shown (`runs` is false).  Raises
    ContextOverflow, and whatever the template raises.
    """
    options, template = request.options, what.template
    may_cut = request.truncate and not request.strict_context
    bos = tokenizer.decode([tokenizer.bos_id], special=True) if tokenizer.bos_id >= 0 else ""
    prompt, suffix = request.prompt or "", request.suffix
    frame = Conversation(tools=request.tools, think=request.think, bos=bos, prompt=prompt, suffix=suffix)
    full = 0  # what the prompt would have had before messages were dropped
    if request.suffix:
        text = template.render(frame)
    elif request.raw or request.prompt_token_ids is not None:
        text = request.prompt or ""
    else:
        everything = conversation(request, what.model)
        texts: dict[int, str] = {}  # by the number of messages: rendering may be slow, and most chats fit at once

        def count(messages: tuple[Message, ...]) -> int:
            texts[len(messages)] = template.render(replace(frame, messages=messages))
            return len(_encode(tokenizer, texts[len(messages)], bos))

        kept = drop_oldest(everything, options.num_ctx - 1, count) if may_cut and len(everything) > 1 else everything
        full = count(everything) if len(kept) < len(everything) else 0
        frame = replace(frame, messages=kept)
        text = texts[len(kept)] if len(kept) in texts else template.render(frame)
    token_ids = [*(request.context or ()), *(request.prompt_token_ids or _encode(tokenizer, text, bos))]
    keep = options.num_keep + int(tokenizer.adds_bos and options.num_keep >= 0)
    fitting = tuple(token_ids)
    if runs:
        fitting = fit(token_ids, options.num_ctx, keep, may_cut=may_cut, may_shift=request.shift)
    before = max(full, len(token_ids))
    truncated = Truncated(prompt_tokens=before, kept_tokens=len(fitting)) if len(fitting) < before else None
    return Rendered(text=text, token_ids=fitting, truncated=truncated), frame


def drop_oldest(
    messages: Sequence[Message], limit: int, count: Callable[[tuple[Message, ...]], int]
) -> tuple[Message, ...]:
    """Drop messages from the front until `count` of the rest is at most `limit` tokens.

    System messages and the last message are always kept, in their order; the result may still be too long.
    """
    droppable = [i for i, message in enumerate(messages[:-1]) if message.role != "system"]

    def without(n: int) -> tuple[Message, ...]:
        gone = set(droppable[:n])
        return tuple(message for i, message in enumerate(messages) if i not in gone)

    if count(without(0)) <= limit:
        return without(0)
    # the count falls as n grows, so the smallest n that fits is found in a few renderings
    return without(bisect_left(range(len(droppable)), True, key=lambda n: count(without(n)) <= limit))


def fit(token_ids: Sequence[int], num_ctx: int, num_keep: int, *, may_cut: bool, may_shift: bool) -> tuple[int, ...]:
    """A prompt that leaves room in `num_ctx`: itself, or its first `num_keep` tokens (negative: all) and the newest.

    What is cut leaves room for half a context of output.  Raises ContextOverflow in the words that clients match.
    """
    if len(token_ids) < num_ctx:
        return tuple(token_ids)
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
    keep = min(len(token_ids) if num_keep < 0 else num_keep, num_ctx - 1)
    tail = num_ctx - max((num_ctx - keep) // 2, 1) - keep
    return (*token_ids[:keep], *(token_ids[-tail:] if tail > 0 else ()))


def _encode(tokenizer: Tokenizer, text: str, bos: str) -> list[int]:
    """Token ids with BOS/EOS as the model wants; a BOS that the template printed is not doubled."""
    return tokenizer.encode(text, add_special=not (bos and text.startswith(bos)))
