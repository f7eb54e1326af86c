"""tokenizer.json is run as it is."""

import json

import pytest

from corral import FormatError, JSONObject, Vocab
from corral_tokenizers.huggingface import JsonTokenizer


def make(config: JSONObject) -> JsonTokenizer:
    return JsonTokenizer(Vocab(model="gpt2", tokenizer_json=json.dumps(config), bos_id=0, eos_id=1))


def test_texts_are_neither_cut_nor_padded(json_config: JSONObject) -> None:
    tokenizer = make(json_config)
    ids = tokenizer.encode("hello hello hello hello hello hello", add_special=True)
    assert ids == [0, 262] + [263] * 5
    assert tokenizer.decode(ids) == "hello hello hello hello hello hello"
    assert tokenizer.decode(ids, special=True).startswith("<s>hello")


def test_special_tokens_are_text_unless_they_are_asked_for(json_config: JSONObject) -> None:
    tokenizer = make(json_config)
    assert tokenizer.encode("<s>hello</s>") == [0, 262, 1]
    plain = tokenizer.encode("<s>hello</s>", parse_special=False)
    assert not {0, 1} & set(plain)
    assert tokenizer.decode(plain) == "<s>hello</s>"
    assert tokenizer.encode("<s>hello</s>") == [0, 262, 1]


def test_what_the_file_says_about_its_tokens(json_config: JSONObject) -> None:
    tokenizer = make(json_config)
    assert tokenizer.vocab_size == 264
    assert (tokenizer.bos_id, tokenizer.adds_bos, tokenizer.adds_eos) == (0, True, False)
    assert tokenizer.eog_ids == {1}
    assert tokenizer.decode([0, 2, 1]) == "<tool>"
    assert tokenizer.token_bytes(1) == b"</s>"


def test_merges_as_pairs_are_the_same(json_config: JSONObject) -> None:
    pairs = json.loads(json.dumps(json_config))
    pairs["model"]["merges"] = [merge.split(" ") for merge in pairs["model"]["merges"]]
    assert make(pairs).encode("hello hello") == make(json_config).encode("hello hello")


@pytest.mark.parametrize("source", ["{", "[]", "{}", '{"version": "1.0", "model": {"type": "Nonsense"}}'])
def test_a_broken_file_is_a_format_error(source: str) -> None:
    with pytest.raises(FormatError, match=r"tokenizer\.json"):
        JsonTokenizer(Vocab(model="gpt2", tokenizer_json=source))


def test_byte_tokens_and_spaces_of_a_llama_file() -> None:
    tokens = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "▁a"]
    config = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "byte_fallback": True,
            "vocab": {text: token_id for token_id, text in enumerate(tokens)},
            "merges": ["▁ a"],
        },
    }
    tokenizer = make(config)
    ids = tokenizer.encode("a é")
    assert ids == [260, 258, 2 + 0xC3, 2 + 0xA9]
    assert tokenizer.decode(ids) == " a é"
    stream = tokenizer.stream()
    assert [stream.push(token_id) for token_id in ids] == [" a", " ", "", "é"]


def test_word_pieces_are_put_together() -> None:
    vocab = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "un": 3, "##able": 4}
    config = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        },
    }
    tokenizer = make(config)
    assert tokenizer.encode("Unable", add_special=True) == [1, 3, 4, 2]
    assert (tokenizer.adds_bos, tokenizer.adds_eos) == (True, True)
    assert tokenizer.decode([3, 4, 3]) == " unable un"
