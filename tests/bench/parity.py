"""Parity and a first measurement against llama.cpp, on one file, in one run.

    pip install xllamacpp
    python tests/bench/parity.py MODEL.gguf [--write tests/bench/results/parity.md]

Greedy text: ten prompts (five raw, five through the chat template), 64 tokens, token for token.  Where they part,
the gap between the two candidates in llama.cpp's logits is given in units of the tolerance of near-ties.  Perplexity:
llama.cpp's protocol (chunks of 512, the second half scored) on a fixed text.  Speed: prefill of 128 and 512 tokens,
decode of 64.
"""

import argparse
import asyncio
import math
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from corral import (
    Conversation,
    Engine,
    Job,
    Message,
    Options,
    PrefillEvent,
    Runner,
    RunnerSettings,
    Template,
    Tokenizer,
    TokensEvent,
    Weights,
)
from corral.config import Config
from corral.kernel import Kernel

sys.path.insert(0, str(Path(__file__).parent))
from peer import Peer, versions

RAW = (
    "The capital of France is",
    "Once upon a time, in a small village by the sea, there lived",
    "def fibonacci(n):\n    ",
    "The three laws of thermodynamics state that",
    "In 1969, the first human beings landed on the Moon. The mission",
)
CHAT = (
    "Why is the sky blue?",
    "Write a short poem about the ocean.",
    "What is the difference between a list and a tuple in Python?",
    "Give me three tips for sleeping better.",
    "Translate 'good morning' into French, Spanish and German.",
)
NEAR_TIE = 0.1  # of the standard deviation of the logits: the tolerance for quantized weights
CHUNK = 512


async def greedy(runner: Runner, token_ids: Sequence[int], n: int, eog: Sequence[int]) -> list[int]:
    """Up to `n` greedy tokens."""
    options = Options(temperature=0)
    job = Job(token_ids=tuple(token_ids), options=options, eog_ids=tuple(eog), max_tokens=n, num_ctx=4096)
    out: list[int] = []
    async with aclosing(runner.submit(job)) as events:
        async for event in events:
            if isinstance(event, TokensEvent):
                out += event.token_ids
    return out


async def prompt_logprobs(runner: Runner, token_ids: Sequence[int]) -> list[float]:
    """log p of every token after the first, given those before it."""
    job = Job(
        token_ids=tuple(token_ids), max_tokens=1, num_ctx=4096, prompt_logprobs=True, options=Options(temperature=0)
    )
    scores: list[float] = []
    async with aclosing(runner.submit(job)) as events:
        async for event in events:
            if isinstance(event, PrefillEvent):
                scores += [scored.logprob for scored in event.logprobs]
    return scores


async def timed(runner: Runner, token_ids: Sequence[int], n: int) -> tuple[float, float]:
    """(prefill tokens a second, decode tokens a second) of one run without anything cached."""
    salt = str(time.perf_counter_ns())
    job = Job(token_ids=tuple(token_ids), max_tokens=n, num_ctx=4096, options=Options(temperature=0), cache_key=salt)
    began = time.perf_counter()
    first, count = 0.0, 0
    async with aclosing(runner.submit(job)) as events:
        async for event in events:
            if isinstance(event, TokensEvent):
                first = first or time.perf_counter()
                count += len(event.token_ids)
    ended = time.perf_counter()
    return len(token_ids) / (first - began), (count - 1) / (ended - first) if count > 1 else math.nan


def peer_perplexity(peer: Peer, chunks: Sequence[Sequence[int]]) -> float:
    """llama.cpp's perplexity through its server: one token predicted at every scored position."""
    losses = []
    for chunk in chunks:
        for position in range(CHUNK // 2, CHUNK - 1):
            reply = peer.complete(chunk[: position + 1], n_predict=1, n_probs=4000, cache_prompt=True)
            top = reply["completion_probabilities"][0]["top_logprobs"]
            losses.append(
                -next((item["logprob"] for item in top if item["id"] == chunk[position + 1]), top[-1]["logprob"])
            )
    return math.exp(math.fsum(losses) / len(losses))


def gap(peer: Peer, prefix: Sequence[int], ours: int, theirs: int) -> float:
    """How far apart llama.cpp holds the two candidates, in standard deviations of its best 4000 logits."""
    reply = peer.complete(prefix, n_predict=1, n_probs=4000)
    top = {item["id"]: item["logprob"] for item in reply["completion_probabilities"][0]["top_logprobs"]}
    mean = math.fsum(top.values()) / len(top)
    sigma = math.sqrt(math.fsum((value - mean) ** 2 for value in top.values()) / len(top))
    return abs(top[theirs] - top.get(ours, min(top.values()))) / sigma


async def compare(path: Path) -> list[str]:
    """Run everything and return the report's lines."""
    kernel = Kernel(Config())
    kernel.plugins.require()
    weights = kernel.loaders["gguf"].open(path)
    vocab = weights.vocab()
    tokenizer = kernel.tokenizers[vocab.model].build(vocab)
    engine = next(engine for engine in kernel.engines.values() if engine.fits(weights.info))
    template = kernel.templates["jinja"].compile(weights.info.chat_template or "{{ messages[0].content }}")
    lines = [f"Machine and versions: {versions()}", f"File: {path.name}", ""]
    lines += await _parity(engine, weights, tokenizer, template, path)
    lines += await _speed(engine, weights, tokenizer, path)
    return lines


async def _parity(engine: Engine, weights: Weights, tokenizer: Tokenizer, template: Template, path: Path) -> list[str]:
    lines = ["| prompt | tokens in common | of | gap where they part |", "|---|---|---|---|"]
    runner = await engine.open(weights, RunnerSettings(n_threads=2))
    peer = Peer(path)
    same = 0
    try:
        prompts = [(text, text) for text in RAW]
        for text in CHAT:
            rendered = template.render(Conversation(messages=(Message(role="user", content=text),)))
            prompts.append((f"chat: {text}", rendered))
        for name, text in prompts:
            token_ids = tokenizer.encode(text)
            if token_ids != peer.tokenize(text):
                raise SystemExit(f"the tokens of {name!r} differ: the tokenizer comes first")
            ours = await greedy(runner, token_ids, 64, sorted(tokenizer.eog_ids))
            theirs = [t for t in peer.complete(token_ids, n_predict=64)["tokens"] if t not in tokenizer.eog_ids]
            common = next(
                (i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), len(theirs)
            )
            equal = ours == theirs
            same += equal
            part = (
                ""
                if equal or common >= len(ours)
                else f"{gap(peer, token_ids + ours[:common], ours[common], theirs[common]):.3f} σ"
            )
            lines.append(f"| {name[:48]!r} | {common} | {len(theirs)} | {part} |")
        token_ids = tokenizer.encode((Path(__file__).parent / "corpus.txt").read_text(encoding="utf-8"))
        chunks = [token_ids[i : i + CHUNK] for i in range(0, len(token_ids) - CHUNK + 1, CHUNK)]
        scores: list[float] = []
        for chunk in chunks:
            scores += (await prompt_logprobs(runner, chunk))[CHUNK // 2 :]
        ours_ppl = math.exp(-math.fsum(scores) / len(scores))
        theirs_ppl = peer_perplexity(peer, chunks)
    finally:
        await runner.close()
    lines += ["", f"Greedy answers equal: {same} of {len(prompts)} (near-tie tolerance {NEAR_TIE} σ).", ""]
    lines.append(
        f"Perplexity over {len(chunks)} chunks of {CHUNK}: Corral {ours_ppl:.4f}, llama.cpp {theirs_ppl:.4f}, "
        f"difference {100 * (ours_ppl / theirs_ppl - 1):+.3f} %."
    )
    return [*lines, ""]


async def _speed(engine: Engine, weights: Weights, tokenizer: Tokenizer, path: Path) -> list[str]:
    """Tokens a second, Corral and llama.cpp alternating; the best of three of each."""
    lines = ["| threads | work | Corral tok/s | llama.cpp tok/s | ratio |", "|---|---|---|---|---|"]
    text = (Path(__file__).parent / "corpus.txt").read_text(encoding="utf-8")
    for n_threads in (1, 2):
        runner = await engine.open(weights, RunnerSettings(n_threads=n_threads))
        peer = Peer(path, n_threads=n_threads)
        try:
            for name, n_prompt, n_predict in (("prefill 128", 128, 1), ("prefill 512", 512, 1), ("decode 64", 16, 64)):
                token_ids = tokenizer.encode(text)[:n_prompt]
                ours = theirs = 0.0
                for _ in range(3):
                    rates = await timed(runner, token_ids, n_predict)
                    ours = max(ours, rates[1] if n_predict > 1 else rates[0])
                    timing = peer.complete(token_ids, n_predict=n_predict, cache_prompt=False, ignore_eos=True)[
                        "timings"
                    ]
                    theirs = max(theirs, timing["predicted_per_second" if n_predict > 1 else "prompt_per_second"])
                lines.append(f"| {n_threads} | {name} | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} |")
        finally:
            await runner.close()
    return lines


def main() -> None:
    """Command line: MODEL.gguf [--write FILE]."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--write", type=Path, help="also write the report here")
    args = parser.parse_args()
    report = "\n".join(asyncio.run(compare(args.model)))
    print(report)
    if args.write:
        args.write.parent.mkdir(parents=True, exist_ok=True)
        args.write.write_text(f"# Parity with llama.cpp\n\n{report}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
