"""Thinking that takes too long is ended, at any tags, whole characters and all."""

from collections.abc import Callable, Sequence

import pytest

from conftest import Bench, MakeBench
from corral import Constraint, Job, Options, RunnerSettings, Unsupported, Vocab, Weights
from corral.testing.engine_contract import collect, tokens_of
from corral_engine.engine import CorralEngine, Parts
from corral_engine.plugin import EngineConfig
from corral_engine.thinking import ThinkingLimit
from corral_engine.vocabulary import Vocabulary
from corral_gguf.loader import GgufLoader
from corral_tokenizers.kinds import kinds

GREEDY = Options(temperature=0.0)
TAGS = ("</think>", "<|channel|>", "<|message|>", "<|end|>", "<|start|>")
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *TAGS]
TAGGED = Vocabulary(
    Vocab(
        model="llama",
        tokens=TOKENS,
        scores=[0.0] * len(TOKENS),
        token_types=[2, 3, 3, *[6] * 256, *[3] * len(TAGS)],
        add_bos=False,
    ),
    kinds(llama_cpp_patterns=False),
)
PLAIN = ("<think>", "</think>", "\n</think>\n\n")
INSIDE = ("", *PLAIN[1:])
HARMONY = ("<|channel|>analysis<|message|>", "<|end|>", "<|end|><|start|>assistant<|channel|>final<|message|>")


def follow(span: tuple[str, str, str], most: int, text: str) -> tuple[str, int]:
    """What is written when a model would write `text`, a byte or a tag a token, and how many tokens are forced."""
    limit, written, n_forced = ThinkingLimit((*span, most), TAGGED), "", 0
    wanted = TAGGED.encode_tags(text)
    tokens: list[int] = []
    while wanted or limit.forced_tokens():
        forced = limit.forced_tokens()
        token = forced[0] if forced else wanted.pop(0)
        n_forced += bool(forced)
        limit.accept(token)
        tokens.append(token)
    written = b"".join(map(TAGGED.spelling, tokens)).decode()
    return written, n_forced


@pytest.mark.parametrize(
    ("span", "most", "text", "written"),
    [
        (PLAIN, 3, "<think>abcdef", "<think>abc\n</think>\n\ndef"),
        (PLAIN, 0, "<think>abcdef", "<think>\n</think>\n\nabcdef"),
        (PLAIN, 3, " \n<think>abcdef", " \n<think>abc\n</think>\n\ndef"),
        (PLAIN, 3, "<think>ab</think>cdefgh", "<think>ab</think>cdefgh"),
        (PLAIN, 3, "no <think>abcdef", "no <think>abcdef"),
        (PLAIN, 3, "<think>a</think><think>abcdef", "<think>a</think><think>abcdef"),
        (PLAIN, 3, "abcdef", "abcdef"),
        (INSIDE, 3, "abcdef", "abc\n</think>\n\ndef"),
        (INSIDE, 0, "abc", "\n</think>\n\nabc"),
        (INSIDE, 3, "ab\ncd", "ab\n</think>\n\ncd"),
        (INSIDE, 3, "aä👍b", "aä\n</think>\n\n👍b"),
        (INSIDE, 2, "aä👍b", "aä\n</think>\n\n👍b"),
        (INSIDE, 4, "aä👍b", "aä👍\n</think>\n\nb"),
        (HARMONY, 2, "<|channel|>analysis<|message|>abc", f"<|channel|>analysis<|message|>ab{HARMONY[2]}c"),
        (
            HARMONY,
            3,
            "<|channel|>analysis<|message|>ab<|end|><|start|>assistant<|channel|>analysis<|message|>cdef",
            f"<|channel|>analysis<|message|>ab<|end|><|start|>assistant<|channel|>analysis<|message|>{HARMONY[2]}cdef",
        ),
        (HARMONY, 2, "<|channel|>final<|message|>abc", "<|channel|>final<|message|>abc"),
        (("", *HARMONY[1:]), 1, "abc", f"a{HARMONY[2]}bc"),
    ],
)
def test_where_thinking_is_ended(span: tuple[str, str, str], most: int, text: str, written: str) -> None:
    assert follow(span, most, text)[0] == written


def test_a_tag_that_is_a_token_is_forced_as_that_token() -> None:
    assert follow(INSIDE, 1, "ab")[1] == len("\n") + 1 + len("\n\n")


def test_a_tag_that_the_model_has_begun_is_not_written_twice() -> None:
    limit = ThinkingLimit(("", "[end]", "\n[end]\n", 4), TAGGED)
    for token in TAGGED.encode_tags("ab[e"):
        limit.accept(token)
    assert b"".join(map(TAGGED.spelling, limit.forced_tokens())) == b"nd]\n"


def with_tokenizer(bench: Bench) -> Bench:
    bench.model.vocabulary = Vocabulary(bench.model.vocabulary.vocab, kinds(llama_cpp_patterns=False))
    return bench


def ids(text: str) -> list[int]:
    return [byte + 3 for byte in text.encode()]


def test_without_a_tokenizer_it_is_unsupported(bench: MakeBench) -> None:
    with pytest.raises(Unsupported, match="a limit of thinking needs a tokenizer"):
        bench().submit(Job(token_ids=(3,), thinking_limit=(*INSIDE, 5)))


WRITES = Options(temperature=0.0, logit_bias={68: 100.0})  # "A" for ever


class Letters:
    """A constraint for 20 letters "B"."""

    kinds = frozenset({"letters"})
    may_end = False

    def __init__(self) -> None:
        self.n = 0

    def compile(self, constraint: Constraint, vocabulary: object) -> "Letters":
        return Letters()

    def allows(self, token_id: int) -> bool:
        return token_id == 69

    def count_valid(self, token_ids: Sequence[int]) -> int:
        return next((n for n, token in enumerate(token_ids) if token != 69), len(token_ids))

    def mask(self, logits: object) -> None:
        kept = logits[69]  # type: ignore[index]
        logits[:] = -float("inf")  # type: ignore[index]
        logits[69] = kept  # type: ignore[index]

    def accept(self, token_id: int) -> None:
        assert token_id == 69
        self.n += 1

    def forced_tokens(self) -> Sequence[int]:
        return ()

    @property
    def is_finished(self) -> bool:
        return self.n == 20


@pytest.mark.parametrize("speculation", [0, 8])
def test_the_answer_goes_on_after_the_limit(bench: MakeBench, speculation: int) -> None:
    made = with_tokenizer(bench(speculation=speculation))
    job = Job(
        token_ids=tuple(ids("AAAAAAAA")), options=WRITES, max_tokens=40, thinking_limit=(*INSIDE, 7), n_logprobs=0
    )
    (outbox,) = made.run(job)
    wanted = ids("AAAAAAA\n</think>\n\n")
    assert outbox.tokens == wanted + ids("A") * (40 - len(wanted))
    assert (outbox.end.reason, outbox.end.eval_tokens) == ("length", 40)


@pytest.mark.parametrize("speculation", [0, 8])
def test_the_constraint_begins_behind_it(bench: MakeBench, speculation: int) -> None:
    made = with_tokenizer(bench(speculation=speculation))
    made.model.compilers = (Letters(),)
    job = Job(
        token_ids=tuple(ids("AAAAAAAA")),
        options=WRITES,
        constraint=Constraint(kind="letters"),
        constraint_after="</think>",
        must_answer=True,
        thinking_limit=(*INSIDE, 7),
        max_tokens=100,
    )
    (outbox,) = made.run(job)
    assert outbox.tokens == ids("AAAAAAA\n</think>\n\n" + "B" * 20)
    assert outbox.end.reason == "stop"


def test_a_limit_of_tokens_may_come_first(bench: MakeBench) -> None:
    made = with_tokenizer(bench())
    (outbox,) = made.run(Job(token_ids=(3, 4), options=WRITES, max_tokens=9, thinking_limit=(*INSIDE, 5)))
    assert outbox.tokens == ids("AAAAA\n</t"[:9])
    assert outbox.end.reason == "length"


async def test_another_process_ends_thinking_too(write: Callable[..., Weights]) -> None:
    parts = Parts(loaders=(GgufLoader(),), tokenizers=tuple(kinds(llama_cpp_patterns=False)))
    engine = CorralEngine(EngineConfig(kernels="numpy"), lambda: parts)
    runner = await engine.open(write("llama"), RunnerSettings(isolation="process", kv_tokens=512))
    job = Job(token_ids=(3, 4), options=WRITES, max_tokens=30, thinking_limit=(*INSIDE, 5))
    assert [*tokens_of(await collect(runner, job))] == ids("AAAAA\n</think>\n\n" + "A" * 14)
    await runner.close()
