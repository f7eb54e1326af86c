"""Running a `tokenizers` pipeline over text of any length in bounded memory.

The library keeps some hundred bytes for every byte of its input.  Long text is therefore given to it in windows, each
cut where a piece of the pre-tokenizer ends, so that the ids are those of the whole text.
"""

import re
from collections.abc import Mapping, Sequence
from operator import add
from typing import TYPE_CHECKING

from corral import FormatError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Pipeline
    from tokenizers.models import Model

_WINDOW = 1 << 15  # characters
_LONGEST_PIECE = 1 << 18  # a single piece beyond this length is cut
_MARGIN = 64  # characters at a window's end whose pieces may depend on what follows

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

Merges = list[tuple[str, str]]


def bpe_model(
    index: dict[str, int],
    merges: Merges,
    *,
    ignore_merges: bool = False,
    byte_fallback: bool = False,
    unknown: str | None = None,
) -> "Model":
    """A BPE model.  What is no token becomes byte tokens if `byte_fallback`, else `unknown`, else nothing.

    Raises FormatError when a merge names a token that is not in the vocabulary.
    """
    from tokenizers.models import BPE

    try:
        return BPE(
            index,
            merges,
            unk_token=unknown if unknown in index else None,
            byte_fallback=byte_fallback,
            fuse_unk=False,
            ignore_merges=ignore_merges,
        )
    except Exception as err:  # the library has no exception class of its own
        valid = _valid_texts(index)
        if len(valid) < len(index):
            return bpe_model(valid, merges, ignore_merges=ignore_merges, byte_fallback=byte_fallback, unknown=unknown)
        raise FormatError(f"the vocabulary cannot be used: {err}") from err


def _valid_texts(index: Mapping[str, int]) -> dict[str, int]:
    """The vocabulary without texts that are not Unicode: no input can contain them."""
    return {text: token_id for text, token_id in index.items() if _LONE_SURROGATE.search(text) is None}


def split_pairs(merges: Sequence[str]) -> Merges:
    """`left right` as pairs; each is split at its first space after the first character."""
    halves = " ".join(merges).split(" ") if merges else []
    lengths = [*map(len, halves)]
    # When every merge has one space, and only then, each is as long as its two halves and the space.
    if [*map(add, lengths[::2], lengths[1::2])] == [len(merge) - 1 for merge in merges]:
        return list(zip(halves[::2], halves[1::2], strict=True))
    pairs = []
    for merge in merges:
        space = merge.find(" ", 1)
        if space < 0:
            raise FormatError(f"the merge {merge!r:.60} is not two tokens with a space between")
        pairs.append((merge[:space], merge[space + 1 :]))
    return pairs


def run(pipeline: "Pipeline", text: str) -> list[int]:
    """The ids of `text`, without any special tokens added."""
    if len(text) <= _WINDOW:
        ids: list[int] = pipeline.encode(text, add_special_tokens=False).ids
        return ids
    ids, start, size = [], 0, _WINDOW
    while start < len(text):
        window = text[start : start + size]
        if start + size >= len(text):
            return ids + run(pipeline, window) if len(window) <= _WINDOW else ids + _ids(pipeline, window)
        encoding = pipeline.encode(window, add_special_tokens=False)
        n_tokens, n_characters = _last_boundary(encoding.word_ids, encoding.offsets, len(window) - _MARGIN)
        if n_tokens:
            ids += encoding.ids[:n_tokens]
            start, size = start + n_characters, _WINDOW
        elif size < _LONGEST_PIECE:
            size *= 2
        else:
            ids += encoding.ids
            start, size = start + len(window), _WINDOW
    return ids


def _ids(pipeline: "Pipeline", text: str) -> list[int]:
    ids: list[int] = pipeline.encode(text, add_special_tokens=False).ids
    return ids


def _last_boundary(words: Sequence[int | None], offsets: Sequence[tuple[int, int]], limit: int) -> tuple[int, int]:
    """The last place before `limit` where a piece begins: how many tokens and characters lie before it."""
    for place in range(len(words) - 1, 0, -1):
        if words[place] != words[place - 1] and offsets[place][0] <= limit:
            return place, offsets[place][0]
    return 0, 0
