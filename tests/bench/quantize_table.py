"""Quantization beside llama.cpp: the same bytes? the same error? how fast?

    python tests/bench/quantize_table.py LLAMA_QUANTIZE [--rows 8192] [--columns 2048] [--threads 2] [--only TYPE …]
    [--whole] [--write]

LLAMA_QUANTIZE is the `llama-quantize` program.  A seeded random F16 model of one layer is quantized to every type by
both, from and to the folder for temporary files; both are told the number of threads.  Ours is timed when compiled and
includes flushing to the disk; the best of three runs counts for both.  Processor time tells more than time where other
programs run.  `--whole` measures instead the 1B-shaped model of `models.py`, from file to file and by
`corral create -q`, which hashes both files, too.  `--write` stores the table in results/.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from models import cache_folder, one_billion_f16
from peer import child_environment

from corral import TensorInfo
from corral_gguf.loader import GgufLoader
from corral_gguf.weights import GgufWeights
from corral_gguf.writer import TensorSource, write_gguf
from corral_quantizers.file import quantize_file
from corral_quantizers.file_types import FILE_TYPES
from corral_quantizers.formats import FORMATS
from corral_quantizers.provider import BlockQuantizer, Machine

GOAL_WEIGHTS = 1.07e9
SAME_WHEN_PURE = ("F16", "Q3_K_M", "Q3_K_L", "Q4_K_M", "Q5_K_M")  # as the source, or as the _S mix
MIXES = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q2_K", "Q3_K_M", "Q3_K_L", "IQ4_XS")
GOALS_S = {"Q4_0": 8, "Q4_K_M": 45}  # for a whole file of 1.07 G weights
WHOLE = "## Whole files"
RESULT = Path(__file__).parent / "results" / "quantize.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama_quantize", type=Path)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--columns", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="file types; all by default")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        if args.whole:
            found = whole_files(args.llama_quantize, Path(folder), args.threads)
        else:
            only = [name.upper() for name in args.only or FILE_TYPES]
            found = table(args.llama_quantize, Path(folder), args.rows, args.columns, args.threads, only)
        for line in found:
            print(line, flush=True)
            lines.append(line)
    if args.write:
        blocks, _, whole = RESULT.read_text(encoding="utf-8").partition(WHOLE)
        text = "\n".join(lines) + "\n"
        RESULT.write_text(f"{blocks.rstrip()}\n\n{text}" if args.whole else f"{text}\n{WHOLE}{whole}", encoding="utf-8")


def table(program: Path, folder: Path, n_rows: int, n_columns: int, n_threads: int, only: list[str]) -> Iterator[str]:
    """The lines of a Markdown page."""
    source = folder / "source.gguf"
    make_model(source, n_rows, n_columns)
    weights = GgufLoader().open(source)
    machine = Machine(n_threads)
    yield "# Quantization beside llama.cpp\n"
    yield f"`python tests/bench/quantize_table.py LLAMA_QUANTIZE --rows {n_rows} --columns {n_columns} --write`\n"
    yield f"- machine: {cpu_name()}, {n_threads} threads; {platform.system()} {platform.machine()}"
    names = ("numpy", "numba", "llvmlite")
    yield f"- Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names)
    yield f"- {llama_version(program, source)}"
    yield f"- source: {weights.info.parameter_count / 1e6:.1f} M Gaussian weights, F16, one layer"
    yield f"- M weights/s; the last columns are seconds for {GOAL_WEIGHTS / 1e9} G weights by Corral: as measured, and"
    yield "  by processor time, as it would be were nothing else running"
    if hasattr(os, "getloadavg"):
        yield f"- load of the machine at the start: {os.getloadavg()[0]:.1f}"
    columns = ("file type", "blocks equal", "MSE / theirs", "error", "Corral", "llama.cpp")
    yield f"\n| {' | '.join(columns)} | time / theirs | CPU / theirs | 1.07 G | 1.07 G, idle cores |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    runs = [(name, True) for name in FILE_TYPES if name not in SAME_WHEN_PURE] + [(name, False) for name in MIXES]
    for file_type, pure in [run for run in runs if run[0] in only]:
        ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
        quantize_file(weights, ours, file_type, machine, pure=pure)  # compiles
        our_runs = [timed(weights, ours, file_type, machine, pure) for _ in range(3)]
        their_runs = [run_llama(program, source, theirs, file_type, n_threads, pure) for _ in range(3)]
        (seconds, cpu), (their_seconds, their_cpu) = (
            [min(column) for column in zip(*runs, strict=True)] for runs in (our_runs, their_runs)
        )
        equal, ratio, error = compare(weights, ours, theirs, machine)
        n_weights = weights.info.parameter_count
        speed, their_speed = (n_weights / s / 1e6 for s in (seconds, their_seconds))
        yield (
            f"| {file_type}{', pure' if pure else ' (mix)'} | {equal:.3%} | {ratio:.6f} | {error:.4f} | {speed:.0f} "
            f"| {their_speed:.0f} | {seconds / their_seconds:.2f} | {cpu / their_cpu:.2f} "
            f"| {GOAL_WEIGHTS / speed / 1e6:.1f} s | {GOAL_WEIGHTS * cpu / n_threads / n_weights:.1f} s |"
        )


def whole_files(program: Path, folder: Path, n_threads: int) -> Iterator[str]:
    """A section of the page: each program twice in turns, the better time counts."""
    source = one_billion_f16(cache_folder())
    weights, machine = GgufLoader().open(source), Machine(n_threads)
    yield f"{WHOLE}\n"
    yield "`python tests/bench/quantize_table.py LLAMA_QUANTIZE --whole --write`\n"
    yield f"- machine: {cpu_name()}, {n_threads} threads; {llama_version(program, source)}"
    yield f"- source: {weights.info.parameter_count / 1e9:.2f} G weights, F16, {source.stat().st_size / 1e9:.2f} GB"
    yield "- to the disk and flushed by Corral, not flushed by llama.cpp"
    if hasattr(os, "getloadavg"):
        yield f"- load of the machine at the start: {os.getloadavg()[0]:.1f}"
    yield "\n| file type | Corral | goal | llama.cpp | time / theirs | CPU / theirs | `corral create -q` |"
    yield "|---|---|---|---|---|---|---|"
    for file_type, goal in GOALS_S.items():
        path, ours, theirs = folder / "out.gguf", [], []
        for _ in range(2):
            ours.append(timed(weights, path, file_type, machine, pure=False))
            theirs.append(run_llama(program, source, path, file_type, n_threads, pure=False))
        (seconds, cpu), (their_seconds, their_cpu) = min(ours), min(theirs)
        path.unlink()
        created = created_s(source, folder / file_type, file_type)
        yield (
            f"| {file_type} | {seconds:.1f} s | {goal} s | {their_seconds:.1f} s | {seconds / their_seconds:.2f} "
            f"| {cpu / their_cpu:.2f} | {created:.1f} s |"
        )


def created_s(source: Path, folder: Path, file_type: str) -> float:
    """The time `corral create -q` takes from start to end, with a store and no server of its own."""
    folder.mkdir()
    (folder / "Modelfile").write_text(f"FROM {source}\n", encoding="utf-8")
    environment = {**child_environment(), "OLLAMA_MODELS": str(folder / "models"), "OLLAMA_HOST": "127.0.0.1:9"}
    start = time.perf_counter()
    command = [sys.executable, "-m", "corral", "create", "bench", "-q", file_type]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


def timed(weights: GgufWeights, path: Path, file_type: str, machine: Machine, pure: bool) -> tuple[float, float]:
    """Seconds, and seconds of processor time."""
    start, cpu_start = time.perf_counter(), time.process_time()
    quantize_file(weights, path, file_type, machine, pure=pure)
    return time.perf_counter() - start, time.process_time() - cpu_start


def run_llama(
    program: Path, source: Path, path: Path, file_type: str, n_threads: int, pure: bool
) -> tuple[float, float]:
    """Seconds, as the program reports them (start-up is not counted), and seconds of processor time."""
    command = [str(program), *(["--pure"] if pure else []), str(source), str(path), file_type, str(n_threads)]
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    found = re.search(r"quantize time\s*=\s*([\d.]+) ms", done.stdout + done.stderr)
    if found is None:
        sys.exit("the program did not report its time")
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return float(found[1]) / 1000, used


def compare(weights: GgufWeights, ours: Path, theirs: Path, machine: Machine) -> tuple[float, float, float]:
    """The share of equal blocks, the ratio of mean squared errors, our error relative to the weights' RMS."""
    equal = total = 0
    squares = 0.0
    errors = [0.0, 0.0]
    files = [GgufLoader().open(path) for path in (ours, theirs)]
    for info in weights.info.tensors:
        x = decoded(weights, info.name, machine).astype(np.float64)
        pair = [file.tensor(info.name) for file in files]
        if pair[0].info.type != pair[1].info.type:
            sys.exit(f"{info.name}: {pair[0].info.type} here, {pair[1].info.type} there")
        if len(info.shape) < 2:
            continue
        size = FORMATS[pair[0].info.type].type_size
        blocks = [np.frombuffer(tensor.data, dtype=np.uint8).reshape(-1, size) for tensor in pair]
        equal += int((blocks[0] == blocks[1]).all(axis=1).sum())
        total += len(blocks[0])
        for i, file in enumerate(files):
            errors[i] += float(((decoded(file, info.name, machine) - x) ** 2).sum())
        squares += float((x**2).sum())
    ratio = errors[0] / errors[1] if errors[1] else float(errors[0] == 0)
    return equal / total, ratio, float(np.sqrt(errors[0] / squares))


def decoded(weights: GgufWeights, name: str, machine: Machine) -> np.ndarray:
    tensor = weights.tensor(name)
    quantizer = BlockQuantizer(FORMATS[tensor.info.type], machine)
    return quantizer.dequantize(np.frombuffer(tensor.data, dtype=np.uint8), tensor.info.shape)


def make_model(path: Path, n_rows: int, n_columns: int) -> None:
    """A Llama of one layer: embedding and feed-forward are `n_rows` x `n_columns`, or the transpose."""
    rng = np.random.default_rng(20240501)
    n_heads = n_columns // 64
    shapes = {
        "token_embd.weight": (n_rows, n_columns),
        "output_norm.weight": (n_columns,),
        "blk.0.attn_norm.weight": (n_columns,),
        "blk.0.attn_q.weight": (n_columns, n_columns),
        "blk.0.attn_k.weight": (n_columns // 4, n_columns),
        "blk.0.attn_v.weight": (n_columns // 4, n_columns),
        "blk.0.attn_output.weight": (n_columns, n_columns),
        "blk.0.ffn_norm.weight": (n_columns,),
        "blk.0.ffn_gate.weight": (n_rows, n_columns),
        "blk.0.ffn_up.weight": (n_rows, n_columns),
        "blk.0.ffn_down.weight": (n_columns, n_rows),
    }
    metadata = {
        "general.architecture": "llama",
        "general.file_type": 1,
        "llama.block_count": 1,
        "llama.context_length": 2048,
        "llama.embedding_length": n_columns,
        "llama.feed_forward_length": n_rows,
        "llama.attention.head_count": n_heads,
        "llama.attention.head_count_kv": n_heads // 4,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.vocab_size": n_rows,
        "tokenizer.ggml.model": "none",
    }

    def chunks(shape: tuple[int, ...]) -> Iterator[memoryview]:
        kind = np.float16 if len(shape) > 1 else np.float32
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        yield np.ascontiguousarray(values.astype(kind)).data.cast("B")

    def source(name: str, shape: tuple[int, ...]) -> TensorSource:
        kind = "F16" if len(shape) > 1 else "F32"
        return TensorSource(TensorInfo(name=name, type=kind, shape=shape, size_bytes=0), lambda: chunks(shape))

    write_gguf(path, metadata, [source(name, shape) for name, shape in shapes.items()])


def cpu_name() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8", errors="replace"))
        if found:
            return f"{found[1]}, {os.cpu_count()} cores"
    return platform.processor() or platform.machine()


def llama_version(program: Path, source: Path) -> str:
    """What the program calls itself when it runs."""
    command = [str(program), "--dry-run", str(source), "Q8_0"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = re.search(r"version: *(\S+)", done.stdout + done.stderr)
    return f"llama.cpp {found[1] if found else 'of unknown version'}"


if __name__ == "__main__":
    main()
