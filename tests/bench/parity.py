"""Parity and a first measurement against llama.cpp, on one file, in one run.

    pip install xllamacpp
    python tests/bench/parity.py MODEL.gguf [--write tests/bench/results/parity.md]

Greedy text: two sets of ten prompts (five raw, five through the chat template), 64 tokens, token for token.
Activations rounded to int8 make logits noisy, and any change of rounding (another attention kernel, another processor)
draws the noise anew; so llama.cpp is also compared with itself, flash attention off.  Where answers part, the gap
between the two candidates is given in standard deviations (σ) of llama.cpp's likeliest logits.  Perplexity: llama.cpp's
protocol (chunks of 512, the second half scored) on a fixed text.  Speed: prefill of 128 and 512 tokens,
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
    AdapterSpec,
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
from peer import Peer, flash_attention_off, versions

OPEN = (
    "The capital of France is",
    "Once upon a time, in a small village by the sea, there lived",
    "def fibonacci(n):\n    ",
    "The three laws of thermodynamics state that",
    "In 1969, the first human beings landed on the Moon. The mission",
    "chat: Why is the sky blue?",
    "chat: Write a short poem about the ocean.",
    "chat: What is the difference between a list and a tuple in Python?",
    "chat: Give me three tips for sleeping better.",
    "chat: Translate 'good morning' into French, Spanish and German.",
)
"""Prompts that can be continued in many ways: the best two candidates are often nearly tied."""

DETERMINED = (
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,",
    "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, Monday, Tuesday, Wednesday,",
    "January, February, March, April, May, June, July, August, September, October, November, December, January,",
    "2 + 2 = 4\n3 + 3 = 6\n4 + 4 = 8\n5 + 5 = 10\n6 + 6 = 12\n",
    "<ul>\n<li>1</li>\n<li>2</li>\n<li>3</li>\n<li>4</li>\n<li>5</li>\n",
    "chat: Count from 1 to 30.",
    "chat: Repeat the word hello twenty times.",
    "chat: List the months of the year.",
    "chat: Write the numbers from 1 to 20, separated by commas.",
    "chat: What is the capital of France?",
)
"""Prompts whose answer the model is sure of."""

CHUNK = 512
N_TOKENS, N_BEST = 64, 1000


async def greedy(
    runner: Runner, token_ids: Sequence[int], n: int, eog: Sequence[int], adapters: Sequence[AdapterSpec] = ()
) -> list[int]:
    """Up to `n` greedy tokens."""
    options = Options(temperature=0)
    ids, ends = tuple(token_ids), tuple(eog)
    job = Job(token_ids=ids, options=options, eog_ids=ends, max_tokens=n, num_ctx=4096, adapters=tuple(adapters))
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


def chunks_of(token_ids: Sequence[int]) -> list[Sequence[int]]:
    """The whole chunks of a text."""
    return [token_ids[i : i + CHUNK] for i in range(0, len(token_ids) - CHUNK + 1, CHUNK)]


def perplexity(scores: Sequence[float]) -> float:
    """Of tokens with these log probabilities."""
    return math.exp(-math.fsum(scores) / len(scores))


async def scored_half(runner: Runner, chunks: Sequence[Sequence[int]]) -> list[float]:
    """Corral's log p of the second half of every chunk."""
    return [score for chunk in chunks for score in (await prompt_logprobs(runner, chunk))[CHUNK // 2 :]]


def peer_scored_half(peer: Peer, chunks: Sequence[Sequence[int]]) -> list[float]:
    """The same of llama.cpp through its server: one token predicted at every scored position."""

    def logprob(prefix: Sequence[int], token: int) -> float:
        for n_probs in (100, 1 << 20):  # all of them only for a token that is not among the likely ones
            reply = peer.complete(prefix, n_predict=1, n_probs=n_probs, cache_prompt=True)
            for item in reply["completion_probabilities"][0]["top_logprobs"]:
                if item["id"] == token:
                    return float(item["logprob"])
        raise SystemExit(f"llama.cpp tells no probability of token {token}")

    scored = range(CHUNK // 2, CHUNK - 1)
    return [logprob(chunk[: i + 1], chunk[i + 1]) for chunk in chunks for i in scored]


def best(peer: Peer, token_ids: Sequence[int]) -> dict[int, float]:
    """Token id → log p of the likeliest N_BEST tokens after `token_ids`, as llama.cpp says."""
    reply = peer.complete(token_ids, n_predict=1, n_probs=N_BEST)
    return {item["id"]: item["logprob"] for item in reply["completion_probabilities"][0]["top_logprobs"]}


def sigma(logprobs: dict[int, float]) -> float:
    """The standard deviation, in logits (which differ from log p by a constant)."""
    mean = math.fsum(logprobs.values()) / len(logprobs)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in logprobs.values()) / len(logprobs))


def noise(peer: Peer, other: Peer, token_ids: Sequence[int]) -> float:
    """The largest difference between two peers' logits, in σ, over the tokens that both hold likely."""
    a, b = best(peer, token_ids), best(other, token_ids)
    both = a.keys() & b.keys()
    shift = math.fsum(a[i] - b[i] for i in both) / len(both)
    return max(abs(a[i] - b[i] - shift) for i in both) / sigma(a)


def in_common(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """How many tokens two answers begin with alike."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(ours), len(theirs)))


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
    runner = await engine.open(weights, RunnerSettings(n_threads=2))
    peer, other = Peer(path), Peer(path, **flash_attention_off())
    eog = sorted(tokenizer.eog_ids)

    def prompt(name: str) -> str:
        chat = name.removeprefix("chat: ")
        message = Message(role="user", content=chat)
        return name if chat == name else template.render(Conversation(messages=(message,)))

    def peers_answer(peer: Peer, token_ids: Sequence[int]) -> list[int]:
        return [token for token in peer.complete(token_ids, n_predict=N_TOKENS)["tokens"] if token not in eog]

    async def table(names: Sequence[str]) -> list[str]:
        lines = [
            "| prompt | tokens | Corral | llama.cpp with itself | gap where Corral parts |",
            "|---|---|---|---|---|",
        ]
        equal = equal_to_itself = 0
        for name in names:
            token_ids = tokenizer.encode(prompt(name))
            if token_ids != peer.tokenize(prompt(name)):
                raise SystemExit(f"the tokens of {name!r} differ: the tokenizer comes first")
            ours = await greedy(runner, token_ids, N_TOKENS, eog)
            theirs, itself = peers_answer(peer, token_ids), peers_answer(other, token_ids)
            common, gap = in_common(ours, theirs), ""
            if ours != theirs:
                scores = best(peer, token_ids + theirs[:common])
                a, b = (answer[common : common + 1] or eog for answer in (ours, theirs))
                tie = abs(max(scores.get(i, -99.0) for i in a) - max(scores.get(i, -99.0) for i in b))
                gap = f"{tie / sigma(scores):.3f} σ"
            equal += ours == theirs
            equal_to_itself += itself == theirs
            lines.append(f"| {name[:48]!r} | {len(theirs)} | {common} | {in_common(itself, theirs)} | {gap} |")
        return [*lines, "", f"Equal: {equal} of {len(names)}; llama.cpp with itself: {equal_to_itself}.", ""]

    try:
        lines = ["Answers the model is sure of, tokens in common:", "", *await table(DETERMINED)]
        lines += ["Open answers:", "", *await table(OPEN)]
        largest = max(noise(peer, other, tokenizer.encode(prompt(name))) for name in OPEN)
        lines += [
            "llama.cpp with itself: the same file with flash attention off.  Largest difference of its two logits",
            f"after the open prompts: {largest:.2f} σ.  Nearer candidates may change places in either engine.",
        ]
        token_ids = tokenizer.encode((Path(__file__).parent / "corpus.txt").read_text(encoding="utf-8"))
        chunks = chunks_of(token_ids)
        ours_ppl = perplexity(await scored_half(runner, chunks))
        theirs_ppl = perplexity(peer_scored_half(peer, chunks))
    finally:
        await runner.close()
    lines += [
        "",
        f"Perplexity over {len(chunks)} chunks of {CHUNK}: Corral {ours_ppl:.4f}, llama.cpp {theirs_ppl:.4f},",
    ]
    return [*lines, f"difference {100 * (ours_ppl / theirs_ppl - 1):+.3f} %.", ""]


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
