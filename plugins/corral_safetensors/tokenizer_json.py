"""Vocabularies in JSON and text files: byte-level BPE, BPE with byte fallback, WordPiece, Unigram."""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Any

from corral import FormatError, Unsupported
from corral_safetensors.documents import Documents, Fields
from corral_safetensors.fingerprint import pre_tokenizer
from corral_safetensors.vocabulary import (
    BYTE,
    CONFIG_FILE,
    CONTROL,
    JSON_FILE,
    NORMAL,
    SPACE,
    UNKNOWN,
    UNUSED,
    Vocabulary,
    added_tokens,
    by_id,
    checked_id,
)

_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_CONTINUES = "##"
_MERGE_SPACE = "\u0120"  # a space inside one half of a merge
_PRE_BY_CLASS = {"Qwen2Tokenizer": "qwen2", "GPT2Tokenizer": "gpt-2"}
_BERT_ROLES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def read(documents: Documents, size: int) -> Vocabulary:
    """The vocabulary of tokenizer.json.  Raises FormatError, Unsupported naming the algorithm."""
    source = documents.object(JSON_FILE)
    model = source.child("model")
    kind = model.text("type") or _guessed(model)
    match kind:
        case "BPE" if "ByteLevel" in _types(source.values):
            return _byte_level(documents, source, model, size)
        case "BPE" if model.flag("byte_fallback"):
            return _byte_fallback(documents, source, model, size)
        case "WordPiece":
            return _word_piece(documents, source, by_id(JSON_FILE, model.child("vocab").values, size))
        case "Unigram":
            return _unigram(documents, source, model, size)
    raise Unsupported(f"unknown tokenizer format: {JSON_FILE} describes a {kind or 'nameless'!r:.40} model")


def _guessed(model: Fields) -> str:
    """Old files do not name the algorithm."""
    return "BPE" if model.has("merges") else "WordPiece" if model.has("continuing_subword_prefix") else ""


def read_pair(documents: Documents, size: int) -> Vocabulary:
    """vocab.json and merges.txt, the files of a byte-level BPE before tokenizer.json."""
    entries = documents.object("vocab.json").values
    tokens, types = _texts_and_types(documents, by_id("vocab.json", entries, size), size)
    lines = [line for line in documents.text("merges.txt").split("\n") if line.strip()]
    merges = [line.rstrip("\r") for line in lines if not line.startswith("#version")]
    for line in merges:
        if line.count(" ") != 1:
            raise FormatError(f"merges.txt: {line!r:.80} is not two parts with a space between")
    pre = _PRE_BY_CLASS.get(documents.object(CONFIG_FILE).text("tokenizer_class").removesuffix("Fast"), "default")
    return Vocabulary("gpt2", tokens, types, merges=merges, pre=pre)


def read_lines(documents: Documents, size: int) -> Vocabulary:
    """vocab.txt, the file of a WordPiece vocabulary before tokenizer.json."""
    lines = documents.text("vocab.txt").replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) > size:
        raise FormatError(f"vocab.txt: {len(lines)} tokens, but the embedding has {size} rows")
    tokens: list[str | None] = [*lines, *[None] * (size - len(lines))]
    lowercase = documents.object(CONFIG_FILE).flag("do_lower_case", True)
    steps = {"normalizer": {"type": "BertNormalizer", "lowercase": lowercase}}
    return _word_piece(documents, Fields("vocab.txt", steps), tokens, special=tuple(_BERT_ROLES.values()))


def _texts_and_types(documents: Documents, tokens: list[str | None], size: int) -> tuple[list[str], list[int]]:
    """The final texts and their types, tokens that were added on top."""
    types = [UNUSED if text is None else NORMAL for text in tokens]
    texts = [f"[PAD{token_id}]" if text is None else text for token_id, text in enumerate(tokens)]
    for added in added_tokens(documents, size):
        texts[added.token_id], types[added.token_id] = added.shown, added.kind
    return texts, types


def _byte_level(documents: Documents, source: Fields, model: Fields, size: int) -> Vocabulary:
    tokens = by_id(JSON_FILE, model.child("vocab").values, size)
    texts, types = _texts_and_types(documents, tokens, size)
    pre = pre_tokenizer(documents.text(JSON_FILE), source.values)
    return Vocabulary("gpt2", texts, types, merges=_merges(model), pre=pre, ids=_unknown(model, tokens))


def _byte_fallback(documents: Documents, source: Fields, model: Fields, size: int) -> Vocabulary:
    """A SentencePiece vocabulary as BPE: a token's score is how early it is merged."""
    tokens = by_id(JSON_FILE, model.child("vocab").values, size)
    texts, types = _texts_and_types(documents, tokens, size)
    unknown = model.text("unk_token")
    for token_id, text in enumerate(tokens):
        if text is not None and _BYTE_TOKEN.fullmatch(text):
            types[token_id] = BYTE
        elif text is not None and text == unknown:
            types[token_id] = UNKNOWN
    merges = _merges(model)
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault(merge.replace(" ", "", 1), rank)
    scores = [-float(ranks.get(text, len(merges))) for text in texts]
    kinds = list(_steps(source.values))
    prefix = any(
        step.get("type") == "Prepend" or (step.get("type") == "Metaspace" and _prepends(step)) for step in kinds
    )
    extra = {"add_space_prefix": documents.object(CONFIG_FILE).flag("add_prefix_space", prefix)}
    return Vocabulary("llama", texts, types, scores, merges, extra=extra, ids=_unknown(model, tokens))


def _prepends(step: dict[str, Any]) -> bool:
    return step.get("prepend_scheme", "always") != "never" and step.get("add_prefix_space", True) is not False


def _word_piece(
    documents: Documents, source: Fields, tokens: list[str | None], *, special: Sequence[str] = ()
) -> Vocabulary:
    texts, types = _texts_and_types(documents, tokens, len(tokens))
    types = [CONTROL if text in special else kind for text, kind in zip(texts, types, strict=True)]

    def shown(text: str, kind: int) -> str:
        if kind == CONTROL:
            return text
        return text[len(_CONTINUES) :] if text.startswith(_CONTINUES) else SPACE + text

    vocabulary = Vocabulary("bert", [shown(text, kind) for text, kind in zip(texts, types, strict=True)], types)
    if documents.has(JSON_FILE):
        vocabulary.pre = pre_tokenizer(documents.text(JSON_FILE), source.values)
    vocabulary.ids = {role: texts.index(text) for role, text in _BERT_ROLES.items() if text in texts}
    vocabulary.ids |= _unknown(source.child("model"), tokens)
    for step in _steps(source.values.get("normalizer")):
        for key in ("lowercase", "strip_accents"):
            if isinstance(step.get(key), bool):
                vocabulary.extra[f"normalizer.{key}"] = step[key]
        if step.get("type") in ("Lowercase", "StripAccents"):
            vocabulary.extra["normalizer." + ("lowercase" if step["type"] == "Lowercase" else "strip_accents")] = True
    return vocabulary


def _unigram(documents: Documents, source: Fields, model: Fields, size: int) -> Vocabulary:
    entries = model.array("vocab")
    texts, scores = [], []
    for entry in entries:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            raise FormatError(f"{JSON_FILE}: 'vocab' must be a list of pairs of text and score")
        texts.append(entry[0])
        scores.append(Fields(JSON_FILE, {"score": entry[1]}).number("score"))
    if len(texts) > size:
        raise FormatError(f"{JSON_FILE}: {len(texts)} tokens, but the embedding has {size} rows")
    missing = size - len(texts)
    tokens, types = _texts_and_types(documents, [*texts, *[None] * missing], size)
    if model.has("unk_id"):
        types[checked_id(JSON_FILE, model.integer("unk_id"), size)] = UNKNOWN
    extra: dict[str, Any] = {"add_space_prefix": True, "remove_extra_whitespaces": True}
    for step in _steps(source.values):
        if step.get("type") == "Metaspace":
            extra["add_space_prefix"] = _prepends(step)
        if step.get("type") == "Precompiled" and step.get("precompiled_charsmap"):
            extra["precompiled_charsmap"] = _decoded(step["precompiled_charsmap"])
    return Vocabulary("t5", tokens, types, scores=scores + [-10000.0] * missing, extra=extra)


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as err:
        raise FormatError(f"{JSON_FILE}: 'precompiled_charsmap' is not base64") from err


def _unknown(model: Fields, tokens: Sequence[str | None]) -> dict[str, int]:
    """The id of the token for what is not in the vocabulary, where the model names one."""
    text = model.text("unk_token")
    return {"unk": tokens.index(text)} if text and text in tokens else {}


def _merges(model: Fields) -> list[str]:
    """Merges as `left right`, from texts of that form or from pairs."""
    result = []
    for merge in model.array("merges"):
        if isinstance(merge, str):
            result.append(merge)
        elif isinstance(merge, list) and len(merge) == 2 and all(isinstance(half, str) for half in merge):
            result.append(" ".join(half.replace(" ", _MERGE_SPACE) for half in merge))
        else:
            raise FormatError(f"{JSON_FILE}: 'merges' must be a list of texts or of pairs of texts")
    return result


def _steps(step: Any) -> Iterator[dict[str, Any]]:
    """All components of a pipeline, however deep."""
    if isinstance(step, dict):
        if "type" in step:
            yield step
        for key, inner in step.items():
            if key not in ("vocab", "merges", "added_tokens"):
                yield from _steps(inner)
    elif isinstance(step, list):
        for inner in step:
            yield from _steps(inner)


def _types(pipeline: Any) -> set[Any]:
    return {step["type"] for step in _steps(pipeline) if isinstance(step["type"], str)}
