"""Vocabularies as GGUF keys: tokens give the ids that the files' own programs give."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_checkpoints import CHECKPOINTS, checkpoint

from corral import FormatError, Tokenizer, Unsupported, Vocab, Weights
from corral.config import Config
from corral.kernel import Kernel
from corral_gguf.loader import GgufLoader
from corral_safetensors.documents import Documents, Fields
from corral_safetensors.families import BUILT_IN
from corral_safetensors.fingerprint import pre_tokenizer
from corral_safetensors.sentencepiece import parse_model
from corral_safetensors.special_tokens import special_keys
from corral_safetensors.vocabulary import CONTROL, UNUSED, USER_DEFINED, read_vocabulary

Opened = Callable[..., Weights]
LLAMA = BUILT_IN[0]
SIZE = 320


def tokenizer_of(vocab: Vocab) -> Tokenizer:
    kernel = Kernel(Config())
    return kernel.tokenizers[vocab.model].build(vocab)


def documents(tmp_path: Path, **files: Any) -> Documents:
    """Files by name (`_` stands for a dot): text, bytes, or a value written as JSON."""
    paths = {}
    for key, value in files.items():
        name = (
            key.replace("__", "/")
            .replace("_json", ".json")
            .replace("_model", ".model")
            .replace("_txt", ".txt")
            .replace("_jinja", ".jinja")
        )
        path = tmp_path / key
        if isinstance(value, bytes):
            path.write_bytes(value)
        else:
            path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        paths[name] = path
    return Documents(paths)


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "bert"])
def test_token_ids_equal_those_of_the_original(
    name: str, opened: Opened, token_ids: dict[str, dict[str, list[int]]]
) -> None:
    tokenizer = tokenizer_of(opened(name).vocab())
    for text, expected in token_ids[name].items():
        assert tokenizer.encode(text, add_special=True) == expected, text


@pytest.mark.parametrize(
    ("name", "model", "pre"),
    [
        ("llama", "gpt2", "llama-bpe"),
        ("qwen2", "gpt2", "qwen2"),
        ("qwen3", "gpt2", "qwen2"),
        ("mistral", "llama", "default"),
        ("phi3", "llama", "default"),
        ("gemma2", "llama", "default"),
        ("gemma3", "llama", "default"),
        ("bert", "bert", "default"),
    ],
)
def test_algorithm_and_pre_tokenizer(name: str, model: str, pre: str, opened: Opened) -> None:
    vocab = opened(name).vocab()
    assert (vocab.model, vocab.pre) == (model, pre)
    assert len(vocab.tokens) == len(vocab.token_types) == SIZE


def test_special_tokens_and_types(opened: Opened) -> None:
    llama = opened("llama").vocab()
    assert (llama.bos_id, llama.eos_id, llama.add_bos) == (0, 1, True)
    assert set(llama.eog_ids) == {2, 5}  # generation_config.json lists them
    assert llama.token_types[0] == llama.token_types[llama.tokens.index("<|eot_id|>")] == CONTROL
    assert llama.tokens[SIZE - 1] == f"[PAD{SIZE - 1}]"
    assert llama.token_types[SIZE - 1] == UNUSED
    qwen = opened("qwen2").vocab()
    assert qwen.token_types[qwen.tokens.index("<tool>")] == USER_DEFINED
    assert qwen.token_types[qwen.tokens.index("<|im_start|>")] == CONTROL
    gemma = opened("gemma2").vocab()
    assert (gemma.bos_id, gemma.eos_id, gemma.pad_id, gemma.unk_id) == (2, 1, 0, 3)
    assert gemma.tokens[SIZE - 1] == "<start_of_turn>"
    assert gemma.add_space_prefix is False
    phi = opened("phi3").vocab()
    assert (phi.tokens[SIZE - 1], phi.token_types[SIZE - 1]) == ("<|end|>", CONTROL)
    bert = opened("bert").vocab()
    assert (bert.cls_id, bert.sep_id, bert.mask_id, bert.pad_id) == (2, 3, 4, 0)


def test_scores_are_ranks_of_merges(opened: Opened) -> None:
    vocab = opened("gemma3").vocab()
    merged = [merge.replace(" ", "") for merge in vocab.merges]
    scores = [vocab.scores[vocab.tokens.index(text)] for text in dict.fromkeys(merged)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 0


def test_templates(opened: Opened) -> None:
    assert opened("llama").info.metadata["tokenizer.chat_template"].endswith("jinja")
    qwen = opened("qwen2").info.metadata
    assert qwen["tokenizer.chat_template"].endswith("{% endfor %}")
    assert qwen["tokenizer.chat_template.tool_use"].endswith("tools")
    assert list(qwen["tokenizer.chat_templates"]) == ["tool_use"]
    assert "tokenizer.chat_template" not in opened("gemma2").info.metadata


def test_a_real_vocabulary_is_recognised_by_its_fingerprint(smollm2_path: Path, tmp_path: Path) -> None:
    weights = GgufLoader().open(smollm2_path)
    vocab = weights.vocab()
    tokens, types = list(vocab.tokens), list(vocab.token_types)
    weights.close()
    source = {
        "model": {
            "type": "BPE",
            "vocab": {text: i for i, text in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in vocab.merges],
        },
        "added_tokens": [
            {"id": i, "content": text, "special": True, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False}
            for i, text in enumerate(tokens) if types[i] == CONTROL
        ],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    }  # fmt: skip
    made = read_vocabulary(documents(tmp_path, tokenizer_json=source), LLAMA, len(tokens))
    assert made.pre == "smollm" == vocab.pre
    assert made.tokens == tokens
    assert made.merges == list(vocab.merges)
    assert made.types == types


def step(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, **more}


@pytest.mark.parametrize(
    ("pre", "expected"),
    [
        (step("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True), "gpt-2"),
        (
            step("Sequence", pretokenizers=[
                step("Digits", individual_digits=True),
                step("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True),
            ]),
            "smollm",
        ),
        (
            step("Sequence", pretokenizers=[
                step("Split", pattern={"Regex": "x+"}, behavior="Isolated", invert=False),
                step("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False),
            ]),
            "default",
        ),
    ],
)  # fmt: skip
def test_unknown_vocabularies_are_recognised_by_how_they_split(pre: dict[str, Any], expected: str) -> None:
    source = {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "pre_tokenizer": pre}
    assert pre_tokenizer(json.dumps(source), source) == expected


def test_a_file_of_words(tmp_path: Path) -> None:
    lines = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n##ing\n"
    vocabulary = read_vocabulary(documents(tmp_path, vocab_txt=lines), LLAMA, 8)
    assert vocabulary.tokens == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁hello", "ing", "▁[PAD7]"]
    assert vocabulary.types == [3, 3, 3, 3, 3, 1, 1, 5]
    assert vocabulary.extra["normalizer.lowercase"] is True


def test_a_unigram_vocabulary(tmp_path: Path) -> None:
    source = {
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["▁a", -1.5]]},
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    }
    vocabulary = read_vocabulary(documents(tmp_path, tokenizer_json=source), LLAMA, 3)
    assert (vocabulary.model, vocabulary.tokens) == ("t5", ["<unk>", "▁a", "[PAD2]"])
    assert vocabulary.scores == [0.0, -1.5, -10000.0]
    assert vocabulary.types == [2, 1, 5]
    assert vocabulary.extra["precompiled_charsmap"] == b"\0\0\0"


def test_merges_as_pairs_keep_the_spaces_inside(tmp_path: Path) -> None:
    source = {
        "model": {
            "type": "BPE",
            "vocab": {"a": 0, "b": 1, " ": 2, "a ": 3, "ab": 4},
            "merges": [["a", " "], ["a", "b"]],
        },
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    }
    vocabulary = read_vocabulary(documents(tmp_path, tokenizer_json=source), LLAMA, 5)
    assert vocabulary.merges == ["a Ġ", "a b"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer_json": {"model": {"type": "BPE", "vocab": {"a": 9}, "byte_fallback": True}}}, "token id 9"),
        ({"tokenizer_json": {"model": {"type": "BPE", "vocab": {"a": "x"}, "byte_fallback": True}}}, "token id 'x'"),
        ({"tokenizer_json": {"model": {"type": "Unigram", "vocab": [["a"]]}}}, "pairs of text and score"),
        ({"tokenizer_json": '{"model": {"type": "Unigram", "vocab": [["a", 1e999]]}}'}, "expected a finite number"),
        ({"tokenizer_json": {"model": {"type": "WordPiece", "vocab": {}}, "normalizer": {"type": "Nonsense"}}},
         "tokenizer.json cannot be used"),
        ({"tokenizer_json": "[" * 100_000}, "not valid JSON"),
        ({"tokenizer_json": b"\xff\xfe"}, "not UTF-8"),
        ({"tokenizer_json": [1]}, "expected a JSON object"),
        ({"tokenizer_json": {"added_tokens": [3], "model": {"type": "BPE", "byte_fallback": True}}}, "list of objects"),
        ({"vocab_json": {"a": 0}, "merges_txt": "#version: 0.2\nabc\n"}, "'abc' is not two parts"),
        ({"vocab_txt": "a\nb\nc\nd\ne\n"}, "5 tokens, but the embedding has 4 rows"),
        ({"vocab_txt": "a", "tokenizer_config_json": {"added_tokens_decoder": {"-1": {"content": "x"}}}},
         "token id '-1'"),
        ({"tokenizer_json": {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 1}, "byte_fallback": True}}},
         "tokenizer.json: token id 1 is that of 'b' and of 'c'"),
        ({"vocab_json": {"a": 0, "b": 0}, "merges_txt": ""}, "vocab.json: token id 0 is that of 'a' and of 'b'"),
        ({"vocab_txt": "a\nb\na\n"}, "vocab.txt: tokens 0 and 2 are both '▁a'"),
        ({"tokenizer_json": {"model": {"type": "Unigram", "vocab": [["a", 0], ["a", -1]]}}},
         "tokenizer.json: tokens 0 and 1 are both 'a'"),
        ({"tokenizer_json": {"added_tokens": [{"id": 3, "content": "a"}],
                             "model": {"type": "BPE", "vocab": {"a": 0}, "byte_fallback": True}}},
         "tokenizer.json: tokens 0 and 3 are both 'a'"),
        ({"tokenizer_json": {"added_tokens": [{"id": 3, "content": "x"}, {"id": 3, "content": "y"}],
                             "model": {"type": "BPE", "byte_fallback": True}}},
         "added_tokens: token id 3 is that of 'x' and of 'y'"),
        ({"tokenizer_model": bytes([10, 3, 10, 1, 97]) * 2}, "tokenizer.model: tokens 0 and 1 are both 'a'"),
    ],
)  # fmt: skip
def test_f13_broken_vocabularies(files: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        read_vocabulary(documents(tmp_path, **files), LLAMA, 4)
    assert message in caught.value.message


def test_of_equal_keys_the_last_counts_as_in_the_original(tmp_path: Path) -> None:
    source = '{"model": {"type": "BPE", "byte_fallback": true, "vocab": {"a": 0, "b": 1, "a": 2}}}'
    assert read_vocabulary(documents(tmp_path, tokenizer_json=source), LLAMA, 3).tokens == ["[PAD0]", "b", "a"]


def test_a_token_may_be_named_anew_by_what_is_added(tmp_path: Path) -> None:
    source = {"added_tokens": [{"id": 0, "content": "<new>"}], "model": {"type": "Unigram", "vocab": [["<old>", 0]]}}
    assert read_vocabulary(documents(tmp_path, tokenizer_json=source), LLAMA, 1).tokens == ["<new>"]


@pytest.mark.parametrize("files", [{}, {"tokenizer_json": {"model": {"type": "WordLevel"}}}])
def test_other_tokenizers_are_refused(files: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="unknown tokenizer format"):
        read_vocabulary(documents(tmp_path, **files), LLAMA, 4)


def test_a_sentencepiece_model_that_lies(tmp_path: Path) -> None:
    whole = (CHECKPOINTS / "phi3" / "tokenizer.model").read_bytes()
    assert len(parse_model("m", whole).texts) == SIZE - 4
    long = b"\x0a\xff\xff\xff\xff\x0f"
    for data in (
        b"",
        whole[:100],
        long,
        b"\x0b",
        b"\xff" * 20,
        b"\x08\x01",
        b"\x0a\x02\x18\x09",
        b"\x0a\x03\x0a\x01\xff",
    ):
        with pytest.raises(FormatError, match=r"^m: not a valid SentencePiece model"):
            parse_model("m", data)
    for end in range(0, len(whole), 97):  # cut anywhere: an error or fewer pieces, never anything else
        try:
            assert len(parse_model("m", whole[:end]).texts) < SIZE
        except FormatError:
            continue


def test_sentencepiece_scores(tmp_path: Path) -> None:
    piece = b"\x0a\x01a" + b"\x15" + struct.pack("<f", -2.5) + b"\x18\x04"
    model = parse_model("m", b"\x0a" + bytes([len(piece)]) + piece + b"\x12\x05\x18\x02\xc8\x02\x07")
    assert (model.texts, model.scores, model.types) == (["a"], [-2.5], [4])
    assert (model.algorithm, model.ids["bos"], model.ids["eos"]) == (2, 7, 2)


def test_post_processors_decide_what_is_added(tmp_path: Path) -> None:
    pair = {"type": "BertProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 0]}
    model = {
        "type": "WordPiece", "vocab": {"[CLS]": 0, "[SEP]": 1}, "unk_token": "[SEP]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    }  # fmt: skip
    added = [
        {"id": i, "content": text, "special": True, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False}
        for i, text in enumerate(("[CLS]", "[SEP]"))
    ]  # fmt: skip
    source = {"model": model, "post_processor": pair, "added_tokens": added}
    files = documents(tmp_path, tokenizer_json=source, tokenizer_config_json={"add_bos_token": False})
    keys = special_keys(files, Fields("config.json", {}), read_vocabulary(files, LLAMA, 2))
    assert keys["tokenizer.ggml.add_bos_token"] is True
    assert (keys["tokenizer.ggml.bos_token_id"], keys["tokenizer.ggml.eos_token_id"]) == (0, 1)
    assert keys["tokenizer.ggml.unknown_token_id"] == 1


def test_ids_come_from_the_configuration_where_no_text_does(tmp_path: Path) -> None:
    files = documents(tmp_path, vocab_txt="a\nb\nc", generation_config_json={"eos_token_id": [2, 1]})
    config = Fields("config.json", {"bos_token_id": 0, "eos_token_id": 7})
    keys = special_keys(files, config, read_vocabulary(files, LLAMA, 3))
    assert (keys["tokenizer.ggml.bos_token_id"], keys["tokenizer.ggml.eos_token_id"]) == (0, 2)
    assert keys["tokenizer.ggml.eos_token_ids"] == [2, 1]


def test_all_checkpoints_are_covered() -> None:
    assert checkpoint("nf4").keys() >= {"config.json", "model.safetensors", "tokenizer.json"}
