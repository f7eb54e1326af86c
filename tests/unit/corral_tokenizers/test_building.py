"""What a vocabulary must be, and what is made of odd ones."""

import pytest
from msgspec.structs import replace

from corral import FormatError, Tokenizer, Unsupported, Vocab
from corral_tokenizers import Plugin
from corral_tokenizers.kinds import kinds
from corral_tokenizers.rust import split_pairs
from corral_tokenizers.tokenizer import VocabTokenizer


def build(vocab: Vocab) -> VocabTokenizer:
    tokenizer = next(kind for kind in kinds(llama_cpp_patterns=False) if kind.name == vocab.model).build(vocab)
    assert isinstance(tokenizer, VocabTokenizer)
    return tokenizer


def test_the_plugin_offers_every_kind() -> None:
    offered = [kind.name for kind in Plugin(Plugin.Config()).corral_tokenizers()]
    assert offered == ["gpt2", "gemma4", "llama", "bert", "t5", "none"]


def test_no_vocabulary_is_unsupported() -> None:
    kind = next(kind for kind in kinds(llama_cpp_patterns=False) if kind.name == "none")
    with pytest.raises(Unsupported, match="no vocabulary"):
        kind.build(Vocab(model="none"))


def test_f11_merges_of_missing_tokens(bpe_vocab: Vocab) -> None:
    with pytest.raises(FormatError, match="vocabulary"):
        build(replace(bpe_vocab, merges=[*bpe_vocab.merges, "he xx"]))
    with pytest.raises(FormatError, match="merge"):
        build(replace(bpe_vocab, merges=[*bpe_vocab.merges, "nospace", "a b c"]))


def test_f11_scores_and_ids_that_do_not_fit(t5_vocab: Vocab, llama_vocab: Vocab, bpe_vocab: Vocab) -> None:
    with pytest.raises(FormatError, match="scores"):
        build(replace(t5_vocab, scores=[0.0]))
    with pytest.raises(FormatError, match="scores"):
        build(replace(llama_vocab, scores=[0.0]))
    with pytest.raises(FormatError, match="bos"):
        build(replace(bpe_vocab, bos_id=-1))
    with pytest.raises(FormatError, match="tokens"):
        build(replace(bpe_vocab, tokens=[]))


@pytest.mark.parametrize("name", ["<0x-1>", "<0xZZ>", "<0x１２>", "<0x123>"])
def test_f11_a_byte_token_with_an_odd_name_is_its_text(name: str, llama_vocab: Vocab) -> None:
    tokens = [*llama_vocab.tokens]
    tokens[3] = name
    tokenizer = build(replace(llama_vocab, tokens=tokens))
    assert tokenizer.token_bytes(3) == name.encode()
    assert tokenizer.encode("\0", parse_special=False) == [259, 0]


def test_merges_are_split_at_the_first_space_after_the_first_character() -> None:
    assert split_pairs(["a b", "Ġ c"]) == [("a", "b"), ("Ġ", "c")]
    assert split_pairs(["  b", "a b c", "a b"]) == [(" ", "b"), ("a", "b c"), ("a", "b")]
    assert split_pairs([]) == []


def test_whole_words_need_no_merges_when_they_are_ignored(bpe_vocab: Vocab) -> None:
    world = list(bpe_vocab.tokens).index("Ġworld")
    assert build(bpe_vocab).encode(" world") != [world]
    assert build(replace(bpe_vocab, pre="llama-bpe")).encode(" world") == [world]


def test_tokens_that_are_not_unicode_keep_their_bytes(bpe_vocab: Vocab) -> None:
    tokenizer = build(replace(bpe_vocab, tokens=[*bpe_vocab.tokens, "\udcff"], token_types=[*bpe_vocab.token_types, 4]))
    assert tokenizer.token_bytes(tokenizer.vocab_size - 1) == b"\xff"
    assert tokenizer.encode("abc") == [260]


def test_characters_outside_the_byte_table_are_made_visible() -> None:
    tokenizer = build(Vocab(model="gpt2", pre="gpt-2", tokens=["a", "你"]))
    assert tokenizer.decode([1, 0]) == "[UNK_BYTE_0xe4bda0]a"


def test_sentencepiece_with_merges_follows_them(llama_vocab: Vocab) -> None:
    vocab = replace(llama_vocab, scores=[], merges=["b c", "▁ a"], tokens=[*llama_vocab.tokens, "bc"], token_types=[])
    index = {text: token_id for token_id, text in enumerate(vocab.tokens)}
    assert build(vocab).encode("abc") == [index["▁a"], index["bc"]]


def test_gemma4_keeps_spaces_and_takes_newlines_whole() -> None:
    tokens = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        "a",
        "▁a",
        "\n",
        "\n\n",
    ]
    vocab = Vocab(
        model="gemma4",
        tokens=tokens,
        token_types=[3, 3, 3, 2] + [6] * 256 + [1] * 5,
        merges=["▁ a"],
        bos_id=2,
        eos_id=1,
        unk_id=3,
        add_bos=False,
    )
    tokenizer = build(vocab)
    assert tokenizer.encode(" a\n\na\n\n\né", add_special=True) == [2, 262, 264, 261, 263, 263, 263, 4 + 0xC3, 4 + 0xA9]
    assert tokenizer.decode([262, 264]) == " a\n\n"
    assert tokenizer.adds_bos


@pytest.mark.parametrize("name", ["gemma4", "sarvam-moe", "granite-embed-multi-311m"])
def test_bytes_without_a_token_are_dropped(name: str) -> None:
    vocab = Vocab(model="gpt2", pre=name, tokens=["a", "▁"], bos_id=0)
    assert build(vocab).encode("a éa") == [0, 1, 0]


def test_sentencepiece_without_byte_tokens_gives_the_unknown_token() -> None:
    vocab = Vocab(model="llama", tokens=["<unk>", "<s>", "</s>", "▁", "a"], scores=[0.0] * 5)
    assert build(vocab).encode("aéa") == [3, 4, 0, 4]
    vocab = Vocab(model="llama", tokens=["", "<s>", "</s>", "▁", "a"], scores=[0.0] * 5)
    assert build(vocab).encode("aéa") == [3, 4, 4]


def test_phi3_tokens_swallow_the_space_after_them(llama_vocab: Vocab) -> None:
    tokens = [*llama_vocab.tokens, "<|placeholder1|>", "<|assistant|>", "<|end|>"]
    vocab = replace(
        llama_vocab,
        tokens=tokens,
        token_types=[*llama_vocab.token_types, 3, 3, 3],
        scores=[*llama_vocab.scores, 0, 0, 0],
    )
    end = tokens.index("<|end|>")
    assert build(vocab).encode("<|end|> \n ab<s> ab") == [end, 265, 1, 259, 265]


def test_wordpiece_of_a_cased_vocabulary_keeps_case_and_accents(bert_vocab: Vocab) -> None:
    tokens = [*bert_vocab.tokens, "▁Éa", "▁Z"]
    tokenizer = build(replace(bert_vocab, tokens=tokens, token_types=[*bert_vocab.token_types, 1, 1]))
    assert tokenizer.encode("Éa hello Hello") == [len(tokens) - 2, 8, 1]


@pytest.mark.parametrize(("ids", "expected"), [
    ([1, 265], " ab"),  # the hidden bos has spent the chance to lose a space
    ([265], "ab"),
    ([265, 265], "ab ab"),
])  # fmt: skip
def test_detokenize_drops_the_space_that_encode_put(ids: list[int], expected: str, llama_vocab: Vocab) -> None:
    tokenizer: Tokenizer = build(llama_vocab)
    assert isinstance(tokenizer, VocabTokenizer)
    assert tokenizer.detokenize(ids) == expected
    assert tokenizer.decode(ids) == " ab" * (2 if ids == [265, 265] else 1)


def test_detokenize_tidies_spaces_where_the_vocabulary_says_so(bert_vocab: Vocab) -> None:
    tokenizer = build(bert_vocab)
    ids = tokenizer.encode("hello , world !", add_special=True)
    assert tokenizer.detokenize(ids, remove_special=True) == " hello, world!"
