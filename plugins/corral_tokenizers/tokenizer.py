"""The `Tokenizer` of a vocabulary: special tokens split out, the rest segmented, pieces put together again."""

import re
from collections.abc import Collection, Sequence
from typing import Protocol

from corral_tokenizers.detokenizer import StreamDetokenizer, decode_bytes
from corral_tokenizers.pieces import Pieces
from corral_tokenizers.specials import Specials

_CLEAN_UP = (
    (re.compile(r" ([?!.,])"), r"\1"),
    (re.compile(r" ' "), "'"),
    (re.compile(r" ('(?:s|m|re|ve))"), r"\1"),
)


class Segmenter(Protocol):
    """The ids of text without special tokens."""

    def segment(self, text: str, *, after_special: bool) -> list[int]: ...


def valid_text(text: str) -> str:
    """Text that UTF-8 can hold: surrogate pairs become their character, lone surrogates U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class Frame:
    """The ids put around a text, and how whole texts are tidied up."""

    def __init__(
        self,
        *,
        bos_id: int = -1,
        front_id: int = -1,
        back_id: int = -1,
        space_prefix: bool = False,
        clean_spaces: bool = False,
    ) -> None:
        self.bos_id = bos_id
        self.front_id = front_id
        self.back_id = back_id
        self.space_prefix = space_prefix
        self.clean_spaces = clean_spaces


class VocabTokenizer:
    """A tokenizer made from a vocabulary's keys."""

    def __init__(
        self, segmenter: Segmenter, specials: Specials, pieces: Pieces, frame: Frame, eog_ids: frozenset[int]
    ) -> None:
        self._segmenter = segmenter
        self._specials = specials
        self._pieces = pieces
        self._frame = frame
        self._eog_ids = eog_ids

    @property
    def vocab_size(self) -> int:
        return len(self._pieces)

    @property
    def bos_id(self) -> int:
        return self._frame.bos_id

    @property
    def eog_ids(self) -> frozenset[int]:
        return self._eog_ids

    @property
    def adds_bos(self) -> bool:
        return self._frame.front_id >= 0

    @property
    def adds_eos(self) -> bool:
        return self._frame.back_id >= 0

    def encode(self, text: str, *, add_special: bool = False, parse_special: bool = True) -> list[int]:
        """Token ids.  A text that already begins with the bos token gets a second one, as everywhere else."""
        ids = [self._frame.front_id] if add_special and self.adds_bos else []
        after_special = True
        for part in self._specials.split(valid_text(text), parse_special=parse_special):
            if isinstance(part, str):
                ids += self._segmenter.segment(part, after_special=after_special)
                after_special = False
            else:
                ids.append(part)
                after_special = True
        if add_special and self.adds_eos:
            ids.append(self._frame.back_id)
        return ids

    def decode(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """The pieces put together, exactly as `stream` gives them.  Raises BadRequest for an id that does not exist."""
        return decode_bytes(b"".join(self._pieces.piece(token_id, special=special) for token_id in token_ids))

    def token_bytes(self, token_id: int, *, special: bool = True) -> bytes:
        return self._pieces.piece(token_id, special=special)

    def stream(self, stop: Sequence[str] = (), *, special: bool | Collection[str] = False) -> StreamDetokenizer:
        return StreamDetokenizer(self._pieces, stop, special=special)

    def detokenize(self, token_ids: Sequence[int], *, remove_special: bool = False, special: bool = False) -> str:
        """The text a sequence was made from: without the space put before it, tidied where the vocabulary says so.

        `remove_special` first drops the tokens `encode` adds at both ends.
        """
        ids, strips = list(token_ids), self._frame.space_prefix
        if remove_special and self.adds_bos and ids[:1] == [self._frame.front_id]:
            ids, strips = ids[1:], False
        if remove_special and self.adds_eos and ids[-1:] == [self._frame.back_id]:
            ids = ids[:-1]
        content = [self._pieces.piece(token_id, special=special) for token_id in ids]
        if strips and content:
            content[0] = content[0].removeprefix(b" ")
        text = decode_bytes(b"".join(content))
        if self._frame.clean_spaces:
            for pattern, replacement in _CLEAN_UP:
                text = pattern.sub(replacement, text)
        return text
