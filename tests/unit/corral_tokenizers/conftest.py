"""Small vocabularies, one for each algorithm; their expected ids in the tests are llama.cpp's."""

import json

import pytest

from corral import JSONObject, Vocab
from corral_tokenizers.pieces import byte_characters

CONTROL, USER_DEFINED, UNKNOWN, NORMAL, UNUSED, BYTE = 3, 4, 2, 1, 5, 6


@pytest.fixture
def bpe_vocab() -> Vocab:
    """Bytes, two specials, and merges with ties, unreachable words and a missing byte (0xFF)."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    single = [character for byte, character in byte_characters().items() if byte != 0xFF]
    merges = ["a b", "b c", "ab c", "l l", "h e", "he ll", "hell o", "Ġ hello", "Ġ a", "1 2", "Ġ Ġ", "ĠĠ ĠĠ", "ð Ł"]
    merged = [merge.replace(" ", "") for merge in merges]
    tokens = [*special, *single, *merged, "Ġworld", "##"]
    types = [CONTROL] * 3 + [NORMAL] * (len(tokens) - 4) + [USER_DEFINED]
    return Vocab(
        model="gpt2", pre="gpt-2", tokens=tokens, token_types=types, merges=merges, bos_id=0, eos_id=2, add_bos=True
    )


@pytest.fixture
def llama_vocab() -> Vocab:
    """SentencePiece BPE: byte tokens, scores, a character that occurs only inside a longer token."""
    control = ["<unk>", "<s>", "</s>"]
    named_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    scored = {
        "▁": -20.0, "a": -21.0, "b": -22.0, "c": -23.0, "▁a": -3.0, "ab": -2.0, "▁ab": -1.0, "abc": -4.0, "▁▁": -5.0,
        "▁▁▁▁": -6.0, "é": -24.0, "xy": -7.0, "x": -25.0, "aa": -8.0, "aaa": -9.0,
    }  # fmt: skip
    tokens = [*control, *named_bytes, *scored, "<|user|>"]
    return Vocab(
        model="llama",
        pre="default",
        tokens=tokens,
        scores=[0.0] * 259 + [*scored.values()] + [-1000.0],
        token_types=[UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(scored) + [USER_DEFINED],
        bos_id=1,
        eos_id=2,
        unk_id=0,
        add_bos=True,
    )


@pytest.fixture
def bert_vocab() -> Vocab:
    """WordPiece with U+2581 before words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = ["▁un", "aff", "able", "▁hello", "▁world", "▁!", "▁,", "▁中", "▁e", "c", "ole", "▁'", "▁s", "▁a", "a", "▁$"]
    return Vocab(
        model="bert",
        pre="bert-bge",
        tokens=special + words,
        token_types=[CONTROL] * 5 + [NORMAL] * len(words),
        bos_id=2,
        cls_id=2,
        sep_id=3,
        unk_id=1,
        pad_id=0,
        mask_id=4,
    )


@pytest.fixture
def t5_vocab() -> Vocab:
    """Unigram with a user-defined token and competing segmentations."""
    tokens = ["<pad>", "</s>", "<unk>", "▁", "▁he", "llo", "▁hello", "h", "e", "l", "o", "lo", "▁wor", "ld", "<user>"]
    scores = [0.0, 0.0, 0.0, -3.0, -4.0, -5.0, -8.5, -6.0, -6.1, -6.2, -6.3, -5.5, -7.0, -7.5, 0.0]
    return Vocab(
        model="t5",
        tokens=tokens,
        scores=scores,
        token_types=[CONTROL, CONTROL, UNKNOWN] + [NORMAL] * 11 + [USER_DEFINED],
        eos_id=1,
        unk_id=2,
        pad_id=0,
        add_space_prefix=True,
        remove_extra_whitespaces=True,
    )


def added(token_id: int, content: str, *, special: bool = True) -> JSONObject:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token_id, "content": content, "special": special, **flags}


@pytest.fixture
def json_config() -> JSONObject:
    """A tokenizer.json: byte-level BPE with a bos, an end token, truncation and padding that must not apply."""
    single = list(byte_characters().values())
    tokens = ["<s>", "</s>", "<tool>", *single, "he", "ll", "hell", "hello", "Ġhello"]
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 8},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<s>",
        },
        "added_tokens": [added(0, "<s>"), added(1, "</s>"), added(2, "<tool>", special=False)],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": {text: token_id for token_id, text in enumerate(tokens)},
            "merges": ["h e", "l l", "he ll", "hell o", "Ġ hello"],
        },
    }


@pytest.fixture
def json_vocab(json_config: JSONObject) -> Vocab:
    return Vocab(model="gpt2", tokenizer_json=json.dumps(json_config), bos_id=0, eos_id=1)
