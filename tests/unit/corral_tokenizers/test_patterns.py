"""Every pre-tokenizer cuts text into pieces that are the text again; some golden cuts."""

import random

import pytest
from tokenizers import Regex
from tokenizers.pre_tokenizers import Sequence, Split

from corral import Unsupported
from corral_tokenizers.bpe import cut_digits
from corral_tokenizers.patterns import names, pre_tokenizer

BLOCKS = (
    (0x20, 0x7F),
    (0, 0x250),
    (0x300, 0x600),
    (0x900, 0xA00),
    (0x2000, 0x2100),
    (0x3000, 0x3100),
    (0x4E00, 0x4F00),
)


def pieces(name: str, text: str, *, llama_cpp_patterns: bool = False) -> list[str]:
    rules = pre_tokenizer(name, llama_cpp_patterns=llama_cpp_patterns)
    steps = [Split(Regex(pattern), "isolated") for pattern in rules.patterns]
    if rules.digit_groups:
        text, steps = (
            cut_digits(text, ascii_only=rules.digit_groups == "ascii"),
            [Split("\U0010ffff", "removed"), *steps],
        )
    return [piece for piece, _ in Sequence(steps).pre_tokenize_str(text)]


@pytest.mark.parametrize("llama_cpp_patterns", [False, True])
@pytest.mark.parametrize("name", sorted(names()))
def test_the_pieces_are_the_text(name: str, llama_cpp_patterns: bool) -> None:
    chance = random.Random(name)
    for _ in range(5):
        first, last = chance.choice(BLOCKS)
        text = "".join(chr(chance.randrange(first, last)) for _ in range(100)) + " I'm 12345  \n\n x"
        assert "".join(pieces(name, text, llama_cpp_patterns=llama_cpp_patterns)) == text


@pytest.mark.parametrize(("name", "text", "expected"), [
    ("gpt-2", "a  b", ["a", " ", " b"]),
    ("gpt-2", "I'M it's 123", ["I", "'", "M", " it", "'s", " 123"]),
    ("llama-bpe", "a  b", ["a", " ", " b"]),
    ("llama-bpe", "I'M 12345\n\n x  ", ["I", "'M", " ", "123", "45", "\n\n", " x", "  "]),
    ("qwen2", " 2024", [" ", "2", "0", "2", "4"]),
    ("smollm", "in 2024!", ["in", " ", "2", "0", "2", "4", "!"]),
    ("falcon", "1,234567", ["1", ",", "234", "567"]),
    ("deepseek-llm", "12 你好a\n", ["12", " ", "你好", "a", "\n"]),
    ("gpt-4o", "helloWorld's HTTPServer", ["hello", "World's", " HTTPServer"]),
    ("tekken", "École ÉCOLE", ["École", " ÉCOLE"]),
    ("superbpe", "a1234567b", ["a", "1", "234", "567", "b"]),
    ("tiny_aya", "1234567", ["1", "234", "567"]),
    ("afmoe", "12345", ["12", "345"]),
    ("gemma4", "a b\n\nc", ["a b", "\n\n", "c"]),
])  # fmt: skip
def test_golden_cuts(name: str, text: str, expected: list[str]) -> None:
    assert pieces(name, text) == expected


def test_the_switch_gives_llama_cpps_cuts() -> None:
    assert pieces("gpt-4o", "ÉCOLEété", llama_cpp_patterns=False) == ["ÉCOLEété"]
    assert pieces("gpt-4o", "aÉb", llama_cpp_patterns=False) == ["a", "Éb"]
    assert pieces("gpt-4o", "aÉb", llama_cpp_patterns=True) == ["aÉb"]


def test_an_unknown_name_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="unknown pre-tokenizer 'nonsense'"):
        pre_tokenizer("nonsense")


def test_no_name_is_the_default() -> None:
    assert pre_tokenizer("") == pre_tokenizer("default")


@pytest.mark.parametrize(("text", "numbers", "ascii_digits"), [
    ("x", "x", "x"),
    ("1234", "|1|234|", "1|234"),
    ("123", "|123|", "|123"),
    ("½3", "|½3|", "½3"),
    ("4981２１", "|498|1２１|", "4|981２１"),
])  # fmt: skip
def test_digits_are_grouped_from_the_right(text: str, numbers: str, ascii_digits: str) -> None:
    assert cut_digits(text, ascii_only=False).replace("\U0010ffff", "|") == numbers
    assert cut_digits(text, ascii_only=True).replace("\U0010ffff", "|") == ascii_digits
