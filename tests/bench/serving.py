"""Serving through HTTP, side by side with llama.cpp's own server on the same file and the same machine.

    pip install xllamacpp
    python tests/bench/serving.py MODEL.gguf [--write tests/bench/results/serving.md] [--runs 3] [--tokens 128]

Measured from a client's seat: one stream and eight at once, one stream beside a process that keeps a core busy, the
second turn of a chat, the load to the first token, resident memory.  Both servers run in processes of their own, one
after the other in each round, so that the machine's moods hit both; the best round of each counts.
"""

import argparse
import asyncio
import contextlib
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parent))
from peer import Peer, child_environment, versions

N_STREAMS = 8
QUESTIONS = (
    "Why is the sky blue?",
    "Write a short story about a lighthouse keeper.",
    "What is the difference between a list and a tuple in Python?",
    "Give me three tips for sleeping better.",
    "Explain how a bicycle stays upright.",
    "Describe the life of a honey bee through one summer.",
    "What should I know before I plant a vegetable garden?",
    "How do tides work, and why are there two a day?",
)
SAMPLING = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.0, "ignore_eos": True}
NUM_CTX = 2048
TIMEOUT = aiohttp.ClientTimeout(total=600)


@dataclass
class Answer:
    """What a client saw of one answer.  Times in seconds since the request was sent."""

    first_s: float = math.inf
    last_s: float = 0.0
    text: str = ""
    n_tokens: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def decode_rate(self) -> float:
        """Tokens a second after the first."""
        return (self.n_tokens - 1) / (self.last_s - self.first_s)


@dataclass
class Server:
    """A server under test: where it listens, its process, and how to ask it."""

    url: str
    process: "subprocess.Popen[str]"
    path: str
    body: Callable[[list[dict[str, str]], int, int], dict[str, Any]]
    read: Callable[[bytes, Answer], None]

    async def ask(self, session: aiohttp.ClientSession, messages: list[dict[str, str]], n: int, seed: int) -> Answer:
        """One streamed chat answer of `n` tokens."""
        answer, began = Answer(), time.perf_counter()
        async with session.post(self.url + self.path, json=self.body(messages, n, seed)) as response:
            if response.status != 200:
                raise SystemExit(f"{self.url}{self.path}: {response.status} {await response.text()}")
            async for line in response.content:
                if line.strip():
                    self.read(line, answer)
                    if answer.text or answer.n_tokens:
                        answer.first_s = min(answer.first_s, time.perf_counter() - began)
        answer.last_s = time.perf_counter() - began
        return answer


# --- Corral -----------------------------------------------------------------------------------------------------------


def corral_body(messages: list[dict[str, str]], n: int, seed: int) -> dict[str, Any]:
    """A request of Ollama's dialect."""
    options = {**SAMPLING, "num_predict": n, "num_ctx": NUM_CTX, "seed": seed}
    return {"model": "bench", "messages": messages, "options": options}


def read_corral(line: bytes, answer: Answer) -> None:
    """A line of NDJSON."""
    chunk = json.loads(line)
    if "error" in chunk:
        raise SystemExit(f"Corral: {chunk['error']}")
    answer.text += chunk["message"]["content"]
    if chunk["done"]:
        answer.n_tokens, answer.facts = chunk["eval_count"], chunk


@contextlib.contextmanager
def corral(home: Path, n_threads: int) -> Iterator[Server]:
    """`corral serve` with the model named "bench" in its store."""
    port = free_port()
    environment = {
        **child_environment(),
        "CORRAL_HOST": f"127.0.0.1:{port}",
        "CORRAL_MODELS": str(home / "models"),
        "CORRAL_PLUGINS__ENGINE__N_THREADS": str(n_threads),
        "OLLAMA_NUM_PARALLEL": str(N_STREAMS),
    }
    command = [sys.executable, "-m", "corral", "serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, text=True) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_up(url + "/api/version", process)
            yield Server(url, process, "/api/chat", corral_body, read_corral)
        finally:
            process.terminate()
            process.wait()


def create(home: Path, model: Path) -> None:
    """Put the model into a store under the name "bench"."""
    (home / "Modelfile").write_text(f"FROM {model.resolve()}\n", encoding="utf-8")
    environment = {
        **child_environment(),
        "CORRAL_MODELS": str(home / "models"),
        "CORRAL_HOST": f"127.0.0.1:{free_port()}",
    }
    command = [sys.executable, "-m", "corral", "create", "bench", "-f", str(home / "Modelfile")]
    subprocess.run(command, env=environment, check=True, capture_output=True)


# --- llama.cpp --------------------------------------------------------------------------------------------------------


def peer_body(messages: list[dict[str, str]], n: int, seed: int) -> dict[str, Any]:
    """A request of llama.cpp's OpenAI-like dialect, with the same samplers in the same order."""
    return {
        "messages": messages, **SAMPLING, "max_tokens": n, "seed": seed, "stream": True, "cache_prompt": True,
        "timings_per_token": False, "samplers": ["top_k", "top_p", "temperature"],
    }  # fmt: skip


def read_peer(line: bytes, answer: Answer) -> None:
    """A line of SSE."""
    data = line.removeprefix(b"data: ").strip()
    if data == line.strip() or data == b"[DONE]":  # a comment that keeps the connection alive, or the end
        return
    chunk = json.loads(data)
    for choice in chunk.get("choices", ()):
        answer.text += choice["delta"].get("content") or ""
    if "timings" in chunk:
        answer.n_tokens, answer.facts = chunk["timings"]["predicted_n"], chunk["timings"]


@contextlib.contextmanager
def llamacpp(model: Path, n_threads: int, n_parallel: int = N_STREAMS) -> Iterator[Server]:
    """llama.cpp's server in a process of its own; `facts` of the process: how long the load took."""
    command = [sys.executable, __file__, str(model), "--peer", str(n_threads), str(n_parallel)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            yield Server(url, process, "/v1/chat/completions", peer_body, read_peer)
        finally:
            process.kill()
            process.wait()


def serve_peer(model: Path, n_threads: int, n_parallel: int) -> None:
    """In the child: serve until the parent goes."""
    peer = Peer(model, n_threads=n_threads, num_ctx=NUM_CTX, n_parallel=n_parallel)
    print(peer.url, flush=True)
    sys.stdin.read()


# --- the machine ------------------------------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(url: str, process: "subprocess.Popen[str]") -> None:
    """Until `url` answers.  Fails when the process ends first."""
    import urllib.request

    while process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.005)
    raise SystemExit(f"the server behind {url} ended with {process.returncode}")


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """A process that never rests, on the last core this one may use."""
    code = (
        "import os\n"
        "if hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n"
        "while True: pass"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        time.sleep(0.3)
        try:
            yield
        finally:
            process.kill()


def resident_bytes(process: "subprocess.Popen[str]") -> int:
    """Resident memory of a process."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


# --- what is measured -------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that is as frugal as it can be."""
    connector = aiohttp.TCPConnector(limit=2 * N_STREAMS, force_close=True)
    async with aiohttp.ClientSession(timeout=TIMEOUT, connector=connector, read_bufsize=1 << 20) as made:
        yield made


async def throughput(server: Server, n_streams: int, n: int, seed: int) -> tuple[float, float]:
    """(tokens a second in all, the slowest stream's tokens a second after its first) of streams at once."""
    async with session() as client:
        began = time.perf_counter()
        tasks = [
            server.ask(client, [{"role": "user", "content": QUESTIONS[i % len(QUESTIONS)]}], n, seed + i)
            for i in range(n_streams)
        ]
        answers = await asyncio.gather(*tasks)
        elapsed = time.perf_counter() - began
    return sum(answer.n_tokens for answer in answers) / elapsed, min(answer.decode_rate for answer in answers)


async def second_turn(server: Server, text: str) -> tuple[float, float, int]:
    """Time to the first token of a long first message and of the turn after it; tokens of the first prompt."""
    async with session() as client:
        messages = [{"role": "user", "content": f"Summarise this text.\n\n{text}"}]
        first = await server.ask(client, messages, 32, 1)
        messages += [{"role": "assistant", "content": first.text}, {"role": "user", "content": "Go on, please."}]
        second = await server.ask(client, messages, 32, 2)
    n_prompt = first.facts.get("prompt_eval_count") or first.facts.get("prompt_n") or 0
    return first.first_s, second.first_s, n_prompt


async def first_token(server: Server, began: float) -> float:
    """Seconds from `began` to the first token of a short question."""
    sent = time.perf_counter()
    async with session() as client:
        answer = await server.ask(client, [{"role": "user", "content": "Hello!"}], 1, 1)
    return sent + answer.first_s - began


@dataclass
class Best:
    """The best of what was measured, by name."""

    values: dict[str, float] = field(default_factory=dict)

    def more(self, name: str, value: float) -> None:
        """Keep the larger."""
        self._keep(name, value, max(value, self.values.get(name, 0.0)))

    def less(self, name: str, value: float) -> None:
        """Keep the smaller."""
        self._keep(name, value, min(value, self.values.get(name, math.inf)))

    def _keep(self, name: str, value: float, best: float) -> None:
        print(f"{name}: {value:.3f}", file=sys.stderr, flush=True)
        self.values[name] = best

    def __getitem__(self, name: str) -> float:
        return self.values.get(name, math.nan)


def measure(server: Server, best: Best, who: str, n: int, seed: int, text: str) -> None:
    """One round of everything that needs the whole machine."""
    asyncio.run(throughput(server, 1, 8, seed))
    best.more(f"{who} 1", asyncio.run(throughput(server, 1, n, seed))[0])
    together, slowest = asyncio.run(throughput(server, N_STREAMS, n, seed))
    best.more(f"{who} 8", together)
    best.more(f"{who} 8 slowest", slowest)
    first_s, second_s, n_prompt = asyncio.run(second_turn(server, f"{seed}. {text}"))
    best.less(f"{who} first turn", first_s)
    best.less(f"{who} second turn", second_s)
    best.more("prompt", n_prompt)
    best.less(f"{who} memory", resident_bytes(server.process))
    with busy_core():
        best.more(f"{who} busy", asyncio.run(throughput(server, 1, n, seed + 100))[1])


def compare(model: Path, home: Path, runs: int, n: int, *, peer: bool) -> Best:
    """All rounds."""
    best, text = Best(), (Path(__file__).parent / "corpus.txt").read_text(encoding="utf-8")[:2400]
    create(home, model)
    for run in range(runs):
        with corral(home, 0) as server:
            best.less("corral load", asyncio.run(first_token(server, time.perf_counter())))
            measure(server, best, "corral", n, 1000 * run, text)
            loaded = ps(server.url)
            best.more("corral model", loaded)
        if peer:
            began = time.perf_counter()
            with llamacpp(model, 2) as server:
                best.less("llama.cpp start", asyncio.run(first_token(server, began)))
                measure(server, best, "llama.cpp", n, 1000 * run, text)
        began = time.perf_counter()
        with corral(home, 1) as server:
            best.less("corral start", asyncio.run(first_token(server, began)))
            best.more("corral alone", asyncio.run(throughput(server, 1, n, run))[1])
            with busy_core():
                best.more("corral alone busy", asyncio.run(throughput(server, 1, n, run + 100))[1])
    return best


def ps(url: str) -> int:
    """Bytes of the loaded model: weights and the part of the KV cache that was used."""
    import urllib.request

    with urllib.request.urlopen(url + "/api/ps") as response:
        return int(json.load(response)["models"][0]["size"])


def report(best: Best, model: Path, n: int) -> str:
    """The result as Markdown."""
    rows = (
        ("1 stream, tok/s through HTTP", best["corral 1"], best["llama.cpp 1"], ""),
        (f"{N_STREAMS} streams, tok/s in all", best["corral 8"], best["llama.cpp 8"], "≥ 3"),
        (f"{N_STREAMS} streams, the slowest stream's tok/s", best["corral 8 slowest"], best["llama.cpp 8 slowest"], ""),
        ("1 stream beside a busy process, tok/s after the first", best["corral busy"], best["llama.cpp busy"], "≥ 2"),
    )
    setting = f"{n} tokens a stream; temperature 0.8, top-k 40, top-p 0.9; 2 threads; the best round of each"
    lines = [f"Machine and versions: {versions()}", f"File: {model.name}; {setting}.", ""]
    lines += ["| work | Corral | llama.cpp | ratio | goal |", "|---|---|---|---|---|"]
    lines += [f"| {name} | {a:.1f} | {b:.1f} | {a / b:.2f} | {goal} |" for name, a, b, goal in rows]
    for name, a, b in (
        ("second turn, s to the first token", best["corral second turn"], best["llama.cpp second turn"]),
        ("from the start of the process to the first token, s", best["corral start"], best["llama.cpp start"]),
    ):
        lines.append(f"| {name} | {a:.3f} | {b:.3f} | {a / b:.2f} | ≤ 1 |")
    resident, size = best["corral memory"], best["corral model"]
    lines.append(f"| resident memory, MB | {resident / 1e6:.0f} | {best['llama.cpp memory'] / 1e6:.0f} | | |")
    alone, alone_busy, first = best["corral alone"], best["corral alone busy"], best["corral first turn"]
    itself = (
        (f"{N_STREAMS} streams ÷ one stream", f"{best['corral 8'] / best['corral 1']:.2f}", "≥ 2.5"),
        (
            f"busy process: two threads ÷ one, idle machine ({alone:.1f} tok/s)",
            f"{best['corral busy'] / alone:.2f}",
            "",
        ),
        (f"busy process: two threads ÷ one ({alone_busy:.1f} tok/s)", f"{best['corral busy'] / alone_busy:.2f}", "≥ 1"),
        (
            f"second turn ÷ first turn of {best['prompt']:.0f} tokens ({first:.3f} s)",
            f"{100 * best['corral second turn'] / first:.1f} %",
            "< 10 %",
        ),
        ("load of the model to the first token", f"{best['corral load']:.3f} s", ""),
        (
            f"resident memory ÷ (1.15 × (weights + used KV, {size / 1e6:.0f} MB) + 150 MB)",
            f"{resident / (1.15 * size + 150e6):.2f}",
            "≤ 1",
        ),
    )
    lines += ["", "| Corral beside itself | | goal |", "|---|---|---|"]
    lines += [f"| {name} | {value} | {goal} |" for name, value, goal in itself]
    return "\n".join(lines)


def main() -> None:
    """Command line; `--peer` is the child's side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--write", type=Path, help="also write the report here")
    parser.add_argument("--runs", type=int, default=3, help="rounds")
    parser.add_argument("--tokens", type=int, default=128, help="tokens a stream")
    parser.add_argument("--alone", action="store_true", help="without llama.cpp")
    parser.add_argument("--peer", type=int, nargs=2, metavar=("THREADS", "PARALLEL"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        serve_peer(args.model, *args.peer)
        return
    with tempfile.TemporaryDirectory() as home:
        best = compare(args.model, Path(home), args.runs, args.tokens, peer=not args.alone)
    text = report(best, args.model, args.tokens)
    print(text)
    if args.write:
        args.write.parent.mkdir(parents=True, exist_ok=True)
        args.write.write_text(f"# Serving, beside llama.cpp\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
