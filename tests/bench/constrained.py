"""Speed under a constraint: python tests/bench/constrained.py MODEL.gguf [--write]

Tokens per second of one stream and of eight, without a constraint and under several, alternating, and what one step of
the grammar costs.  Where an answer ends another begins, until as many tokens are written in every case, and nothing is
guessed ahead: how often guesses hold depends on the text, not on the constraint.  Speeds are the best of several
rounds, ratios the median over the rounds of one case's speed to the unconstrained one's in the same round: other work
on the machine comes and goes.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from corral import Constraint, Conversation, DoneEvent, Job, Options, RunnerSettings, TokensEvent, Tool
from corral_engine.engine import CorralEngine, Parts
from corral_engine.model import Model
from corral_engine.plugin import EngineConfig
from corral_engine.scheduler import Scheduler, SchedulerSettings
from corral_gguf.loader import GgufLoader
from corral_grammar.compiler import GrammarCompiler
from corral_grammar.plugin import GrammarConfig
from corral_templates.output.choice import Style
from corral_templates.output.forcing import constrain
from corral_tokenizers.kinds import kinds

QUESTION = (
    "<|im_start|>user\nDescribe ten people as JSON: name, age, email, hobbies.<|im_end|>\n<|im_start|>assistant\n"
)
PERSON = {
    "type": "object",
    "properties": {
        "first_name": {"type": "string"},
        "last_name": {"type": "string"},
        "age_in_years": {"type": "integer", "minimum": 0, "maximum": 120},
        "email_address": {"type": "string", "format": "email"},
        "hobbies": {"type": "array", "items": {"type": "string", "maxLength": 30}, "maxItems": 5},
        "address": {
            "type": "object",
            "properties": {"street_and_number": {"type": "string"}, "city": {"type": "string"}},
            "required": ["street_and_number", "city"],
        },
    },
    "required": ["first_name", "last_name", "age_in_years", "email_address", "hobbies", "address"],
}
PEOPLE = {"type": "array", "items": PERSON, "minItems": 10, "maxItems": 10}
CASES: dict[str, Constraint | None] = {
    "no constraint": None,
    "json": Constraint(kind="json"),
    "JSON schema": Constraint(kind="json_schema", source=json.dumps(PEOPLE)),
    "regex": Constraint(kind="regex", source=r"(- [A-Z][^\n]{20,80}\n){30}"),
    "gbnf": Constraint(kind="gbnf", source='root ::= item+\nitem ::= "- " [^\\n]+ "\\n" nest?\nnest ::= "  " item'),
}
ASKED = Conversation(tools=(Tool(name="tell_person", parameters=PERSON), Tool(name="get_time")))
CASES["tools, no call"] = constrain(Style("", None, "<tool_call>", ()), ASKED, None, "auto")
N_TOKENS = 120
RUNS = 7
RESULTS = Path(__file__).parent / "results" / "constrained.md"


class Counter:
    """An outbox that counts tokens."""

    is_full = False

    def __init__(self) -> None:
        self.n_tokens = 0
        self.has_ended = False

    def put(self, item: Any) -> None:
        self.n_tokens += len(item.token_ids) if isinstance(item, TokensEvent) else 0
        self.has_ended |= isinstance(item, DoneEvent)


def run(model: Model, job: Job, n_streams: int) -> float:
    """Tokens per second, without the first prompts and the compilation.  Where a stream ends another begins."""
    scheduler = Scheduler(model.executor, model.pool, SchedulerSettings(n_parallel=n_streams), model.embedder)
    seeds = count()

    def begin() -> Counter:
        counter = Counter()
        scheduler.submit(model.sequence(replace(job, options=replace(job.options, seed=next(seeds))), counter))
        return counter

    running = [begin() for _ in range(n_streams)]
    while not all(counter.n_tokens for counter in running):
        scheduler.step()
    n_ended, before, began = 0, sum(counter.n_tokens for counter in running), time.perf_counter()
    while (n_tokens := n_ended + sum(counter.n_tokens for counter in running) - before) < n_streams * N_TOKENS:
        scheduler.step()
        n_ended += sum(counter.n_tokens for counter in running if counter.has_ended)
        running = [begin() if counter.has_ended else counter for counter in running]
    seconds = time.perf_counter() - began
    scheduler.end_all("shutdown")
    return n_tokens / seconds


def grammar_costs(model: Model, constraint: Constraint, text: str) -> tuple[float, float, float, float]:
    """Milliseconds to compile, then microseconds to check a token, to make a mask, to force and accept."""
    compiler = GrammarCompiler(GrammarConfig())
    compiler.compile(Constraint(kind="regex", source="a"), model.vocabulary)
    began = time.perf_counter()
    state = compiler.compile(constraint, model.vocabulary)
    compile_ms = 1e3 * (time.perf_counter() - began)
    logits = np.zeros(len(model.vocabulary.token_bytes), np.float32)
    checks, masks, steps = [], [], []

    def timed(times: list[float], work: Callable[[], Any]) -> None:
        began = time.perf_counter()
        work()
        times.append(1e6 * (time.perf_counter() - began))

    for token in model.vocabulary.encode(text):
        timed(checks, lambda token=token: state.allows(token))  # type: ignore[misc]
        timed(masks, lambda: state.mask(logits.copy()))
        timed(steps, lambda token=token: (state.forced_tokens(), state.accept(token)))  # type: ignore[misc]
    return compile_ms, statistics.median(checks), statistics.median(masks), statistics.median(steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    args = parser.parse_args()
    tokenizers = tuple(kinds(llama_cpp_patterns=False))
    parts = Parts(compilers=(GrammarCompiler(GrammarConfig()),), tokenizers=tokenizers)
    weights = GgufLoader().open(args.model)
    tokenizer = next(kind for kind in tokenizers if kind.name == weights.vocab().model).build(weights.vocab())
    model = CorralEngine(EngineConfig(), lambda: parts).load(weights, RunnerSettings(kv_tokens=8192))
    prompt = tuple(tokenizer.encode(QUESTION))
    job = Job(token_ids=prompt, options=Options(temperature=0.8, draft_num_predict=0), max_tokens=N_TOKENS)
    lines = ["| constraint | 1 stream, tokens/s | of unconstrained | 8 streams, tokens/s | of unconstrained |"]
    lines.append("|---|---|---|---|---|")
    speeds: dict[tuple[str, int], list[float]] = {}
    for n_streams in (1, 8):
        for _ in range(RUNS):
            for name, constraint in CASES.items():
                speed = run(model, replace(job, constraint=constraint), n_streams)
                speeds.setdefault((name, n_streams), []).append(speed)
    for name in CASES:
        cells = []
        for n_streams in (1, 8):
            mine, free = speeds[name, n_streams], speeds["no constraint", n_streams]
            ratio = statistics.median(one / other for one, other in zip(mine, free, strict=True))
            cells.append(f"{max(mine):.0f} | {ratio:.2f}×")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    text = json.dumps([{"first_name": "Ann", "last_name": "Lee", "age_in_years": 42, "email_address": "ann@lee.org"}])
    costs = grammar_costs(model, CASES["JSON schema"] or Constraint(kind="json"), text[:-2] + ', "hobbies": ["chess"')
    lines += ["", "JSON schema: {:.0f} ms to compile; {:.0f} µs to check a token, {:.0f} µs for a mask, {:.0f} µs to "
              "look for forced text and go on (medians).".format(*costs)]  # fmt: skip
    print("\n".join(lines))
    if args.write:
        RESULTS.parent.mkdir(exist_ok=True)
        head = f"# Speed under a constraint\n\n{args.model.name}, {N_TOKENS} tokens, {RUNS} rounds.\n\n"
        RESULTS.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
