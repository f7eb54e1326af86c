"""A smaller model guesses for a larger one: the same text in fewer steps, whatever the smaller one says."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tiny_models
from numpy.typing import NDArray

from conftest import Bench
from corral import FormatError, Job, Options, RunnerSettings, Unsupported, Vocab, Weights
from corral_engine.draft import check_vocabulary
from corral_engine.engine import CorralEngine, Parts
from corral_engine.model import Model
from corral_engine.plugin import EngineConfig
from corral_engine.program import Batch
from corral_engine.speculation import Price, Quote
from corral_gguf.loader import GgufLoader

Write = Callable[..., Weights]
Open = Callable[..., Bench]
PROMPT = tuple(range(11, 71))


@pytest.fixture
def drafted(write: Write) -> Iterator[Open]:
    """`drafted("mistral")`: a scheduler over the tiny llama, for which that tiny model guesses; "": nobody does."""
    opened: list[Model] = []

    def make(
        draft: str, *, kernels: str = "numpy", n_parallel: int = 4, kv_tokens: int = 1024, token_s: float = 1e9
    ) -> Bench:
        config = EngineConfig(kernels=kernels, speculation=0)  # type: ignore[arg-type]
        engine = CorralEngine(config, lambda: Parts(loaders=(GgufLoader(),)))
        path = str((write(draft) if isinstance(draft, str) else draft).path) if draft else ""
        kv = {"kv_type_k": "f32", "kv_type_v": "f32"}
        settings = RunnerSettings(n_parallel=n_parallel, kv_tokens=kv_tokens, draft=path, **kv)  # type: ignore[arg-type]
        opened.append(engine.load(write("llama"), settings))
        bench = Bench(opened[-1], n_parallel=n_parallel)
        bench.scheduler._price.of = lambda n_sequences: Quote(0.0, token_s)  # type: ignore[method-assign]
        return bench

    yield make
    for model in opened:
        model.close()


def job(options: Options, *, token_ids: tuple[int, ...] = PROMPT, n: int = 40, num_ctx: int = 256) -> Job:
    return Job(token_ids=token_ids, options=options, max_tokens=n, num_ctx=num_ctx)


GREEDY = Options(temperature=0.0)
SAMPLED = Options(seed=5, temperature=0.9)


def counted(bench: Bench) -> list[int]:
    """The rows of every step of the larger model."""
    run, steps = bench.model.executor.run, []

    def counting(batch: Batch, *, hidden: bool = False) -> NDArray[np.float32]:
        steps.append(len(batch.token_ids))
        return run(batch, hidden=hidden)

    bench.scheduler.executor.run = counting  # type: ignore[method-assign]
    return steps


@pytest.mark.parametrize("options", [GREEDY, SAMPLED, Options(seed=6, mirostat=2)])
@pytest.mark.parametrize("draft", ["llama", "mistral"])
def test_the_text_is_the_same(drafted: Open, draft: str, options: Options) -> None:
    (plain,) = drafted("").run(job(options))
    (guessed,) = drafted(draft).run(job(options))
    assert guessed.tokens == plain.tokens
    assert guessed.end.drafted_tokens > 0


@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_right_guesses_save_steps(drafted: Open, kernels: str) -> None:
    made = drafted("llama", kernels=kernels)
    steps = counted(made)
    (outbox,) = made.run(job(GREEDY))
    assert len(outbox.tokens) == 40
    assert len(steps) < 20
    assert outbox.end.accepted_tokens >= 0.9 * outbox.end.drafted_tokens
    draft = made.model.draft
    assert draft is not None
    assert draft.pool.n_available() == draft.pool.n_pages, "every page is given back"


def test_sequences_beside_each_other_have_their_own_guesses(drafted: Open) -> None:
    jobs = [job(options, token_ids=PROMPT[i:]) for i, options in enumerate((GREEDY, SAMPLED, GREEDY))]
    alone = [drafted("").run(each)[0].tokens for each in jobs]
    together = drafted("llama").run(*jobs)
    assert [outbox.tokens for outbox in together] == alone


def test_a_full_context_and_short_memory_change_nothing(drafted: Open) -> None:
    long = job(GREEDY, n=150, num_ctx=96)
    (plain,) = drafted("").run(long)
    (guessed,) = drafted("llama").run(long)
    assert guessed.tokens == plain.tokens, "the context was shifted on the way"
    jobs = [job(GREEDY, token_ids=PROMPT[i:], n=60, num_ctx=128) for i in range(3)]
    alone = [drafted("").run(each)[0].tokens for each in jobs]
    assert [outbox.tokens for outbox in drafted("llama", kv_tokens=192).run(*jobs)] == alone


def test_a_long_prompt_is_read_in_chunks_and_shared(drafted: Open) -> None:
    made = drafted("llama")
    assert made.model.draft is not None
    made.model.draft.chunk = 32
    long = job(GREEDY, token_ids=tuple(range(5, 105)), n=20)
    (first,) = made.run(long)
    (second,) = made.run(long)
    assert second.tokens == first.tokens == drafted("").run(long)[0].tokens
    assert second.end.drafted_tokens > first.end.drafted_tokens, "the second time nothing had to be read first"


def test_guesses_that_cost_more_than_they_save_end_soon(drafted: Open) -> None:
    (outbox,) = drafted("llama", token_s=1e-9).run(job(GREEDY))
    assert 0 < outbox.end.drafted_tokens < 8
    made = drafted("llama")
    made.scheduler._price.of = Price().of  # type: ignore[method-assign]
    (outbox,) = made.run(job(GREEDY, n=2))
    assert outbox.end.drafted_tokens == 0, "while nothing is known of the price nothing is guessed"


@pytest.mark.parametrize(("asked", "drafted_tokens"), [(0, 0), (1, 1)])
def test_the_request_says_how_far(drafted: Open, asked: int, drafted_tokens: int) -> None:
    options = Options(temperature=0.0, draft_num_predict=asked)
    made = drafted("llama")
    steps = counted(made)
    (outbox,) = made.run(job(options))
    assert max(steps[1:]) == 1 + drafted_tokens
    assert (outbox.end.drafted_tokens > 0) == bool(asked)


def test_another_vocabulary_is_refused(write: Write, drafted: Open) -> None:
    vocab = Vocab(model="gpt2", tokens=[f"t{i}" for i in range(300)], bos_id=1, eos_id=2)

    def refused(**changes: object) -> str:
        other = Vocab(**{**{f: getattr(vocab, f) for f in vocab.__struct_fields__}, **changes})  # type: ignore[arg-type]
        with pytest.raises(Unsupported) as err:
            check_vocabulary(vocab, other)
        return err.value.message

    check_vocabulary(vocab, Vocab(model="gpt2", tokens=[*vocab.tokens, "more"], bos_id=1, eos_id=2))
    assert refused(model="llama") == "it cannot draft for this model: its tokenizer is 'llama', the model's 'gpt2'"
    assert "begin and end" in refused(bos_id=3)
    assert "429 tokens, the model's 300" in refused(tokens=[f"t{i}" for i in range(429)])
    assert "token 7 is 'x', the model's 't7'" in refused(tokens=[*vocab.tokens[:7], "x", *vocab.tokens[8:]])
    with pytest.raises(Unsupported, match=r"bert-\d\.gguf: it cannot draft: its architecture is 'bert'"):
        drafted("bert")


def test_a_draft_that_is_not_there_is_named(write: Write) -> None:
    engine = CorralEngine(EngineConfig(kernels="numpy"))
    with pytest.raises(FormatError, match=r"gone\.gguf: No such file"):
        engine.load(write("llama"), RunnerSettings(kv_tokens=256, draft="/nowhere/gone.gguf"))


def test_a_token_that_the_smaller_model_does_not_know_is_not_shown_to_it(drafted: Open, write: Write) -> None:
    tensors = tiny_models.MODELS["llama"].tensors()
    n = len(tensors["token_embd.weight"]) - 20
    few = {name: (array[:n] if len(array) == n + 20 else array) for name, array in tensors.items()}
    small = write("llama", tensors=few, n_tokens=n)
    made = drafted(small)
    unknown = job(GREEDY, token_ids=(*PROMPT, n + 3, 7), n=20)
    known = job(GREEDY, n=20)
    outboxes = made.run(unknown, known)
    assert [outbox.tokens for outbox in outboxes] == [drafted("").run(each)[0].tokens for each in (unknown, known)]
    assert outboxes[0].end.drafted_tokens == 0


def test_without_memory_for_guesses_there_are_none(drafted: Open) -> None:
    made = drafted("llama")
    assert made.model.draft is not None

    def run(batch: Batch, *, hidden: bool = False) -> NDArray[np.float32]:
        raise MemoryError

    made.model.draft.executor.run = run  # type: ignore[method-assign]
    (outbox,) = made.run(job(GREEDY))
    assert (len(outbox.tokens), outbox.end.drafted_tokens) == (40, 0)


def test_who_leaves_while_waiting_leaves_no_pages(drafted: Open) -> None:
    made = drafted("llama", kv_tokens=192)
    draft = made.model.draft
    assert draft is not None
    sequences = [made.submit(job(GREEDY, token_ids=PROMPT[i:], n=60, num_ctx=128))[0] for i in range(3)]
    while not made.scheduler.waiting or not any(sequence.n_generated for sequence in made.scheduler.waiting):
        assert made.scheduler.step()
    for sequence in sequences:
        sequence.cancelled = True
    made.finish()
    assert made.is_clean
    assert draft.pool.n_available() == draft.pool.n_pages
