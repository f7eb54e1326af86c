"""Perplexity of each weight type beside llama.cpp's, on the same files, made from one model by Corral's quantizer.

    pip install xllamacpp
    python tests/bench/type_perplexity.py MODEL.gguf [--write tests/bench/results/type_perplexity.md]

llama.cpp's protocol (chunks of 512, the second half scored), on the first chunk of a fixed text.
"""

import argparse
import asyncio
import math
import sys
import tempfile
from pathlib import Path

from corral import RunnerSettings
from corral.config import Config
from corral.kernel import Kernel
from corral_quantizers.file import quantize_file
from corral_quantizers.provider import Machine

sys.path.insert(0, str(Path(__file__).parent))
from parity import CHUNK, peer_perplexity, prompt_logprobs
from peer import Peer, versions

FILE_TYPES = (
    *("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M"),
    *("Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4_MOE"),
)


async def compare(path: Path) -> list[str]:
    """The report's lines."""
    kernel = Kernel(Config())
    kernel.plugins.require()
    loader = kernel.loaders["gguf"]
    vocab = loader.open(path).vocab()
    tokenizer = kernel.tokenizers[vocab.model].build(vocab)
    chunk = tokenizer.encode((Path(__file__).parent / "corpus.txt").read_text(encoding="utf-8"))[:CHUNK]
    lines = [f"Machine and versions: {versions()}", f"Made from {path.name}; one chunk of {CHUNK} tokens.", ""]
    lines += ["| file type | Corral | llama.cpp | difference |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for file_type in FILE_TYPES:
            target = Path(folder) / f"{file_type}.gguf"
            quantize_file(loader.open(path), target, file_type, Machine())
            weights = loader.open(target)
            engine = next(engine for engine in kernel.engines.values() if engine.fits(weights.info))
            runner = await engine.open(weights, RunnerSettings(n_threads=2))
            try:
                scores = (await prompt_logprobs(runner, chunk))[CHUNK // 2 :]
            finally:
                await runner.close()
                weights.close()
            ours = math.exp(-math.fsum(scores) / len(scores))
            theirs = peer_perplexity(Peer(target), [chunk])
            target.unlink()
            lines.append(f"| {file_type} | {ours:.4f} | {theirs:.4f} | {100 * (ours / theirs - 1):+.2f} % |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Command line: MODEL.gguf [--write FILE]."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--write", type=Path, help="also write the report here")
    args = parser.parse_args()
    report = "\n".join(asyncio.run(compare(args.model)))
    if args.write:
        args.write.write_text(f"# Perplexity of weight types\n\n{report}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
