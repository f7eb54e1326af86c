"""`corral bench`: tokens a second of the engine itself, without server, sampling or text in between."""

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from corral import (
    BadRequest,
    CorralError,
    FormatError,
    Job,
    JSONObject,
    Options,
    RunnerSettings,
    TokensEvent,
    Unsupported,
)
from corral.types import Value
from corral_cli.flags import describe, switch

if TYPE_CHECKING:
    from corral import Runner, Weights
    from corral.kernel import Kernel
    from corral_cli.bench_peer import LlamaCpp
    from corral_cli.busy import Busy

_SEED = 20  # of the prompt's tokens
_DECODE_PROMPT = 16  # tokens before a decode is timed
_MOST = 1 << 20


class Test(Value, frozen=True):
    """What is timed: the prefill of `size` tokens ("pp") or the decode of `size` ("tg")."""

    kind: str
    size: int

    @property
    def name(self) -> str:
        return f"{self.kind}{self.size}"


class Row(Value, frozen=True):
    """The samples of one test, tokens a second."""

    test: str
    threads: int
    samples: tuple[float, ...]
    against: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """Ours by theirs, medians."""
        return statistics.median(self.samples) / statistics.median(self.against)

    def shown(self) -> tuple[str, ...]:
        """The cells of the table."""
        cells = (self.test, str(self.threads), _spread(self.samples))
        return (*cells, _spread(self.against), f"{self.ratio:.2f}") if self.against else cells


def _spread(samples: Sequence[float]) -> str:
    deviation = statistics.stdev(samples) if len(samples) > 1 else 0.0
    return f"{statistics.mean(samples):.1f} ± {deviation:.1f}"


def counts(text: str) -> tuple[int, ...]:
    """ "128,512" → (128, 512).  Raises ValueError."""
    values = tuple(int(part) for part in text.split(","))
    if not all(0 <= value <= _MOST for value in values):
        raise ValueError(text)
    return values


class Bench:
    """`corral bench MODEL`."""

    name, help = "bench", "Measure prefill and decode speed of a model"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Sizes, threads and repetitions as lists; a size of 0 leaves its half out."""
        describe(parser, f"{self.help}.  MODEL is a stored model, or a file that a loader reads.")
        parser.add_argument("model", metavar="MODEL", help="name of a model, or path of a GGUF file")
        parser.add_argument("-p", "--prompt", type=counts, default=(128, 512), metavar="N,N", help="prefill sizes")
        parser.add_argument("-n", "--predict", type=counts, default=(64,), metavar="N,N", help="decode sizes")
        parser.add_argument(
            "-t", "--threads", type=counts, default=(0,), metavar="N,N", help="thread counts; 0: default"
        )
        parser.add_argument("-r", "--repetitions", type=int, default=3, metavar="N", help="samples of each test")
        parser.add_argument("--against", choices=("llamacpp",), help="the same beside it, turn by turn, with ratios")
        switch(parser, "--json", help="print JSON instead of a table")

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """Open the model once for each number of threads, then run the tests in turn.  Raises CorralError."""
        from corral_cli.busy import Busy
        from corral_cli.logs import start_log

        tests = [
            Test(kind=kind, size=n) for kind, sizes in (("pp", args.prompt), ("tg", args.predict)) for n in sizes if n
        ]
        if not tests or args.repetitions < 1:
            raise CorralError("nothing to measure: give -p or -n a size above 0, and -r at least 1")
        if args.against:
            _require_peer()
        busy = Busy()
        start_log(kernel, quiet=busy)
        async with kernel.live():
            weights = await asyncio.to_thread(_open, kernel, args.model)
            try:
                machine = await _machine(kernel)
                rows = [
                    row
                    for n_threads in args.threads
                    for row in await self._measure(
                        kernel, weights, tests, n_threads or machine.get("threads", 1), args, busy
                    )
                ]
                about = {**machine, "model": args.model, "file": weights.path.name, **_about(weights)}
            finally:
                weights.close()
        print(as_json(about, rows, args.against) if args.json else as_text(about, rows, args.against), end="")
        return 0

    async def _measure(
        self,
        kernel: "Kernel",
        weights: "Weights",
        tests: Sequence[Test],
        n_threads: int,
        args: argparse.Namespace,
        busy: "Busy",
    ) -> list[Row]:
        from corral_cli.answers import waiting

        num_ctx = max(test.size for test in tests) + _DECODE_PROMPT + 1
        engine = next((engine for engine in kernel.engines.values() if engine.fits(weights.info)), None)
        if engine is None:
            raise Unsupported(f"no engine here runs architecture {weights.info.architecture!r}")
        settings = kernel.config.kernel
        wanted = RunnerSettings(
            n_threads=n_threads,
            kv_tokens=num_ctx,
            kv_type_k=settings.kv_cache_type,
            kv_type_v=settings.kv_cache_type_v or settings.kv_cache_type,
        )
        with waiting(busy):
            runner = await engine.open(weights, wanted)
        peer = None
        try:
            if args.against:
                peer = await asyncio.to_thread(_open_peer, weights.path, n_threads, num_ctx)
            return [await self._row(runner, weights, test, n_threads, args.repetitions, peer) for test in tests]
        finally:
            await runner.close()
            if peer is not None:
                peer.close()

    async def _row(
        self, runner: "Runner", weights: "Weights", test: Test, n_threads: int, n: int, peer: "LlamaCpp | None"
    ) -> Row:
        """One warm-up, then `n` samples; with a peer in turns, so that the machine's moods hit both."""
        n_tokens = len(weights.vocab().tokens)
        ours, theirs = [], []
        for i in range(n + 1):
            token_ids = prompt(test, n_tokens, i)
            n_predict = test.size if test.kind == "tg" else 1
            rates = await timed(runner, token_ids, n_predict)
            ours.append(rates[test.kind == "tg"])
            if peer is not None:
                theirs.append((await asyncio.to_thread(peer.measure, token_ids, n_predict))[test.kind == "tg"])
        return Row(test=test.name, threads=n_threads, samples=tuple(ours[1:]), against=tuple(theirs[1:]))


def prompt(test: Test, n_tokens: int, number: int) -> tuple[int, ...]:
    """Tokens of a prompt, another one for each repetition, so that nothing is answered from a cache."""
    draw = random.Random(_SEED + number)
    return tuple(draw.randrange(n_tokens) for _ in range(test.size if test.kind == "pp" else _DECODE_PROMPT))


async def timed(runner: "Runner", token_ids: tuple[int, ...], n_predict: int) -> tuple[float, float]:
    """(prefill, decode) in tokens a second; decode is timed from the first token on, without guessing ahead."""
    job = Job(
        token_ids=token_ids,
        max_tokens=n_predict,
        num_ctx=len(token_ids) + n_predict + 1,
        options=Options(temperature=0, draft_num_predict=0, ignore_eos=True),
    )
    began = time.perf_counter()
    times: list[float] = []
    async with aclosing(runner.submit(job)) as events:
        async for event in events:
            if isinstance(event, TokensEvent):
                times += [time.perf_counter()] * len(event.token_ids)
    decode = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
    return len(token_ids) / (times[0] - began), decode


def _open(kernel: "Kernel", name: str) -> "Weights":
    """The weights of a stored model, or of a file when there is one of that name.  Raises CorralError."""
    path = Path(name).expanduser()
    if not path.is_file():
        try:
            return kernel.open(kernel.find(name))
        except BadRequest as err:
            raise CorralError(f"{name} is neither a file nor the name of a model") from err
    with path.open("rb") as file:
        head = file.read(64)
    for loader in kernel.loaders.values():
        if loader.sniff(head):
            return loader.open(path)
    raise FormatError(f"{name}: no loader here reads it")


def _require_peer() -> None:
    from importlib.util import find_spec

    if find_spec("xllamacpp") is None:
        raise CorralError(
            "--against llamacpp needs the package xllamacpp, which is not installed: pip install xllamacpp"
        )


def _open_peer(path: Path, n_threads: int, num_ctx: int) -> "LlamaCpp":
    from corral_cli.bench_peer import LlamaCpp

    return LlamaCpp(path, n_threads, num_ctx)


async def _machine(kernel: "Kernel") -> JSONObject:
    """What the engine's check knows about processor, kernels and threads."""
    from corral_cli.doctor import examine

    known: JSONObject = {}
    for name, finding in await examine(kernel, only="engine"):
        known |= finding.values if name == "engine" else {}
    return {key: known[key] for key in ("cpu", "variant", "threads") if key in known}


def _about(weights: "Weights") -> JSONObject:
    info = weights.info
    return {
        "architecture": info.architecture,
        "parameters": info.parameter_count,
        "quantization": info.quantization,
        "size_bytes": sum(tensor.size_bytes for tensor in info.tensors),
    }


def as_json(about: JSONObject, rows: Sequence[Row], against: str | None) -> str:
    """Everything, samples included."""
    import msgspec

    from corral import __version__

    results = [
        {**msgspec.structs.asdict(row), **({"ratio": round(row.ratio, 3)} if row.against else {})} for row in rows
    ]
    whole = {"version": __version__, **about, "against": against, "unit": "tokens/s", "results": results}
    return msgspec.json.format(msgspec.json.encode(whole)).decode() + "\n"


def as_text(about: JSONObject, rows: Sequence[Row], against: str | None) -> str:
    """A heading and a table."""
    from corral_cli.formatting import byte_size, count
    from corral_cli.tables import table

    kernels = f"{about.get('cpu', sys.platform)}, kernels {about.get('variant', 'unknown')}"
    size = f"{count(about['parameters'])} {about['quantization']}, {byte_size(about['size_bytes'])}"
    header = ("TEST", "THREADS", "CORRAL TOK/S", "LLAMA.CPP TOK/S", "RATIO")[: 5 if against else 3]
    body = table(header, [row.shown() for row in rows])
    return f"{kernels}\n{about['model']}: {about['architecture']} {size}\n\n{body}"
