"""F33: odd and very long text."""

import random
import time

import pytest

from corral import Tokenizer, Vocab
from corral_tokenizers import rust
from corral_tokenizers.kinds import kinds

KINDS = ["bpe_vocab", "llama_vocab", "bert_vocab", "t5_vocab"]


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    vocab: Vocab = request.getfixturevalue(request.param)
    return next(kind for kind in kinds(llama_cpp_patterns=False) if kind.name == vocab.model).build(vocab)


def random_text(size: int) -> str:
    chance = random.Random(7)
    words = ["hello", "world", "abc", "ab", "aab", "é", "🦙", "\n", "\n\n ", "   ", "12", "3", "!", "'s", "中"]
    return " ".join(chance.choice(words) for _ in range(size))


def test_windows_do_not_change_the_ids(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    text = random_text(3000)
    whole = tokenizer.encode(text)
    monkeypatch.setattr(rust, "_WINDOW", 300)
    monkeypatch.setattr(rust, "_MARGIN", 20)
    assert tokenizer.encode(text) == whole


def test_a_piece_longer_than_a_window_is_not_cut(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "ab " + "a" * 2000 + " " * 700 + "ab" + "\n" * 700 + "hello"
    whole = tokenizer.encode(text)
    monkeypatch.setattr(rust, "_WINDOW", 128)
    assert tokenizer.encode(text) == whole


def test_a_piece_beyond_all_bounds_is_cut_but_kept(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rust, "_WINDOW", 128)
    monkeypatch.setattr(rust, "_LONGEST_PIECE", 512)
    if tokenizer.decode(tokenizer.encode("a")).strip() == "a":  # not with the vocabulary that has no such letter
        assert tokenizer.decode(tokenizer.encode("a" * 5000)).count("a") == 5000


@pytest.mark.parametrize(
    "text", ["🦙" * 50_000, "a" * 200_000, " " * 100_000, "<" * 100_000, "<s>" * 20_000, "\0" * 50_000]
)
def test_long_and_odd_text_takes_linear_time(tokenizer: Tokenizer, text: str) -> None:
    start = time.process_time()
    tokenizer.encode(text[: len(text) // 8])
    short = time.process_time() - start
    start = time.process_time()
    ids = tokenizer.encode(text)
    whole = time.process_time() - start
    assert whole < 40 * short + 0.5  # eight times the text; quadratic time would be 64 times
    assert all(0 <= token_id < tokenizer.vocab_size for token_id in ids[:1000])
