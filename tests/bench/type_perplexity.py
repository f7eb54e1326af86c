"""Perplexity of each weight type beside llama.cpp's, on the same files, made from one model by Corral's quantizer.

    pip install xllamacpp
    python tests/bench/type_perplexity.py MODEL.gguf [--only TYPE …] [--write tests/bench/results/type_perplexity.md]

llama.cpp's protocol (chunks of 512, the second half scored) on a fixed text.  Both engines round activations to int8,
each in its own way, which moves every token's log p a little; the difference of the two perplexities therefore stands
beside its standard error, estimated from the differences of single tokens.  Neither is the truth: that is what the same
weights give, widened to float32, with activations that are not rounded.  The last columns tell how far from it the two
engines are, as the root mean square over tokens of the difference in log p.  Rows of other types that the written file
holds are kept.
"""

import argparse
import asyncio
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from corral import RunnerSettings
from corral.config import Config
from corral.kernel import Kernel
from corral_quantizers.file import quantize_file
from corral_quantizers.provider import Machine

sys.path.insert(0, str(Path(__file__).parent))
from parity import CHUNK, chunks_of, peer_scored_half, perplexity, scored_half
from peer import Peer, versions

FILE_TYPES = (
    *("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M"),
    *("Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4_MOE"),
)
HEAD = (
    "| file type | float32 | Corral | llama.cpp | Corral against llama.cpp | Corral off by | llama.cpp off by |",
    "|---|---|---|---|---|---|---|",
)


class Measurement:
    """One model, one text, and what is needed to run files made from it."""

    def __init__(self, path: Path) -> None:
        self.kernel = Kernel(Config())
        self.kernel.plugins.require()
        self.loader = self.kernel.loaders["gguf"]
        self.path = path
        vocab = self.loader.open(path).vocab()
        text = (Path(__file__).parent / "corpus.txt").read_text(encoding="utf-8")
        self.chunks = chunks_of(self.kernel.tokenizers[vocab.model].build(vocab).encode(text))

    async def _scores(self, path: Path) -> list[float]:
        weights = self.loader.open(path)
        engine = next(engine for engine in self.kernel.engines.values() if engine.fits(weights.info))
        runner = await engine.open(weights, RunnerSettings(n_threads=2))
        try:
            return await scored_half(runner, self.chunks)
        finally:
            await runner.close()
            weights.close()

    async def row(self, file_type: str) -> str:
        """One type's row of the table."""
        with tempfile.TemporaryDirectory() as folder:
            narrow, wide = Path(folder) / f"{file_type}.gguf", Path(folder) / "F32.gguf"
            quantize_file(self.loader.open(self.path), narrow, file_type, Machine())
            quantize_file(self.loader.open(narrow), wide, "F32", Machine())
            truth, ours = await self._scores(wide), await self._scores(narrow)
            theirs = peer_scored_half(Peer(narrow), self.chunks)
        return row(file_type, truth, ours, theirs)


def row(file_type: str, truth: Sequence[float], ours: Sequence[float], theirs: Sequence[float]) -> str:
    """A row from the three engines' log p of the same tokens."""
    exact, a, b = (np.array(scores, np.float64) for scores in (truth, ours, theirs))
    differences = b - a  # of losses; in per cent of the perplexity, small as they are
    error = differences.std(ddof=1) / math.sqrt(len(a))
    cells = [f"{perplexity(scores):.4f}" for scores in (truth, ours, theirs)]
    cells += [f"{100 * math.expm1(differences.mean()):+.2f} ± {100 * error:.2f} %"]
    cells += [f"{math.sqrt(np.square(scores - exact).mean()):.4f}" for scores in (a, b)]
    return " | ".join((f"| {file_type}", *cells)) + " |"


def kept_rows(path: Path | None) -> dict[str, str]:
    """The rows that an earlier run wrote, by type."""
    if path is None or not path.exists():
        return {}
    rows = {line.split(" ")[1]: line for line in path.read_text(encoding="utf-8").splitlines() if line[:2] == "| "}
    return {file_type: line for file_type, line in rows.items() if file_type in FILE_TYPES and line.count("|") == 8}


def page(measurement: Measurement, rows: dict[str, str]) -> Iterator[str]:
    """The lines of the written page."""
    n = len(measurement.chunks)
    yield "# Perplexity of weight types\n"
    yield f"Machine and versions: {versions()}"
    yield f"Made from {measurement.path.name}; {n} chunks of {CHUNK} tokens, {n * (CHUNK - 1 - CHUNK // 2)} scored.\n"
    yield from HEAD
    yield from (rows[file_type] for file_type in FILE_TYPES if file_type in rows)


def main() -> None:
    """Command line: MODEL.gguf [--only TYPE …] [--write FILE]."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--only", nargs="*", choices=FILE_TYPES, default=FILE_TYPES)
    parser.add_argument("--write", type=Path, help="also write the report here")
    args = parser.parse_args()
    measurement, rows = Measurement(args.model), kept_rows(args.write)
    for file_type in args.only:
        rows[file_type] = asyncio.run(measurement.row(file_type))
        print(rows[file_type], flush=True)
        if args.write:
            args.write.write_text("\n".join(page(measurement, rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
