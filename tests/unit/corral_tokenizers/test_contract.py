"""Our tokenizers keep the laws of every tokenizer."""

from pathlib import Path

import pytest

from corral import Tokenizer, Vocab
from corral.testing.tokenizer_contract import TokenizerContract
from corral_gguf.loader import GgufLoader
from corral_tokenizers.kinds import kinds


def build(vocab: Vocab) -> Tokenizer:
    return next(kind for kind in kinds(llama_cpp_patterns=False) if kind.name == vocab.model).build(vocab)


class TestBytePair(TokenizerContract):
    @pytest.fixture
    def tokenizer(self, bpe_vocab: Vocab) -> Tokenizer:
        return build(bpe_vocab)


class TestSentencePiece(TokenizerContract):
    @pytest.fixture
    def tokenizer(self, llama_vocab: Vocab) -> Tokenizer:
        return build(llama_vocab)


class TestWordPiece(TokenizerContract):
    @pytest.fixture
    def tokenizer(self, bert_vocab: Vocab) -> Tokenizer:
        return build(bert_vocab)


class TestUnigram(TokenizerContract):
    @pytest.fixture
    def tokenizer(self, t5_vocab: Vocab) -> Tokenizer:
        return build(t5_vocab)


@pytest.fixture(scope="module")
def smollm2_tokenizer(smollm2_path: Path) -> Tokenizer:
    weights = GgufLoader().open(smollm2_path)
    vocab = weights.vocab()
    weights.close()
    return build(vocab)


class TestTheRealFile(TokenizerContract):
    @pytest.fixture
    def tokenizer(self, smollm2_tokenizer: Tokenizer) -> Tokenizer:
        return smollm2_tokenizer


class TestTokenizerJson(TokenizerContract):
    @pytest.fixture
    def tokenizer(self, json_vocab: Vocab) -> Tokenizer:
        return build(json_vocab)
