"""The prompts of a completion: a text, token ids, or a list of either."""

import asyncio

from corral import JSON, ChatRequest, StoredModel, Tokenizer, Value
from corral.kernel import Kernel
from corral_openai_api import fields
from corral_openai_api.errors import FieldError

MAX_TOKEN_IDS = 1 << 20


class Prompt(Value, frozen=True):
    """What one completion continues.  `first` is the text of its first token, when `token_ids` are known."""

    text: str = ""
    token_ids: tuple[int, ...] | None = None
    first: str = ""

    @property
    def is_empty(self) -> bool:
        return not self.text and not self.token_ids

    def of(self, typed: ChatRequest) -> dict[str, object]:
        """The fields of `typed` that this prompt fills; token ids run as they are."""
        raw = typed.raw or self.token_ids is not None
        return {"prompt": self.text, "prompt_token_ids": self.token_ids, "raw": raw}


def token_ids(value: JSON, param: str) -> tuple[int, ...]:
    """A list of integers.  Raises FieldError."""
    if len(value) > MAX_TOKEN_IDS:
        raise FieldError(f"{param} has {len(value)} token ids; at most {MAX_TOKEN_IDS} are served", param)
    if not all(isinstance(item, int) and not isinstance(item, bool) for item in value):
        raise FieldError(f"{param} must be a string, a list of strings, token ids, or lists of token ids", param)
    return tuple(value)


def prompts(value: JSON, param: str) -> list[Prompt]:
    """The prompts in the order of the wire.  Raises FieldError."""
    if value is None or isinstance(value, str):
        return [Prompt(text=value or "")]
    if not isinstance(value, list) or not value:
        raise FieldError(f"{param} must be a string, a list of strings, token ids, or lists of token ids", param)
    if isinstance(value[0], int):
        return [Prompt(token_ids=token_ids(value, param))]
    fields.bounded(value, param)
    return [_item(item, f"{param}[{index}]") for index, item in enumerate(value)]


def _item(value: JSON, param: str) -> Prompt:
    if isinstance(value, str):
        return Prompt(text=value)
    return Prompt(token_ids=token_ids(value if isinstance(value, list) else [value], param))


async def spelled(kernel: Kernel, model: StoredModel, asked: tuple[Prompt, ...], *, encode: bool) -> tuple[Prompt, ...]:
    """The prompts with the text of token ids, and with `encode` the token ids of texts.  Raises FieldError."""
    if not encode and all(prompt.token_ids is None for prompt in asked):
        return asked
    async with kernel.pipeline.tokenizer(model) as tokenizer:
        return tuple([await asyncio.to_thread(_spelled, tokenizer, prompt, encode) for prompt in asked])


def _spelled(tokenizer: Tokenizer, prompt: Prompt, encode: bool) -> Prompt:
    if prompt.token_ids is None:
        ids = tuple(tokenizer.encode(prompt.text, add_special=True)) if encode else None
        text = prompt.text
    else:
        ids = prompt.token_ids
        if any(not 0 <= token_id < tokenizer.vocab_size for token_id in ids):
            text = f"prompt holds token ids outside the vocabulary of {tokenizer.vocab_size} tokens"
            raise FieldError(text, "prompt")
        text = tokenizer.decode(ids, special=True)
    first = tokenizer.decode(ids[:1]) if ids else ""
    return Prompt(text=text, token_ids=ids, first=first)
