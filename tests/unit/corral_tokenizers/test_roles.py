"""Which tokens end a generation, family by family."""

import pytest

from corral import FormatError, Vocab
from corral_tokenizers.roles import CONTROL, NORMAL, UNUSED, USER_DEFINED, find_roles, token_index


def ends(tokens: list[str], **fields: object) -> set[str]:
    vocab = Vocab(model="gpt2", tokens=tokens, **fields)  # type: ignore[arg-type]  # ids, by name
    return {tokens[token_id] for token_id in find_roles(vocab, token_index(tokens)).eog_ids}


@pytest.mark.parametrize(("tokens", "fields", "expected"), [
    (["<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"], {"eos_id": 1},
     {"<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"}),
    (["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"], {"eos_id": 2},
     {"<|endoftext|>", "<|im_end|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"}),
    (["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"], {"eos_id": 1}, {"<eos>", "<end_of_turn>"}),
    (["<s>", "</s>", "<|endoftext|>", "<|assistant|>", "<|end|>"], {"eos_id": 2}, {"</s>", "<|endoftext|>", "<|end|>"}),
    (["<|return|>", "<|call|>", "<|end|>", "<|start|>", "<|channel|>"], {"eos_id": 0}, {"<|return|>", "<|call|>"}),
    (["<|flush|>", "<|calls|>", "<|end|>"], {}, {"<|flush|>", "<|calls|>"}),
    (["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"], {"eos_id": 1}, {"<｜end▁of▁sentence｜>"}),
    (["</s>", "<|tool_response>", "<turn|>"], {}, {"<|tool_response>", "<turn|>"}),
    (["a", "b", "c"], {"eos_id": 0, "eot_id": 1, "eog_ids": (2,)}, {"a", "b", "c"}),
    (["a", "b"], {}, set()),
    (["[PAD]", "<|fim_pad|>"], {"eog_ids": (0,)}, {"[PAD]"}),
])  # fmt: skip
def test_ends_of_generation(tokens: list[str], fields: dict[str, object], expected: set[str]) -> None:
    assert ends(tokens, **fields) == expected


def test_types_are_corrected_by_text() -> None:
    tokens = ["<|im_end|>", "<|channel|>", "<|unused_1|>", "plain", "<|fim_prefix|>"]
    vocab = Vocab(model="gpt2", tokens=tokens, token_types=[NORMAL, CONTROL, CONTROL, NORMAL, NORMAL])
    roles = find_roles(vocab, token_index(tokens))
    assert list(roles.types) == [CONTROL, USER_DEFINED, UNUSED, NORMAL, CONTROL]
    assert list(roles.marked) == [0, 1, 2, 4]


def test_the_last_of_equal_texts_counts() -> None:
    assert token_index(["a", "b", "a", ""]) == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    "vocab",
    [
        Vocab(model="gpt2", tokens=["a"], token_types=[1, 1]),
        Vocab(model="gpt2", tokens=["a"], token_types=[7]),
        Vocab(model="gpt2", tokens=["a"], token_types=[-1]),
        Vocab(model="gpt2", tokens=["a"], eos_id=1),
    ],
)
def test_what_does_not_fit_together_is_a_format_error(vocab: Vocab) -> None:
    with pytest.raises(FormatError):
        find_roles(vocab, token_index(vocab.tokens))


def test_no_tokens_are_a_format_error() -> None:
    with pytest.raises(FormatError):
        token_index([])
