"""LoRA adapters beside llama.cpp: the same greedy text with one and with two, on plain and quantized weights.

    pip install xllamacpp
    python tests/bench/adapter_parity.py [--write]

The base is SmolLM2-135M, widened to F32 and quantized to Q4_0 and Q4_K_M here; the adapters are seeded, of rank 8, on
attention and feed-forward of every layer, and change every text.  64 tokens a prompt, keys and values F32 in both.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import numpy as np
import xllamacpp

from corral import AdapterSpec, RunnerSettings, TensorInfo
from corral.config import Config
from corral.kernel import Kernel
from corral_gguf.loader import GgufLoader
from corral_gguf.writer import TensorSource, write_gguf
from corral_quantizers.file import quantize_file
from corral_quantizers.provider import Machine

sys.path.insert(0, str(Path(__file__).parent))
from models import cache_folder, smollm2
from parity import DETERMINED, OPEN, best, greedy, in_common, sigma
from peer import Peer, flash_attention_off, versions

RANK, N_TOKENS = 8, 64
TARGETS = ("attn_q", "attn_v", "ffn_up", "ffn_down")
RESULT = Path(__file__).parent / "results" / "adapters.md"


def make_adapter(base: Path, path: Path, seed: int) -> Path:
    """B·A is about a tenth of the weights."""
    rng, info, sources = np.random.default_rng(seed), GgufLoader().open(base).info, []
    for tensor in info.tensors:
        if tensor.name.endswith(tuple(f".{target}.weight" for target in TARGETS)):
            for half, shape in (("a", (RANK, tensor.shape[1])), ("b", (tensor.shape[0], RANK))):
                values = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.04)
                spec = TensorInfo(name=f"{tensor.name}.lora_{half}", type="F32", shape=shape, size_bytes=values.nbytes)
                sources.append(TensorSource(spec, lambda values=values: [values.data.cast("B")]))
    kind = {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 2.0 * RANK}
    write_gguf(path, {"general.architecture": info.architecture, **kind}, sources)
    return path


async def row(kernel: Kernel, base: Path, adapters: list[Path]) -> str:
    """One line of the table."""
    weights = GgufLoader().open(base)
    (engine,) = kernel.engines.values()
    tokenizer = kernel.tokenizers[weights.vocab().model].build(weights.vocab())
    runner = await engine.open(weights, RunnerSettings(kv_type_k="f32", kv_type_v="f32", kv_tokens=4096))
    infos = [xllamacpp.CommonAdapterLoraInfo() for _ in adapters]
    for info, path in zip(infos, adapters, strict=True):
        info.path, info.scale = str(path), 1.0
    f32 = xllamacpp.ggml_type.GGML_TYPE_F32
    peer = Peer(base, lora_adapters=infos, cache_type_k=f32, cache_type_v=f32, **flash_attention_off())
    specs, equal, changed, gaps = [AdapterSpec(path=str(path)) for path in adapters], 0, 0, []
    prompts = [text for text in (*OPEN, *DETERMINED) if not text.startswith("chat: ")]
    for text in prompts:
        ids = tokenizer.encode(text)
        theirs = list(peer.complete(ids, n_predict=N_TOKENS, ignore_eos=True)["tokens"])
        ours = await greedy(runner, ids, len(theirs), [], specs)
        changed += ours != await greedy(runner, ids, len(theirs), [])
        common = in_common(ours, theirs)
        equal += common == len(theirs)
        if common < len(theirs):
            scores = best(peer, [*ids, *theirs[:common]])
            gaps.append(abs(scores.get(ours[common], -99.0) - scores[theirs[common]]) / sigma(scores))
    await runner.close()
    gap = f"{max(gaps):.3f} σ" if gaps else "-"
    return f"| {weights.info.quantization} | {len(adapters)} | {equal} of {len(prompts)} | {gap} | {changed} |"


async def rows(kernel: Kernel) -> list[str]:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        source = smollm2(cache_folder())
        pair = [make_adapter(source, Path(folder) / f"{seed}.gguf", seed) for seed in (1, 2)]
        for file_type in ("F32", "Q4_0", "Q4_K_M"):
            base = Path(folder) / f"{file_type}.gguf"
            quantize_file(GgufLoader().open(source), base, file_type, Machine())
            lines += [await row(kernel, base, pair[:1]), await row(kernel, base, pair)]
    return lines


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    lines = ["# Adapters beside llama.cpp\n", "`python tests/bench/adapter_parity.py --write`\n", f"- {versions()}"]
    lines += [
        "- gap: the largest one between the two candidates where texts part, in σ of llama.cpp's likeliest logits"
    ]
    lines += ["\n| base | adapters | equal texts | gap | changed by the adapters |", "|---|---|---|---|---|"]
    kernel = Kernel(Config())
    kernel.plugins.require()
    async with kernel.live():
        lines += await rows(kernel)
    print("\n".join(lines))
    if write:
        RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
