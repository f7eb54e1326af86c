"""Ids of small vocabularies and of a real one.  The expected ids are llama.cpp's, from its own tokenize endpoint."""

from pathlib import Path

from corral import Tokenizer, Vocab
from corral_gguf.loader import GgufLoader
from corral_tokenizers.kinds import kinds

# text, ids of the plain text, ids with special tokens added and read
Case = tuple[str, list[int], list[int]]

BPE: list[Case] = [
    ("", [], [0]),
    ("abc", [260], [0, 260]),
    ("abcab", [260, 258], [0, 260, 258]),
    ("bcabc", [259, 260], [0, 259, 260]),
    (" hello hello", [265, 265], [0, 265, 265]),
    (" world", [222, 89, 81, 84, 78, 70], [0, 222, 89, 81, 84, 78, 70]),
    ("world", [89, 81, 84, 78, 70], [0, 89, 81, 84, 78, 70]),
    (" a  hello", [266, 222, 265], [0, 266, 222, 265]),
    ("    hello", [268, 222, 265], [0, 268, 222, 265]),
    ("1212 12", [267, 267, 222, 267], [0, 267, 267, 222, 267]),
    (
        "<|im_start|>abc<|im_end|>",
        [30, 94, 75, 79, 65, 85, 86, 67, 84, 86, 94, 32, 260, 30, 94, 75, 79, 65, 71, 80, 70, 94, 32],
        [0, 1, 260, 2],
    ),
    ("##abc##", [272, 260, 272], [0, 272, 260, 272]),
    ("\U0001f999 \xe9\xff", [270, 102, 249, 222, 130, 105, 130, 126], [0, 270, 102, 249, 222, 130, 105, 130, 126]),
    ("\x00\n\t", [190, 200, 199], [0, 190, 200, 199]),
    ("a\ud800b", [67, 174, 126, 124, 68], [0, 67, 174, 126, 124, 68]),
    ("\xff", [130, 126], [0, 130, 126]),
]
LLAMA: list[Case] = [
    ("", [], [1]),
    ("ab", [265], [1, 265]),
    ("abc", [265, 262], [1, 265, 262]),
    (" ab", [259, 265], [1, 259, 265]),
    ("a  b", [263, 267, 261], [1, 263, 267, 261]),
    ("    ab", [268, 265], [1, 268, 265]),
    ("aaaaa", [263, 272, 272], [1, 263, 272, 272]),
    ("xyz", [259, 270, 125], [1, 259, 270, 125]),
    ("\xe9\U0001f999", [259, 269, 243, 162, 169, 156], [1, 259, 269, 243, 162, 169, 156]),
    ("<s>ab</s> ab", [259, 63, 118, 65, 264, 63, 50, 118, 65, 265], [1, 1, 265, 2, 259, 265]),
    ("<|user|>ab", [274, 265], [1, 274, 265]),
    ("ab<|user|> ab", [265, 274, 259, 265], [1, 265, 274, 259, 265]),
    ("\n", [259, 13], [1, 259, 13]),
    ("a\x00b", [263, 3, 261], [1, 263, 3, 261]),
    ("<unk>x", [259, 63, 120, 113, 110, 65, 271], [1, 0, 259, 271]),
]
BERT: list[Case] = [
    ("", [], [2, 3]),
    ("Unaffable", [5, 6, 7], [2, 5, 6, 7, 3]),
    ("hello, World!", [8, 11, 9, 10], [2, 8, 11, 9, 10, 3]),
    ("unaffablez", [1], [2, 1, 3]),
    ("\u4e2d\u4e2dhello", [12, 12, 8], [2, 12, 12, 8, 3]),
    ("\xc9cole", [13, 14, 15], [2, 13, 14, 15, 3]),
    ("don't's", [1, 16, 1, 16, 17], [2, 1, 16, 1, 16, 17, 3]),
    ("Hello\u0301 \u200bworld\ufffd\x00", [8, 9], [2, 8, 9, 3]),
    ("$a", [20, 18], [2, 20, 18, 3]),
    ("[CLS] hello [SEP]", [1, 1, 1, 8, 1, 1, 1], [2, 2, 8, 3, 3]),
    ("  a\xa0a\u3000a ", [18, 18, 18], [2, 18, 18, 18, 3]),
]
T5: list[Case] = [
    ("", [], [1]),
    ("hello", [6], [6, 1]),
    ("hello world", [6, 12, 13], [6, 12, 13, 1]),
    ("  hello   world ", [6, 12, 13], [6, 12, 13, 1]),
    ("hellohello", [6, 7, 8, 5], [6, 7, 8, 5, 1]),
    ("zzz hello z", [3, 2, 6, 3, 2], [3, 2, 6, 3, 2, 1]),
    ("<user>hello<user> world", [14, 6, 14, 12, 13], [14, 6, 14, 12, 13, 1]),
    ("</s>hello", [3, 2, 7, 8, 5], [1, 6, 1]),
    ("h\te", [3, 7, 2, 8], [3, 7, 2, 8, 1]),
]
SMOLLM2: list[Case] = [
    ("Hello, world!", [19556, 28, 905, 17], [19556, 28, 905, 17]),
    (" leading space", [2899, 1898], [2899, 1898]),
    ("a  b   c    d", [81, 216, 278, 256, 265, 333, 287], [81, 216, 278, 256, 265, 333, 287]),
    ("I'm it's WE'LL", [57, 5248, 357, 506, 26587, 23, 16421], [57, 5248, 357, 506, 26587, 23, 16421]),
    (
        "In 2024, 3.14 and 1234567.",
        [788, 216, 34, 32, 34, 36, 28, 216, 35, 30, 33, 36, 284, 216, 33, 34, 35, 36, 37, 38, 39, 30],
        [788, 216, 34, 32, 34, 36, 28, 216, 35, 30, 33, 36, 284, 216, 33, 34, 35, 36, 37, 38, 39, 30],
    ),
    ("line\nline\n\nline\r\n", [1311, 198, 1311, 198, 198, 1311, 2738], [1311, 198, 1311, 198, 198, 1311, 2738]),
    (
        "    def f(x):\n\treturn x**2",
        [333, 753, 275, 24, 104, 727, 198, 197, 5406, 1792, 828, 34],
        [333, 753, 275, 24, 104, 727, 198, 197, 5406, 1792, 828, 34],
    ),
    (
        "\U0001f999 na\xefve caf\xe9 \u2014 \u201cquotes\u201d",
        [10813, 116, 243, 15486, 46494, 37366, 1841, 619, 385, 2346, 573],
        [10813, 116, 243, 15486, 46494, 37366, 1841, 619, 385, 2346, 573],
    ),
    (
        "\u4f60\u597d\u4e16\u754c \u3053\u3093\u306b\u3061\u306f \ud55c\uad6d\uc5b4",
        [
            18645,
            250,
            48392,
            138,
            7906,
            240,
            178,
            239,
            230,
            46673,
            237,
            10391,
            237,
            41152,
            7365,
            111,
            7365,
            124,
            216,
            33085,
            246,
            181,
            130,
            251,
            183,
            240,
            129,
        ],
        [
            18645,
            250,
            48392,
            138,
            7906,
            240,
            178,
            239,
            230,
            46673,
            237,
            10391,
            237,
            41152,
            7365,
            111,
            7365,
            124,
            216,
            33085,
            246,
            181,
            130,
            251,
            183,
            240,
            129,
        ],
    ),
    ("\x00a\x00", [190, 81, 190], [190, 81, 190]),
    (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        [
            44,
            108,
            306,
            79,
            3738,
            108,
            46,
            4093,
            198,
            26843,
            44,
            108,
            306,
            79,
            486,
            108,
            46,
            198,
            44,
            108,
            306,
            79,
            3738,
            108,
            46,
            520,
            9531,
            198,
        ],
        [1, 4093, 198, 26843, 2, 198, 1, 520, 9531, 198],
    ),
    ("<|im_start", [44, 108, 306, 79, 3738], [44, 108, 306, 79, 3738]),
    ("<repo_name><file_sep>x", [44, 22139, 79, 1245, 21198, 2153, 79, 29070, 46, 104], [3, 5, 104]),
    ("e\u0301 \u200d \u3000", [85, 151, 219, 459, 231, 216, 12109, 218], [85, 151, 219, 459, 231, 216, 12109, 218]),
    ("a\ud800b", [81, 24211, 82], [81, 24211, 82]),
]


def build(vocab: Vocab) -> Tokenizer:
    return next(kind for kind in kinds(llama_cpp_patterns=False) if kind.name == vocab.model).build(vocab)


def check(tokenizer: Tokenizer, cases: list[Case]) -> None:
    for text, plain, framed in cases:
        assert tokenizer.encode(text, add_special=False, parse_special=False) == plain, text
        assert tokenizer.encode(text, add_special=True, parse_special=True) == framed, text


def test_byte_pairs(bpe_vocab: Vocab) -> None:
    check(build(bpe_vocab), BPE)


def test_sentencepiece(llama_vocab: Vocab) -> None:
    check(build(llama_vocab), LLAMA)


def test_wordpiece(bert_vocab: Vocab) -> None:
    check(build(bert_vocab), BERT)


def test_unigram(t5_vocab: Vocab) -> None:
    check(build(t5_vocab), T5)


def test_the_real_file(smollm2_path: Path) -> None:
    weights = GgufLoader().open(smollm2_path)
    vocab = weights.vocab()
    weights.close()
    tokenizer = build(vocab)
    check(tokenizer, SMOLLM2)
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.adds_bos, tokenizer.adds_eos) == (49152, 1, False, False)
    assert tokenizer.eog_ids == {0, 2, 4}
    for text, plain, _ in SMOLLM2:
        if not text.startswith("a\ud800"):
            assert tokenizer.decode(plain) == text
