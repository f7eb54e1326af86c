"""Conversions compared with llama.cpp's: the same tensors and metadata as its converter, the same greedy text.

    pip install xllamacpp
    python tests/bench/convert_parity.py --official CHECKOUT/convert_hf_to_gguf.py --python PYTHON_WITH_TORCH \
        tests/fixtures/checkpoints/* [MORE_FOLDERS] [--write tests/bench/results/convert_parity.md]

The official program runs as it is, but for one thing: made-up vocabularies are not in its table of known ones, so it
is told which pre-tokenizer to write.  Greedy text: llama.cpp runs our file, this engine too, up to 48 tokens from fixed
ids (for encoders: the cosine of the embeddings).  The weights are widened to F32 for that, keys and values are F32, so
what is left is the order of sums; where the texts part, the gap between the two candidates is given in σ of the logits.
"""

import argparse
import asyncio
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xllamacpp

from corral import EmbedJob, Runner, RunnerSettings, Weights
from corral.config import Config
from corral.kernel import Kernel
from corral_gguf.loader import GgufLoader
from corral_safetensors.plugin import SafetensorsConfig, SafetensorsConverter

sys.path.insert(0, str(Path(__file__).parent))
from parity import best, greedy, in_common, sigma
from peer import Peer, flash_attention_off, versions

IDS = [1, 17, 42, 42, 99, 203, 319, 5, 64, 128, 256, 300, 7, 17, 42, 8]
N_TOKENS = 48
ONLY_DESCRIBES = ("general.", "tokenizer.chat_template")  # names, sizes and sampling, told differently by intention
WRAPPER = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/gguf-py"]
program, pre = sys.argv[2:4]
sys.argv[:] = [program, *sys.argv[4:]]
import runpy
from conversion import base
known = base.TextModel.get_vocab_base_pre
def told(self, tokenizer):
    try:
        return known(self, tokenizer)
    except NotImplementedError:
        return pre
base.TextModel.get_vocab_base_pre = told
runpy.run_path(program, run_name="__main__")
"""


def ours(folder: Path, out: Path) -> Path:
    """The file this project makes."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    out.mkdir()
    converter = SafetensorsConverter(SafetensorsConfig())
    made = converter.convert(files, out, base=None, progress=lambda _: None, should_stop=lambda: False)
    return made.weights[0]


def theirs(folder: Path, out: Path, program: Path, python: str, weights: Weights) -> str:
    """Run the official program; empty when it went well, else its last line."""
    kind = {"F32": "f32", "F16": "f16", "BF16": "bf16"}[weights.info.quantization]
    pre = str(weights.info.metadata["tokenizer.ggml.pre"])
    command = [python, "-c", WRAPPER, str(program.parent), str(program), pre]
    arguments = [str(folder), "--outfile", str(out), "--outtype", kind]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no output"])[-1]


def compare_tensors(a: Weights, b: Weights) -> str:
    """How many tensors are equal byte for byte, and which are not."""
    left, right = ({tensor.name: tensor for tensor in weights.info.tensors} for weights in (a, b))
    notes = [f"only ours: {name}" for name in left.keys() - right.keys()]
    notes += [f"only theirs: {name}" for name in right.keys() - left.keys()]
    equal = 0
    for name in left.keys() & right.keys():
        if left[name] != right[name]:
            notes.append(f"{name}: {left[name].type} {left[name].shape} and {right[name].type} {right[name].shape}")
        elif a.tensor(name).data != b.tensor(name).data:
            notes.append(f"{name}: bytes differ")
        else:
            equal += 1
    return f"{equal} of {len(right)}" + (f" ({'; '.join(sorted(notes)[:4])})" if notes else "")


def compare_metadata(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Keys that only one file has or that differ, but for those that describe."""
    notes = []
    for key in sorted(a.keys() | b.keys()):
        if key.startswith(ONLY_DESCRIBES) and key not in ("general.architecture", "general.file_type"):
            continue
        if key not in b:
            notes.append(f"`{key}` only ours")
        elif key not in a:
            notes.append(f"`{key}` only theirs")
        elif not _equal(a[key], b[key]):
            notes.append(f"`{key}` {_shown(a[key])}, theirs {_shown(b[key])}")
    return "; ".join(notes) or "equal"


def _equal(a: Any, b: Any) -> bool:
    return bool(list(a) == list(b) if hasattr(a, "tolist") else a == b)


def _shown(value: Any) -> str:
    return f"{len(value)} elements" if hasattr(value, "tolist") else repr(value)[:40]


async def answers(path: Path, weights: Weights) -> str:
    """What llama.cpp and this engine make of our file."""
    kernel = Kernel(Config())
    kernel.plugins.require()
    wide = path.with_name("wide.gguf")
    async with kernel.live():
        kernel.service("corral_file_quantizer").quantize(weights, wide, "F32")
    widened = GgufLoader().open(wide)
    engine = next(engine for engine in kernel.engines.values() if engine.fits(weights.info))
    runner = await engine.open(widened, RunnerSettings(n_threads=2, kv_type_k="f32", kv_type_v="f32"))
    try:
        if weights.info.metadata.get(f"{weights.info.architecture}.attention.causal") is False:
            return await _embeddings(wide, runner)
        kinds = dict.fromkeys(("cache_type_k", "cache_type_v"), xllamacpp.ggml_type.GGML_TYPE_F32)
        peer = Peer(wide, num_ctx=min(weights.info.context_length, 256), **kinds, **flash_attention_off())
        reply = peer.complete(IDS, n_predict=N_TOKENS)["tokens"]  # up to what ends an answer there
        mine = (await greedy(runner, IDS, N_TOKENS, []))[: len(reply)]
        if mine == reply:
            return f"equal, {len(mine)} tokens"
        common = in_common(mine, reply)
        scores = best(peer, IDS + reply[:common])
        gap = abs(scores.get(mine[common], -99.0) - scores[reply[common]]) / sigma(scores)
        return f"equal for {common} of {len(reply)} tokens, then {gap:.4f} σ apart"
    finally:
        await runner.close()
        widened.close()


async def _embeddings(path: Path, runner: Runner) -> str:
    peer = Peer(path, num_ctx=64, embedding=True)
    (mine,) = await runner.embed(EmbedJob(inputs=(tuple(IDS),)))
    reply = peer.post("/embedding", {"content": IDS})
    other = np.array(reply[0]["embedding"], np.float64).reshape(-1, len(mine))[0]
    cosine = float(np.dot(mine, other) / (np.linalg.norm(mine) * np.linalg.norm(other)))
    return f"cosine {cosine:.6f}" if not math.isnan(cosine) else "NaN"


async def rows(folders: Sequence[Path], program: Path, python: str) -> list[str]:
    """The report."""
    lines = [
        f"Machine and versions: {versions()}",
        "",
        "| checkpoint | architecture | stored | tensors equal | metadata | llama.cpp and Corral on our file |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        for folder in folders:
            if not (folder / "config.json").exists() or not any(folder.glob("*[tv]o[kc]*")):
                continue  # no model, or a quantized copy that shares another's tokenizer
            path = ours(folder, Path(scratch) / folder.name)
            a = GgufLoader().open(path)
            official = Path(scratch) / f"{folder.name}.gguf"
            failed = theirs(folder, official, program, python, a)
            tensors, metadata = f"not converted there: {failed[:100]}", ""
            if not failed:
                b = GgufLoader().open(official)
                tensors, metadata = compare_tensors(a, b), compare_metadata(a.info.metadata, b.info.metadata)
                b.close()
            text = await answers(path, a)
            a.close()
            lines.append(
                f"| {folder.name} | {a.info.architecture} | {a.info.quantization} | {tensors} | {metadata} | {text} |"
            )
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--official", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    lines = asyncio.run(rows(arguments.folders, arguments.official.resolve(), arguments.python))
    if arguments.write:
        title = "# Conversions against llama.cpp's converter"
        arguments.write.write_text("\n".join([title, "", *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
