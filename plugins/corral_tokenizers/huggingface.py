"""A Hugging Face tokenizer.json, run by the library it was made for."""

import json
from collections.abc import Collection, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from msgspec.structs import replace

from corral import JSON, FormatError, Vocab
from corral_tokenizers.detokenizer import StreamDetokenizer, decode_bytes
from corral_tokenizers.pieces import Pieces, Spell, byte_value, spell_byte_level, spell_spaces, to_bytes
from corral_tokenizers.roles import BYTE, CONTROL, NORMAL, USER_DEFINED, find_roles, token_index
from corral_tokenizers.rust import run
from corral_tokenizers.tokenizer import valid_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Pipeline

_CONTINUES = "##"
_PROBE = "a"
_CHANGES_BEGINNINGS = ("Prepend", "Metaspace")  # steps that treat the beginning of their input in a special way


class JsonTokenizer:
    """A tokenizer made from tokenizer.json.  Ids of special tokens come from the vocabulary's own fields."""

    def __init__(self, vocab: Vocab) -> None:
        self._pipeline = _parse(vocab.tokenizer_json)
        self._lock = Lock()  # `encode_special_tokens` is a state of the pipeline
        config = json.loads(vocab.tokenizer_json)
        steps = set(_types(config.get("decoder")))
        tokens, types = _tokens(self._pipeline, has_bytes="ByteFallback" in steps)
        roles = find_roles(replace(vocab, tokens=tokens, token_types=types), token_index(tokens))
        self._pieces = Pieces(tokens, roles.types, _spell(steps))
        self._eog_ids = roles.eog_ids
        self._front, self._back = _frame(self._pipeline)
        self._bos_id = vocab.bos_id if vocab.bos_id >= 0 else (self._front[0] if self._front else -1)
        before = {*_types(config.get("normalizer")), *_types(config.get("pre_tokenizer"))}
        adds_space = '"add_prefix_space":true' in json.dumps(config, separators=(",", ":"))
        self._may_cut = not adds_space and before.isdisjoint(_CHANGES_BEGINNINGS)

    @property
    def vocab_size(self) -> int:
        return len(self._pieces)

    @property
    def bos_id(self) -> int:
        return self._bos_id

    @property
    def eog_ids(self) -> frozenset[int]:
        return self._eog_ids

    @property
    def adds_bos(self) -> bool:
        return bool(self._front)

    @property
    def adds_eos(self) -> bool:
        return bool(self._back)

    def encode(self, text: str, *, add_special: bool = False, parse_special: bool = True) -> list[int]:
        text = valid_text(text)
        with self._lock:
            self._pipeline.encode_special_tokens = not parse_special
            if self._may_cut:
                ids = run(self._pipeline, text)
            else:
                ids = list(self._pipeline.encode(text, add_special_tokens=False).ids)
        return [*self._front, *ids, *self._back] if add_special else ids

    def decode(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """The pieces put together, exactly as `stream` gives them.  Raises BadRequest for an id that does not exist."""
        return decode_bytes(b"".join(self._pieces.piece(token_id, special=special) for token_id in token_ids))

    def token_bytes(self, token_id: int, *, special: bool = True) -> bytes:
        return self._pieces.piece(token_id, special=special)

    def stream(self, stop: Sequence[str] = (), *, special: bool | Collection[str] = False) -> StreamDetokenizer:
        return StreamDetokenizer(self._pieces, stop, special=special)


def _parse(source: str) -> "Pipeline":
    from tokenizers import Tokenizer as Pipeline

    try:
        pipeline = Pipeline.from_str(source)
    except Exception as err:  # the library has no exception class of its own
        raise FormatError(f"tokenizer.json cannot be used: {err}") from err
    pipeline.no_truncation()  # how long a text may be is the caller's affair
    pipeline.no_padding()
    return pipeline


def _tokens(pipeline: "Pipeline", *, has_bytes: bool) -> tuple[list[str], list[int]]:
    """Texts and types by id; ids the file skips are unused."""
    added = pipeline.get_added_tokens_decoder()
    vocabulary = pipeline.get_vocab(with_added_tokens=True)
    n_tokens = 1 + max(vocabulary.values(), default=-1)
    tokens = [f"[PAD{token_id}]" for token_id in range(n_tokens)]
    types = [NORMAL] * n_tokens
    for text, token_id in vocabulary.items():
        tokens[token_id] = text
        if has_bytes and byte_value(text) is not None:
            types[token_id] = BYTE
    for token_id, token in added.items():
        types[token_id] = CONTROL if token.special else USER_DEFINED
    return tokens, types


def _types(step: JSON) -> Iterator[str]:
    """The types of a step and of the steps inside it."""
    if isinstance(step, dict):
        yield str(step.get("type", ""))
        for inner in step.values():
            yield from _types(inner)
    elif isinstance(step, list):
        for inner in step:
            yield from _types(inner)


def _spell(steps: set[str]) -> Spell:
    if "ByteLevel" in steps:
        return spell_byte_level()
    if "WordPiece" in steps:
        return _spell_word_piece
    return spell_spaces if steps & {"Metaspace", "Replace"} else to_bytes


def _spell_word_piece(text: str) -> bytes:
    return to_bytes(text[len(_CONTINUES) :] if text.startswith(_CONTINUES) else " " + text)


def _frame(pipeline: "Pipeline") -> tuple[list[int], list[int]]:
    """The ids the post-processor puts before and after a text."""
    plain = pipeline.encode(_PROBE, add_special_tokens=False).ids
    framed = pipeline.encode(_PROBE, add_special_tokens=True).ids
    for start in range(len(framed) - len(plain) + 1):
        if framed[start : start + len(plain)] == plain:
            return framed[:start], framed[start + len(plain) :]
    return [], []
