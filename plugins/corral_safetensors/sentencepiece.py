"""`tokenizer.model`, the file of SentencePiece: a protocol buffer, of which four messages matter.

Field numbers: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from corral import FormatError

UNIGRAM, BPE = 1, 2
_MAX_VARINT_BYTES = 10
_FIXED = {1: 8, 5: 4}
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TRAINER_IDS = {40: "unk", 41: "bos", 42: "eos", 43: "pad"}
_DEFAULT_IDS = {"unk": 0, "bos": 1, "eos": 2, "pad": -1}


@dataclass(slots=True)
class SentencePieceModel:
    """Pieces in order of their ids; `types` are GGUF's, which are the file's own."""

    texts: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    algorithm: int = UNIGRAM
    ids: dict[str, int] = field(default_factory=lambda: dict(_DEFAULT_IDS))
    space_prefix: bool = True
    remove_extra_whitespaces: bool = True
    charsmap: bytes = b""


def parse_model(file: str, data: bytes) -> SentencePieceModel:
    """Raises FormatError naming the file."""
    model = SentencePieceModel()
    try:
        for number, value in _fields(memoryview(data)):
            if number == _PIECES:
                _read_piece(model, _message(value))
            elif number == _TRAINER:
                _read_trainer(model, _message(value))
            elif number == _NORMALIZER:
                _read_normalizer(model, _message(value))
    except (ValueError, struct.error) as err:
        raise FormatError(f"{file}: not a valid SentencePiece model: {err}") from err
    if not model.texts:
        raise FormatError(f"{file}: not a valid SentencePiece model: it has no pieces")
    return model


def _read_piece(model: SentencePieceModel, message: memoryview) -> None:
    text, score, kind = "", 0.0, 1
    for number, value in _fields(message):
        if number == 1:
            text = bytes(_message(value)).decode()
        elif number == 2 and isinstance(value, memoryview) and len(value) == 4:
            (score,) = struct.unpack("<f", value)
        elif number == 3 and isinstance(value, int):
            kind = value
    if not 1 <= kind <= 6:
        raise ValueError(f"piece {len(model.texts)} is of type {kind}")
    model.texts.append(text)
    model.scores.append(score)
    model.types.append(kind)


def _read_trainer(model: SentencePieceModel, message: memoryview) -> None:
    for number, value in _fields(message):
        if number == 3 and isinstance(value, int):
            model.algorithm = value
        elif number in _TRAINER_IDS and isinstance(value, int):
            model.ids[_TRAINER_IDS[number]] = value if value < 1 << 31 else -1  # negative numbers are huge ones here


def _read_normalizer(model: SentencePieceModel, message: memoryview) -> None:
    for number, value in _fields(message):
        if number == 2:
            model.charsmap = bytes(_message(value))
        elif number == 3:
            model.space_prefix = bool(value)
        elif number == 4:
            model.remove_extra_whitespaces = bool(value)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value); everything but numbers is a view."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind, size = key & 7, 0
        if kind == 0:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if kind == 2:
            size, position = _varint(data, position)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError(f"a field of kind {kind} at byte {position}")
        if size > len(data) - position:
            raise ValueError(f"{size} bytes at byte {position} do not fit into the file")
        yield key >> 3, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, position + place + 1
    raise ValueError(f"a number at byte {position} has no end")
