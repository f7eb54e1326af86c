"""Compare our tokenizers with llama.cpp's, token for token.

    python tests/bench/tokenizer_parity.py FOLDER [--random N] [--seed S] [--only NAME] [--every-pre]

FOLDER holds `*.gguf` files with vocabularies.  A file with `.inp` and `.out` beside it (llama.cpp's own test cases:
texts, and their ids without special tokens) must match all of them.  With `--random N`, N random texts are also given
to llama.cpp itself, through the package xllamacpp, which must be installed: a one-layer model is made around each
vocabulary.  Prints a table; the exit code is 1 when anything differs.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from corral import CorralError, TensorInfo, Tokenizer
from corral_gguf.constants import ValueType
from corral_gguf.loader import GgufLoader
from corral_gguf.reader import Metadata
from corral_gguf.writer import TensorSource, tensor_size, write_gguf
from corral_tokenizers.kinds import kinds
from corral_tokenizers.patterns import names

SEPARATOR = "\n__ggml_vocab_test__\n"
WIDTH = 32  # hidden size of the model made around a vocabulary
KEPT_KEYS = ("tokenizer.ggml.", "general.name")  # llama.cpp knows some families by the model's name
PRE_KEY = "tokenizer.ggml.pre"
SHOWN = 3  # differences printed for each file

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789",
    " " * 3 + "\n\t",
    " \n\r\t\u00a0\u3000\u2003\u200b",
    ".,;:!?'\"`()[]{}<>/\\|@#$%^&*-_=+~",
    "áéíóúñçäöüßÀÉÎÕØŁİıſǅ",
    "абвгдежзиАБВГДЕ",
    "αβγδεΑΒΓς",
    "你好世界中文字符",
    "あいうえおアイウエオ",
    "한국어조선말",
    "नमस्तेدنياשלוםไทยភាសា",
    "🦙😀👨‍👩‍👧‍👦🏳️‍🌈✅①½²Ⅷ٣๓",
    "e\u0301a\u0308\u0327o\u20dd\u0e33\u094d",
    "ﬁﬀＡｂ１２ﾊﾟ…—–‘’“”«»€£¥§¶",
)
SNIPPETS = (
    "I'm",
    "don't",
    "WE'LL",
    "it's 3.14",
    "1234567",
    "  \n\n  ",
    "\r\n",
    "       ",
    "=====",
    "http://a.b/c?d=e&f",
)


def random_text(chance: random.Random, specials: Sequence[str]) -> str:
    """A text of one to forty runs, each from one alphabet, a common snippet, or a special token."""
    parts = []
    for _ in range(chance.randint(1, 40)):
        kind = chance.random()
        if kind < 0.08 and specials:
            parts.append(chance.choice(specials))
        elif kind < 0.2:
            parts.append(chance.choice(SNIPPETS))
        else:
            alphabet = chance.choice(ALPHABETS)
            parts.append("".join(chance.choice(alphabet) for _ in range(chance.randint(1, 9))))
        if chance.random() < 0.3:
            parts.append(" ")
    return "".join(parts)


def recorded_cases(path: Path) -> list[tuple[str, list[int]]]:
    """Texts and expected ids from the `.inp` and `.out` files beside a vocabulary."""
    texts_path, ids_path = path.with_name(path.name + ".inp"), path.with_name(path.name + ".out")
    if not texts_path.exists():
        return []
    texts = texts_path.read_bytes().decode().split(SEPARATOR)
    lines = ids_path.read_text().split("\n")
    return [(text, [int(word) for word in line.split()]) for text, line in zip(texts, lines, strict=False)]


def shapes(n_tokens: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a one-layer model."""
    square = (WIDTH, WIDTH)
    weights = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    layer = {f"blk.0.{name}.weight": square for name in weights}
    norms = {"output_norm.weight": (WIDTH,), "blk.0.attn_norm.weight": (WIDTH,), "blk.0.ffn_norm.weight": (WIDTH,)}
    return {"token_embd.weight": (n_tokens, WIDTH), **norms, **layer}


def write_model(path: Path, metadata: Metadata) -> None:
    """A model of one layer of zeros with the vocabulary of `metadata`."""
    keys: dict[str, Any] = {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.context_length": 4096,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": WIDTH,
        "llama.attention.head_count": 1,
        "llama.rope.dimension_count": WIDTH,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
    }
    types = {key: kind for key, kind in metadata.types.items() if key.startswith(KEPT_KEYS)}
    keys |= {key: metadata[key] for key in types}

    def source(name: str, shape: tuple[int, ...]) -> TensorSource:
        info = TensorInfo(name=name, type="F32", shape=shape, size_bytes=0)
        return TensorSource(info, lambda: [bytes(tensor_size(info))])

    n_tokens = len(metadata["tokenizer.ggml.tokens"])
    write_gguf(path, Metadata(keys, types), [source(name, shape) for name, shape in shapes(n_tokens).items()])


@contextmanager
def llama_cpp(metadata: Metadata) -> Iterator[Callable[[str, bool, bool], list[int]]]:
    """llama.cpp's `tokenize(text, add_special, parse_special)` for a vocabulary."""
    import xllamacpp

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        write_model(path, metadata)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 64, 1, False, -1
        server = xllamacpp.Server(params)

        def tokenize(text: str, add_special: bool, parse_special: bool) -> list[int]:
            body = {"content": text, "add_special": add_special, "parse_special": parse_special}
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(server.listening_address + "/tokenize", json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request) as answer:
                ids: list[int] = json.load(answer)["tokens"]
            return ids

        yield tokenize


def report(name: str, text: str, expected: list[int], found: list[int]) -> None:
    """Print the first place where two tokenizations differ."""
    same = next(
        (i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), min(len(expected), len(found))
    )
    print(
        f"  {name}: {text!r:.100}\n    expected …{expected[same : same + 8]} found …{found[same : same + 8]} at {same}"
    )


def compare(path: Path, n_random: int, seed: int, pre: str = "") -> tuple[str, bool]:
    """One row of the table, and whether all is equal.  `pre` replaces the vocabulary's own pre-tokenizer."""
    weights = GgufLoader().open(path)
    vocab, metadata = weights.vocab(), weights.info.metadata
    weights.close()
    assert isinstance(metadata, Metadata)
    if pre:
        vocab = replace(vocab, pre=pre)
        metadata = Metadata({**metadata, PRE_KEY: pre}, {**metadata.types, PRE_KEY: ValueType.STRING})
    kind = next((kind for kind in kinds(llama_cpp_patterns=True) if kind.name == vocab.model), None)
    if kind is None:
        return f"{path.name:36} no tokenizer for {vocab.model!r}", False
    start = time.perf_counter()
    try:
        tokenizer = kind.build(vocab)
    except CorralError as err:
        return f"{path.name:36} {err.message}", False
    build_ms = (time.perf_counter() - start) * 1e3
    cases = [] if pre else recorded_cases(path)
    n_equal = 0
    for text, expected in cases:
        found = tokenizer.encode(text, add_special=False, parse_special=False)
        n_equal += found == expected
        if found != expected:
            report(path.name, text, expected, found)
    row = (
        f"{path.name:36} {vocab.model:7} {vocab.pre:24} {len(vocab.tokens):7} {build_ms:7.0f} {n_equal:4}/{len(cases)}"
    )
    if not n_random:
        return row, n_equal == len(cases)
    specials = [vocab.tokens[i] for i, kind in enumerate(vocab.token_types) if kind in (3, 4)][:200]
    n_same = compare_random(pre or path.name, metadata, tokenizer, specials, n_random, seed)
    return f"{row} {n_same:6}/{n_random}", n_equal == len(cases) and n_same == n_random


def compare_random(
    name: str, metadata: Metadata, tokenizer: Tokenizer, specials: Sequence[str], n_random: int, seed: int
) -> int:
    """How many of `n_random` texts both tokenize alike."""
    chance = random.Random(seed)
    n_same = n_shown = 0
    with llama_cpp(metadata) as tokenize:
        for _ in range(n_random):
            text = random_text(chance, specials)
            add, parse = chance.random() < 0.5, chance.random() < 0.5
            expected = tokenize(text, add, parse)
            found = tokenizer.encode(text, add_special=add, parse_special=parse)
            n_same += expected == found
            if expected != found and n_shown < SHOWN:
                n_shown += 1
                report(name, text, expected, found)
    return n_same


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare our tokenizers with llama.cpp's, token for token.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--random", type=int, default=0, help="random texts for each vocabulary")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only files whose name contains this")
    parser.add_argument("--every-pre", action="store_true", help="each file with every known BPE pre-tokenizer")
    args = parser.parse_args()
    paths = [path for path in sorted(args.folder.glob("*.gguf")) if args.only in path.name]
    print(
        f"{'file':36} {'model':7} {'pre':24} {'tokens':>7} {'build ms':>8} recorded{' random' if args.random else ''}"
    )
    all_equal = bool(paths)
    for path in paths:
        for pre in sorted(names()) if args.every_pre else ("",):
            row, equal = compare(path, args.random, args.seed, pre)
            print(row, flush=True)
            all_equal = all_equal and equal
    return 0 if all_equal else 1


if __name__ == "__main__":
    sys.exit(main())
