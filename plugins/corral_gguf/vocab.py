"""From the `tokenizer.*` keys to a `Vocab`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corral import FormatError, Vocab
from corral_gguf.arrays import Array
from corral_gguf.constants import ValueType
from corral_gguf.info import Keys
from corral_gguf.reader import Metadata

_PREFIX = "tokenizer.ggml."
_NO_VOCAB = ("none", "no_vocab")
_INTEGERS = (ValueType.INT32, ValueType.UINT32, ValueType.INT8, ValueType.UINT8, ValueType.INT64, ValueType.UINT64)
_NUMBERS = (ValueType.FLOAT32, ValueType.FLOAT64, *_INTEGERS)
_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_BYTE_TYPE = 6
_LARGEST_TOKEN_TYPE = 6
_BYTE_MODELS = ("llama", "t5", "gemma4")  # algorithms that fall back to tokens named <0x00> to <0xFF>


def read_vocab(path: Path, metadata: Metadata) -> Vocab:
    """Raises FormatError naming the key that is missing or does not agree with the others."""
    keys = Keys(path, metadata)
    model = keys.text(_PREFIX + "model")
    if not model:
        raise FormatError(f"{path.name}: key 'tokenizer.ggml.model' is missing: the file has no vocabulary")
    if model in _NO_VOCAB:
        return Vocab(model="none")
    tokens = _array(keys, "tokens", (ValueType.STRING,))
    if not tokens:
        raise FormatError(f"{path.name}: key 'tokenizer.ggml.tokens' is missing or empty")
    scores = _array(keys, "scores", _NUMBERS, len(tokens))
    token_types = _array(keys, "token_type", _INTEGERS, len(tokens))
    _check_types(path, model, tokens, token_types)

    def token_id(name: str) -> int:
        return _token_id(keys, name + "_token_id", len(tokens))

    return Vocab(
        model=model,
        pre=keys.text(_PREFIX + "pre"),
        tokens=tokens,
        scores=scores,
        token_types=token_types,
        merges=_array(keys, "merges", (ValueType.STRING,)),
        bos_id=token_id("bos"),
        eos_id=token_id("eos"),
        eot_id=token_id("eot"),
        eom_id=token_id("eom"),
        unk_id=token_id("unknown"),
        sep_id=token_id("seperator"),  # the format's own spelling
        pad_id=token_id("padding"),
        cls_id=token_id("cls"),
        mask_id=token_id("mask"),
        eog_ids=_end_ids(keys, len(tokens)),
        add_bos=keys.flag(_PREFIX + "add_bos_token"),
        add_eos=keys.flag(_PREFIX + "add_eos_token"),
        add_space_prefix=keys.flag(_PREFIX + "add_space_prefix"),
        remove_extra_whitespaces=keys.flag(_PREFIX + "remove_extra_whitespaces"),
        precompiled_charsmap=_charsmap(keys),
    )


def _array(keys: Keys, name: str, kinds: Sequence[ValueType], count: int | None = None) -> list[Any]:
    """The values of an array key, empty when it is absent; with `count`, it must have that many."""
    key = _PREFIX + name
    value = keys.metadata.get(key)
    if value is None:
        return []
    if not isinstance(value, Array) or (value.value_type not in kinds and len(value)):
        wanted = " or ".join(kind.name.lower() for kind in kinds)
        raise FormatError(f"{keys.path.name}: not a valid GGUF: key {key!r}: must be an array of {wanted}")
    if count is not None and len(value) != count:
        raise FormatError(f"{keys.path.name}: key {key!r} has {len(value)} elements, but there are {count} tokens")
    return value.tolist()


def _check_types(path: Path, model: str, tokens: Sequence[str], token_types: Sequence[int]) -> None:
    if not token_types:
        return
    if not 0 <= min(token_types) <= max(token_types) <= _LARGEST_TOKEN_TYPE:
        raise FormatError(f"{path.name}: key 'tokenizer.ggml.token_type': types are 0 to {_LARGEST_TOKEN_TYPE}")
    if model not in _BYTE_MODELS:
        return
    for index, (text, kind) in enumerate(zip(tokens, token_types, strict=True)):
        if kind == _BYTE_TYPE and not _BYTE_TOKEN.fullmatch(text):
            raise FormatError(f"{path.name}: token {index} is a byte token, but its text is {text!r:.40}")


def _token_id(keys: Keys, name: str, n_tokens: int) -> int:
    """The id a key names; -1 when it is absent or, as many files have it, outside the vocabulary."""
    token_id = keys.integer(_PREFIX + name, -1)
    return token_id if 0 <= token_id < n_tokens else -1


def _end_ids(keys: Keys, n_tokens: int) -> tuple[int, ...]:
    """Ids besides eos, eot and eom that end a generation: the listed ones and the fill-in-middle separators."""
    listed = [*_array(keys, "eos_token_ids", _INTEGERS)]
    named = [_token_id(keys, name + "_token_id", n_tokens) for name in ("fim_pad", "fim_rep", "fim_sep")]
    return tuple(dict.fromkeys(token_id for token_id in listed + named if 0 <= token_id < n_tokens))


def _charsmap(keys: Keys) -> bytes:
    key = _PREFIX + "precompiled_charsmap"
    value = keys.metadata.get(key)
    if value is None:
        return b""
    if not isinstance(value, Array) or value.value_type not in (ValueType.UINT8, ValueType.INT8):
        raise FormatError(f"{keys.path.name}: not a valid GGUF: key {key!r}: must be an array of uint8")
    return value.raw
