"""The real model under constraints: whatever schema it is given, what it writes matches."""

import datetime
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from msgspec.structs import replace

from corral import Constraint, CorralError, DoneEvent, Event, Job, Options, RunnerSettings, TokensEvent
from corral_engine.engine import CorralEngine, Parts
from corral_engine.model import Model
from corral_engine.plugin import EngineConfig
from corral_engine.scheduler import Scheduler, SchedulerSettings
from corral_engine.sequence import Sequence
from corral_gguf.loader import GgufLoader
from corral_grammar.compiler import GrammarCompiler
from corral_grammar.plugin import GrammarConfig
from corral_tokenizers.kinds import kinds

STREAMS = 8
QUESTION = "<|im_start|>user\nDescribe a person in JSON.<|im_end|>\n<|im_start|>assistant\n"
GREEDY = Options(temperature=0.0)
PERSON = {
    "type": "object",
    "properties": {
        "first_name": {"type": "string", "maxLength": 12},
        "age_in_years": {"type": "integer", "minimum": 0, "maximum": 120},
        "favourite_colour": {"enum": ["red", "green", "blue"]},
    },
    "required": ["first_name", "age_in_years", "favourite_colour"],
}


class Answers:
    """An outbox that keeps everything."""

    is_full = False

    def __init__(self) -> None:
        self.items: list[Event | CorralError] = []

    def put(self, item: Event | CorralError) -> None:
        self.items.append(item)

    @property
    def tokens(self) -> list[int]:
        return [token for item in self.items if isinstance(item, TokensEvent) for token in item.token_ids]

    @property
    def end(self) -> DoneEvent:
        assert isinstance(self.items[-1], DoneEvent), self.items[-1]
        return self.items[-1]


class Writer:
    """The model without a thread; all constraints of a call are generated in one batch."""

    def __init__(self, model: Model) -> None:
        self.model, self.n_steps = model, 0
        self.job = Job(token_ids=tuple(model.vocabulary.encode("")), eog_ids=tuple(model.vocabulary.eog_ids))

    def write(self, *constraints: Constraint | None, options: Options = GREEDY, **fields: Any) -> list[Answers]:
        tokenizer = next(kind for kind in TOKENIZERS if kind.name == "gpt2").build(self.model.vocabulary.vocab)
        job = replace(self.job, token_ids=tuple(tokenizer.encode(QUESTION)), options=options, max_tokens=400)
        scheduler = Scheduler(
            self.model.executor, self.model.pool, SchedulerSettings(n_parallel=STREAMS), self.model.embedder
        )
        answers = [Answers() for _ in constraints]
        for constraint, answer in zip(constraints, answers, strict=True):
            scheduler.submit(self.model.sequence(replace(job, constraint=constraint, **fields), answer))
        self.n_steps = 0
        while scheduler.step():
            self.n_steps += 1
        return answers

    def text(self, answer: Answers) -> str:
        return b"".join(self.model.vocabulary.token_bytes[token] for token in answer.tokens).decode()


TOKENIZERS = tuple(kinds(llama_cpp_patterns=False))


def open_model(path: Path, *, canonical: bool = True) -> Model:
    parts = Parts(
        compilers=(GrammarCompiler(GrammarConfig()),),
        tokenizers=TOKENIZERS if canonical else (),
    )
    return CorralEngine(EngineConfig(), lambda: parts).load(GgufLoader().open(path), RunnerSettings(kv_tokens=8192))


@pytest.fixture(scope="module")
def writer(smollm2_path: Path) -> Iterator[Writer]:
    model = open_model(smollm2_path)
    yield Writer(model)
    model.close()


NAMES = st.sampled_from(["name", "age", "städte", "is_ok", "a b", 'quo"te', "list", "😀", "city"])
SMALL = st.integers(0, 3)


def _limits(low: str, high: str) -> st.SearchStrategy[dict[str, int]]:
    return st.tuples(SMALL, SMALL).map(lambda pair: {low: min(pair), high: max(pair)})


def _numbers(low: int, high: int) -> dict[str, int]:
    return {"minimum": min(low, high), "maximum": max(low, high)}


LEAVES = st.one_of(
    st.builds(lambda limits: {"type": "string", **limits}, _limits("minLength", "maxLength")),
    st.sampled_from(["^[a-z]{1,8}$", "^\\d{3}-\\d{4}$", "^(yes|no|[é-ü]{2})$", "\\.$"]).map(
        lambda pattern: {"type": "string", "pattern": pattern, "maxLength": 20}
    ),
    st.sampled_from(["date", "time", "date-time", "ipv4", "uuid"]).map(lambda name: {"type": "string", "format": name}),
    st.builds(
        lambda low, high: {"type": "integer", **_numbers(low, high)}, st.integers(-999, 999), st.integers(-999, 999)
    ),
    st.builds(
        lambda low, high: {"type": "number", "multipleOf": 0.25, **_numbers(low, high)},
        st.integers(-99, 99),
        st.integers(-99, 99),
    ),
    st.just({"type": "integer"}),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": "fixed value"}, {"const": [1, {"a": None}]}]),
    st.lists(st.sampled_from(["red", "green", 7, None, True, "größe", 'a"b']), min_size=1, max_size=4).map(
        lambda values: {"enum": values, "description": "one of several"}
    ),
)


def _object(properties: dict[str, Any], n_required: int, *, closed: bool) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": [*properties][:n_required]}
    return {**schema, "additionalProperties": False} if closed else schema


def _nest(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(_object, st.dictionaries(NAMES, inner, max_size=3), SMALL, closed=st.booleans()),
        st.builds(
            lambda items, limits: {"type": "array", "items": items, **limits}, inner, _limits("minItems", "maxItems")
        ),
        st.lists(inner, min_size=1, max_size=2).map(
            lambda items: {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        inner.map(lambda schema: {"$ref": "#/$defs/it", "$defs": {"it": schema}} if "$defs" not in schema else schema),
    )


FORMATS = jsonschema.FormatChecker(["date", "ipv4", "uuid"])
FORMATS.checks("time", ValueError)(lambda text: bool(datetime.time.fromisoformat(text)))
FORMATS.checks("date-time", ValueError)(lambda text: bool(datetime.datetime.fromisoformat(text)))

# A reference is written for a schema at the root, so it is laid over the whole at the end only.
SCHEMAS = st.recursive(LEAVES, lambda inner: _nest(inner.filter(lambda schema: "$ref" not in schema)), max_leaves=5)


@settings(
    max_examples=200 // STREAMS,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a failure is shown as it came: to make it smaller takes the model minutes
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(st.lists(SCHEMAS, min_size=STREAMS, max_size=STREAMS))
def test_two_hundred_random_schemas(writer: Writer, schemas: list[Any]) -> None:
    constraints = [Constraint(kind="json_schema", source=json.dumps(schema)) for schema in schemas]
    for schema, answer in zip(schemas, writer.write(*constraints, options=Options(seed=7)), strict=True):
        text = writer.text(answer)
        assert answer.end.reason == "stop", (schema, text)
        jsonschema.Draft202012Validator(schema, format_checker=FORMATS).validate(json.loads(text))


TWO = {"type": "array", "items": PERSON, "minItems": 2, "maxItems": 2}
PEOPLE = Constraint(kind="json_schema", source=json.dumps(TWO))


@pytest.mark.parametrize("options", [GREEDY, Options(seed=3)], ids=["greedy", "sampled"])
def test_forced_text_saves_steps_and_changes_nothing(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, options: Options
) -> None:
    (together,) = writer.write(PEOPLE, options=options)
    n_together = writer.n_steps
    monkeypatch.setattr(Sequence, "drafts", lambda self, price=0.0: ())
    (one_by_one,) = writer.write(PEOPLE, options=options)
    assert together.tokens == one_by_one.tokens
    assert n_together < writer.n_steps - 10
    jsonschema.validate(json.loads(writer.text(together)), TWO)


def test_forced_text_is_written_as_the_tokenizer_would(writer: Writer) -> None:
    words = Constraint(kind="choice", source='["The quick brown fox jumps over the lazy dog."]')
    (answer,) = writer.write(words)
    assert answer.tokens == list(writer.model.vocabulary.encode("The quick brown fox jumps over the lazy dog."))
    assert answer.end.reason == "stop"
    assert answer.end.drafted_tokens == 0
    assert writer.n_steps <= 4


def test_neighbours_without_a_constraint_write_what_they_would_alone(writer: Writer) -> None:
    alone = writer.write(None, max_tokens=30)[0].tokens
    free, bound, other = writer.write(None, PEOPLE, Constraint(kind="choice", source='["yes"]'), max_tokens=30)
    assert free.tokens == alone
    assert (bound.end.reason, len(bound.tokens)) == ("length", 30)
    assert (other.end.reason, writer.text(other)) == ("stop", "yes")


def test_log_probabilities_of_forced_tokens_are_told(writer: Writer) -> None:
    (answer,) = writer.write(Constraint(kind="choice", source='["The quick brown fox"]'), n_logprobs=1)
    scored = [one for item in answer.items if isinstance(item, TokensEvent) for one in item.logprobs]
    assert [one.token_id for one in scored] == answer.tokens
    assert all(one.logprob <= 0 for one in scored)


def test_thinking_is_free_and_the_answer_is_not(writer: Writer) -> None:
    thinking = {"constraint_after": "person", "must_answer": True}
    (answer,) = writer.write(Constraint(kind="choice", source='["yes", "no"]'), max_tokens=120, **thinking)
    text = writer.text(answer)
    if answer.end.reason == "stop":
        assert text.split("person", 1)[1].strip() in ("yes", "no")
    else:
        assert "person" not in text


def test_parts_can_go_to_another_process() -> None:
    parts = Parts(compilers=(GrammarCompiler(GrammarConfig()),), tokenizers=TOKENIZERS)
    assert [kind.name for kind in pickle.loads(pickle.dumps(parts)).tokenizers] == [kind.name for kind in TOKENIZERS]
