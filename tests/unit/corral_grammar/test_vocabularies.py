"""Constraints over byte-level, SentencePiece, Unigram and WordPiece vocabularies, and forced text as their tokenizers
write it."""

import numpy as np
import pytest

from corral import Constraint, Vocab
from corral_engine.vocabulary import Vocabulary
from corral_grammar.compiler import GrammarCompiler
from corral_grammar.plugin import GrammarConfig
from corral_tokenizers.kinds import kinds
from corral_tokenizers.pieces import byte_characters

KINDS = tuple(kinds(llama_cpp_patterns=False))
UNKNOWN, CONTROL, NORMAL, BYTE = 2, 3, 1, 6


def gpt2() -> Vocab:
    tokens = ["<|end|>", *byte_characters().values(), "ab", "abc", "Ġab", "ĠĠ"]
    merges = ["a b", "ab c", "Ġ ab", "Ġ Ġ"]
    types = [CONTROL] + [NORMAL] * (len(tokens) - 1)
    return Vocab(model="gpt2", pre="gpt-2", tokens=tokens, token_types=types, merges=merges, eos_id=0)


def llama() -> Vocab:
    scored = {"▁": -20.0, "a": -21.0, "b": -22.0, "c": -23.0, "ab": -2.0, "▁ab": -1.0, "abc": -4.0, "▁▁": -5.0}
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *scored]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(scored)
    scores = [0.0] * 259 + [*scored.values()]
    return Vocab(
        model="llama", pre="default", tokens=tokens, scores=scores, token_types=types, bos_id=1, eos_id=2, unk_id=0
    )


def t5() -> Vocab:
    tokens = ["<pad>", "</s>", "<unk>", "▁", "▁ab", "ab", "a", "b", "c", "abc", "é"]
    types = [CONTROL, CONTROL, UNKNOWN] + [NORMAL] * 8
    scores = [0.0, 0.0, 0.0, -3.0, -4.0, -4.5, -6.0, -6.1, -6.2, -5.5, -7.0]
    return Vocab(model="t5", tokens=tokens, scores=scores, token_types=types, eos_id=1, unk_id=2, add_space_prefix=True)


def bert() -> Vocab:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁ab", "c", "é", "a", "b", "▁abc", " "]
    types = [CONTROL] * 4 + [NORMAL] * 7
    return Vocab(
        model="bert", tokens=tokens, token_types=types, cls_id=2, sep_id=3, unk_id=1, pad_id=0, bos_id=2, eos_id=3
    )


@pytest.mark.parametrize("vocab", [gpt2(), llama(), t5(), bert()], ids=lambda vocab: vocab.model)
@pytest.mark.parametrize("text", ["abc", "abcab", "ab abé"])
def test_every_vocabulary_writes_what_it_must(vocab: Vocab, text: str) -> None:
    vocabulary = Vocabulary(vocab, KINDS)
    assert vocabulary.encodes
    choice = Constraint(kind="choice", source=f'["{text}", "a{text}é"]')
    state = GrammarCompiler(GrammarConfig()).compile(choice, vocabulary)
    written = b""
    while not state.is_finished:
        forced = state.forced_tokens()
        logits = np.zeros(len(vocabulary.token_bytes), np.float32)
        state.mask(logits)
        allowed = np.flatnonzero(np.isfinite(logits)).tolist()
        token = forced[0] if forced else max(allowed, key=lambda token: len(vocabulary.token_bytes[token]))
        assert token in allowed
        assert state.allows(token)
        if token in vocabulary.eog_ids:
            break
        state.accept(token)
        written += vocabulary.token_bytes[token]
    assert written.decode() == text


@pytest.mark.parametrize(
    ("vocab", "text", "pieces"),
    [
        (gpt2(), "abc ab", [b"abc", b" ab"]),
        (llama(), "abc ab", [b"abc", b" ab"]),
        (llama(), "aé", [b"a", b"\xc3", b"\xa9"]),
        (t5(), "abc ab", [b"abc", b" ab"]),
        (bert(), "abc", [b"abc"]),
        (bert(), "caé", [b"c", b"a", "é".encode()]),
    ],
    ids=lambda value: value.model if isinstance(value, Vocab) else None,
)
def test_text_is_written_as_in_the_middle_of_a_sentence(vocab: Vocab, text: str, pieces: list[bytes]) -> None:
    vocabulary = Vocabulary(vocab, KINDS)
    assert [vocabulary.token_bytes[token] for token in vocabulary.encode(text)] == pieces


def test_without_its_tokenizer_a_vocabulary_encodes_nothing() -> None:
    vocabulary = Vocabulary(gpt2())
    assert not vocabulary.encodes
    assert list(vocabulary.encode("abc")) == []
    assert vocabulary.spelling(0) == b"<|end|>"
