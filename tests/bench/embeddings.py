"""Embeddings: agreement with sentence-transformers and throughput beside llama.cpp, on the same files, in one run.

    pip install xllamacpp
    python tests/bench/embeddings.py F32.gguf F16.gguf [--write tests/bench/results/embeddings.md]

The files are all-MiniLM-L6-v2, in the two types.  The texts are the fifty of sentences.txt, in many languages, from one
word to a paragraph; tests/fixtures/make_minilm_reference.py says how sentence-transformers' vectors of them were made.
Throughput: all fifty in one request, best of several rounds, the two engines taking turns; llama.cpp's server gets them
as token ids, in eight slots and batches of 4096, which is faster for it than one slot.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
TEXTS = [line for line in (HERE / "sentences.txt").read_text(encoding="utf-8").splitlines() if line]
ROUNDS = 7


def unit(rows: Sequence[Sequence[float]]) -> np.ndarray:
    matrix = np.array(rows, np.float64)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def cosines(a: np.ndarray, b: np.ndarray) -> str:
    """Least and mean cosine of the rows."""
    found = (a * b).sum(axis=1)
    return f"{found.min():.6f} / {found.mean():.6f}"


async def compare(path: Path, n_threads: int, reference: np.ndarray) -> list[str]:
    """Rows of the two tables for one file."""
    sys.path.insert(0, str(HERE))
    from peer import Peer

    from corral import EmbedJob, RunnerSettings
    from corral.config import Config
    from corral.kernel import Kernel

    kernel = Kernel(Config())
    head = path.open("rb").read(64)
    loader = next(loader for loader in kernel.loaders.values() if loader.sniff(head))
    weights = loader.open(path)
    vocab = weights.vocab()
    tokenizer = kernel.tokenizers[vocab.model].build(vocab)
    inputs = tuple(tuple(tokenizer.encode(text, add_special=True)) for text in TEXTS)
    n_tokens = sum(map(len, inputs))
    runner = await kernel.engines["corral"].open(weights, RunnerSettings(n_threads=n_threads))
    peer = Peer(path, n_threads=n_threads, num_ctx=512, n_parallel=8, embedding=True, n_batch=4096, n_ubatch=4096)
    body = {"content": [list(each) for each in inputs]}
    ours, theirs, single, peer_single = [], [], [], []
    vectors: Sequence[Sequence[float]] = ()
    answer: list[dict[str, list[list[float]]]] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        vectors = await runner.embed(EmbedJob(inputs=inputs))
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        answer = peer.post("/embedding", body)
        theirs.append(time.perf_counter() - began)
        for text in inputs[:10]:
            began = time.perf_counter()
            await runner.embed(EmbedJob(inputs=(text,)))
            single.append(time.perf_counter() - began)
            began = time.perf_counter()
            peer.post("/embedding", {"content": [list(text)]})
            peer_single.append(time.perf_counter() - began)
    await runner.close()
    mine, other = unit(vectors), unit([row["embedding"][0] for row in answer])
    speed, peer_speed = n_tokens / min(ours), n_tokens / min(theirs)
    return [
        (
            f"| {path.stem} | {n_threads} | {speed:.0f} | {len(inputs) / min(ours):.0f} | {peer_speed:.0f} "
            f"| **{speed / peer_speed:.2f}×** | {np.median(single) * 1e3:.1f} | {np.median(peer_single) * 1e3:.1f} |"
        ),
        f"| {path.stem} | {cosines(mine, reference)} | {cosines(other, reference)} | {cosines(mine, other)} |",
    ]


async def main(arguments: argparse.Namespace) -> None:
    sys.path.insert(0, str(HERE))
    from peer import versions

    with np.load(HERE.parent / "fixtures" / "minilm_reference.npz") as arrays:
        reference = unit(arrays["vectors"])
    speeds, agreements = [], []
    for path in arguments.files:
        for n_threads in arguments.threads:
            speed, agreement = await compare(path, n_threads, reference)
            print(speed, agreement, sep="\n", flush=True)
            speeds.append(speed)
        agreements.append(agreement)
    lines = [
        "# Embeddings beside llama.cpp",
        "",
        f"{versions()}. `python tests/bench/embeddings.py`: fifty texts in many languages, one request.",
        "",
        "| file | threads | tokens/s | texts/s | llama.cpp tokens/s | ratio | one text, ms | llama.cpp, ms |",
        "|---|---|---|---|---|---|---|---|",
        *speeds,
        "",
        "Cosines with sentence-transformers (float32) on the same texts, least / mean of the fifty:",
        "",
        "| file | Corral | llama.cpp | Corral with llama.cpp |",
        "|---|---|---|---|",
        *agreements,
        "",
    ]
    if arguments.write:
        arguments.write.parent.mkdir(exist_ok=True)
        arguments.write.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--write", type=Path)
    asyncio.run(main(parser.parse_args()))
