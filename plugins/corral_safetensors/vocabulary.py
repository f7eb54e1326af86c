"""The vocabulary of a checkpoint, from whichever files describe it, as GGUF keys."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from corral import FormatError, Unsupported
from corral_safetensors import sentencepiece
from corral_safetensors.documents import Documents, Fields
from corral_safetensors.family import Family
from corral_safetensors.fingerprint import DEFAULT

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SPACE = "\u2581"
JSON_FILE, MODEL_FILE, CONFIG_FILE = "tokenizer.json", "tokenizer.model", "tokenizer_config.json"
_ADDED_SCORE = -1000.0
_PADDING_SCORE = -10000.0
_NUMBER = re.compile(r"[0-9]{1,9}")
_LOOKS_SPECIAL = re.compile(r"<\|.*\|>|<｜.*｜>|<unused.*>|<pad>|<mask>|<2mass>|\[@BOS@\]", re.DOTALL)


@dataclass(slots=True)
class Vocabulary:
    """Tokens by id and what goes with them.  `extra` holds further `tokenizer.ggml.` keys."""

    model: str
    tokens: list[str]
    types: list[int]
    scores: list[float] = field(default_factory=list)
    merges: list[str] = field(default_factory=list)
    pre: str = DEFAULT
    extra: dict[str, Any] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)  # special tokens that the files of the algorithm itself name

    def index(self) -> dict[str, int]:
        return {text: token_id for token_id, text in reversed(list(enumerate(self.tokens)))}

    def keys(self) -> dict[str, Any]:
        values = {
            "model": self.model, "pre": self.pre, "tokens": self.tokens, "token_type": self.types,
            "scores": self.scores, "merges": self.merges,
        }  # fmt: skip
        kept = {name: value for name, value in values.items() if value}
        return {f"tokenizer.ggml.{name}": value for name, value in {**kept, **self.extra}.items()}


@dataclass(frozen=True, slots=True)
class Added:
    """A token that was added to a vocabulary."""

    token_id: int
    text: str
    special: bool

    @property
    def kind(self) -> int:
        return CONTROL if self.special or _LOOKS_SPECIAL.fullmatch(self.text) else USER_DEFINED

    @property
    def shown(self) -> str:
        """The text as it is matched: user-defined tokens hold plain spaces."""
        return self.text if self.kind == CONTROL else self.text.replace(SPACE, " ")


def read_vocabulary(documents: Documents, family: Family, size: int) -> Vocabulary:
    """A vocabulary of exactly `size` tokens; what the files leave out is unused.

    Raises FormatError, Unsupported when there is none that could be read.
    """
    from corral_safetensors import tokenizer_json

    if documents.has(MODEL_FILE):
        return _distinct(MODEL_FILE, _from_sentencepiece(documents, family, size))
    if documents.has(JSON_FILE):
        return _distinct(JSON_FILE, tokenizer_json.read(documents, size))
    if documents.has("vocab.json") and documents.has("merges.txt"):
        return _distinct("vocab.json", tokenizer_json.read_pair(documents, size))
    if documents.has("vocab.txt"):
        return _distinct("vocab.txt", tokenizer_json.read_lines(documents, size))
    raise Unsupported("unknown tokenizer format: there is no tokenizer.json, tokenizer.model or vocabulary file")


def _distinct(file: str, vocabulary: Vocabulary) -> Vocabulary:
    """Raises FormatError for two tokens of one text: a text would have two ids, and other programs refuse the model."""
    first: dict[str, int] = {}
    for token_id, text in enumerate(vocabulary.tokens):
        if first.setdefault(text, token_id) != token_id:
            raise FormatError(f"{file}: tokens {first[text]} and {token_id} are both {text!r:.80}")
    return vocabulary


def _from_sentencepiece(documents: Documents, family: Family, size: int) -> Vocabulary:
    model = sentencepiece.parse_model(MODEL_FILE, documents.bytes(MODEL_FILE))
    if len(model.texts) > size:
        raise FormatError(f"{MODEL_FILE}: {len(model.texts)} pieces, but the embedding has {size} rows")
    missing = range(len(model.texts), size)
    vocabulary = Vocabulary(
        model="t5" if model.algorithm == sentencepiece.UNIGRAM else "llama",
        tokens=[*model.texts, *(f"[PAD{token_id}]" for token_id in missing)],
        types=[*model.types, *(UNUSED for _ in missing)],
        scores=[*model.scores, *(_PADDING_SCORE for _ in missing)],
        ids={name: token_id for name, token_id in model.ids.items() if 0 <= token_id < len(model.texts)},
    )
    config = documents.object(CONFIG_FILE)
    for added in added_tokens(documents, size):
        vocabulary.tokens[added.token_id] = added.shown
        vocabulary.types[added.token_id] = added.kind
        vocabulary.scores[added.token_id] = _ADDED_SCORE
    prefix = model.space_prefix if family.space_prefix is None else family.space_prefix
    vocabulary.extra["add_space_prefix"] = config.flag("add_prefix_space", prefix)
    if vocabulary.model == "t5":
        vocabulary.extra["remove_extra_whitespaces"] = model.remove_extra_whitespaces
        if model.charsmap:
            vocabulary.extra["precompiled_charsmap"] = model.charsmap
    return vocabulary


def added_tokens(documents: Documents, size: int) -> list[Added]:
    """Tokens that files other than the vocabulary's own add, later files over earlier ones."""
    found: dict[int, Added] = {}
    for text, token_id in documents.object("added_tokens.json").values.items():
        found[checked_id("added_tokens.json", token_id, size)] = Added(token_id, text, special=False)
    decoder = documents.object(CONFIG_FILE).child("added_tokens_decoder")
    for number, entry in decoder.values.items():
        token = Fields(f"{decoder.file}: {number}", entry if isinstance(entry, dict) else {})
        token_id = checked_id(decoder.file, int(number) if _NUMBER.fullmatch(number) else number, size)
        found[token_id] = Added(token_id, token.text("content"), special=token.flag("special"))
    own: dict[int, str] = {}
    for token in documents.object(JSON_FILE).children("added_tokens"):
        token_id, text = checked_id(JSON_FILE, token.integer("id"), size), token.text("content")
        if own.setdefault(token_id, text) != text:
            raise _shared_id(token.file, token_id, own[token_id], text)
        found[token_id] = Added(token_id, text, special=token.flag("special"))
    return [found[token_id] for token_id in sorted(found)]


def checked_id(file: str, token_id: Any, size: int) -> int:
    """Raises FormatError unless it is an id below `size`."""
    if isinstance(token_id, bool) or not isinstance(token_id, int) or not 0 <= token_id < size:
        raise FormatError(f"{file}: token id {token_id!r:.20}, but the embedding has {size} rows")
    return token_id


def by_id(file: str, entries: Mapping[str, Any], size: int) -> list[str | None]:
    """The texts of a table text → id, None where an id is not used.  Raises FormatError for an id of two texts."""
    tokens: list[str | None] = [None] * size
    for text, token_id in entries.items():
        other = tokens[checked_id(file, token_id, size)]
        if other is not None:
            raise _shared_id(file, token_id, other, text)
        tokens[token_id] = text
    return tokens


def _shared_id(file: str, token_id: int, first: str, second: str) -> FormatError:
    return FormatError(f"{file}: token id {token_id} is that of {first!r:.80} and of {second!r:.80}")
