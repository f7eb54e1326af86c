"""States of compiled constraints, limits, the cache, and vocabularies of several kinds."""

import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byte_texts import EOG, LONGER, Bytes, accepts, write_at_random

from corral import BadRequest, Constraint, CorralError
from corral_grammar.cache import ByteCache
from corral_grammar.compiler import GrammarCompiler
from corral_grammar.plugin import GrammarConfig, Plugin
from corral_grammar.state import GrammarState

YES_NO = Constraint(kind="choice", source='["yes", "no"]')


def test_the_plugin_answers_the_engines_hook() -> None:
    """`corral_engine_constraints`."""
    (compiler,) = Plugin(GrammarConfig()).corral_engine_constraints()
    assert {"json", "json_schema", "choice", "regex", "gbnf", "lark"} <= compiler.kinds


def test_a_state_is_asked_masked_and_told(build: Callable[..., GrammarState], texts: Bytes) -> None:
    state = build("choice", '["yes", "no"]')
    logits = np.arange(310, dtype=np.float32)
    state.mask(logits)
    assert np.flatnonzero(np.isfinite(logits)).tolist() == [ord("n"), ord("y")]
    assert logits[ord("y")] == ord("y")
    assert state.allows(ord("y"))
    assert not state.allows(EOG)
    assert state.count_valid([ord("y"), ord("e"), ord("y")]) == 2
    for byte in b"yes":
        assert not state.is_finished
        state.accept(byte)
    assert state.is_finished
    assert state.allows(EOG)


def test_an_end_is_allowed_exactly_where_the_constraint_may_end(build: Callable[..., GrammarState]) -> None:
    state = build("regex", "a+b?")
    assert not state.allows(EOG)
    state.accept(ord("a"))
    assert state.allows(EOG)
    assert not state.is_finished
    logits = np.zeros(EOG + 1, np.float32)
    state.mask(logits)
    assert np.isfinite(logits[EOG])
    state.accept(ord("b"))
    assert state.is_finished


def test_a_token_that_does_not_fit_is_an_error(build: Callable[..., GrammarState]) -> None:
    with pytest.raises(CorralError, match="format"):
        build("choice", '["yes"]').accept(ord("n"))


def test_what_grows_too_complex_on_the_way_is_the_clients_mistake(build: Callable[..., GrammarState]) -> None:
    state = build("regex", "a(a|b)*")
    state._matcher.consume_token(ord("b"))  # from here on the library refuses everything, as past its limits
    with pytest.raises(BadRequest, match="too complex to follow"):
        state.forced_tokens()


def test_forced_text_is_written_as_the_tokenizer_would(build: Callable[..., GrammarState], texts: Bytes) -> None:
    state = build("regex", '\\{"name": (true|false)x')
    forced: list[int] = []
    while tokens := list(state.forced_tokens()):
        assert list(state.forced_tokens()) == tokens
        state.accept(tokens[0])
        forced.append(tokens[0])
        assert list(state.forced_tokens())[: len(tokens) - 1] == tokens[1:]
    assert [texts.token_bytes[token] for token in forced] == [b'{"', b"name", b'":', b" "]


def test_nothing_is_forced_without_the_models_tokenizer() -> None:
    state = GrammarCompiler(GrammarConfig()).compile(YES_NO, Bytes(encodes=False))
    state.accept(ord("y"))
    assert list(state.forced_tokens()) == []


def test_characters_may_lie_in_several_tokens(build: Callable[..., GrammarState], texts: Bytes) -> None:
    state = build("json_schema", '{"type": "string", "maxLength": 2}')
    half = texts.token_bytes.index(b"\xc3")
    for token in (ord('"'), 256 + LONGER.index(b"\xc3"), 0xA9):
        assert state.allows(token)
        state.accept(token)
    assert half == 0xC3
    assert not state.allows(0xA9)  # a continuation of nothing
    for token in "ü".encode() + b'"':
        state.accept(token)
    assert state.is_finished


def test_a_vocabulary_without_an_end_ends_with_the_constraint() -> None:
    texts = Bytes(eog=False)
    state = GrammarCompiler(GrammarConfig()).compile(YES_NO, texts)
    for byte in b"no":
        state.accept(byte)
    assert state.is_finished


@pytest.mark.parametrize("source", ["[]", "{}", "[1]", '[""]', "x"])
def test_choices_are_texts(build: Callable[..., GrammarState], source: str) -> None:
    with pytest.raises(BadRequest, match="list of choices"):
        build("choice", source)


def test_choices_may_hold_anything(build: Callable[..., GrammarState], texts: Bytes) -> None:
    for text in ('say "hi"\n', "é/\\", "a", "ab"):
        assert accepts(build("choice", '["say \\"hi\\"\\n", "é/\\\\", "a", "ab"]'), texts, text), text


@pytest.mark.parametrize("kind", ["json_schema", "regex", "gbnf", "lark", "choice"])
def test_long_sources_are_refused_at_once(build: Callable[..., GrammarState], kind: str) -> None:
    began = time.process_time()
    with pytest.raises(BadRequest, match="10000000 bytes long, at most 262144"):
        build(kind, "(" * 10_000_000)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(("kind", "source"), [("gbnf", "root ::= "), ("gbnf", 'root ::= ""'), ("lark", "start:")])
def test_a_grammar_of_nothing_is_refused(build: Callable[..., GrammarState], kind: str, source: str) -> None:
    with pytest.raises(BadRequest, match="nothing but the empty text matches it"):
        build(kind, source)
    assert build("gbnf", 'root ::= "a"?').may_end


def test_what_takes_too_long_is_refused(build: Callable[..., GrammarState]) -> None:
    schema = '{"properties": {' + ", ".join(f'"property{i}": {{"type": "string"}}' for i in range(900)) + "}"
    schema += ', "required": ["property0"]}'
    with pytest.raises(BadRequest, match=r"takes more than 0\.001 s to compile"):
        build("json_schema", schema, compile_s=0.001)


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache: ByteCache[str] = ByteCache(10)
    for key in "abc":
        cache.put(key, key.upper(), 3)
    assert cache.get("a") == "A"
    cache.put("d", "D", 4)
    assert [cache.get(key) for key in "abcd"] == ["A", None, "C", "D"]
    assert cache.size_bytes == 10
    cache.put("e", "E", 11)
    assert (cache.get("e"), len(cache)) == (None, 3)
    cache.put("a", "B", 5)
    assert (cache.get("a"), cache.size_bytes) == ("B", 9)


def test_compiled_constraints_are_kept_within_their_bytes() -> None:
    compiler, texts = GrammarCompiler(GrammarConfig(cache_bytes=5_000_000)), Bytes()
    for number in range(100):
        compiler.compile(Constraint(kind="regex", source=f"a{number}"), texts)
    assert compiler._prepared is not None
    assert 0 < compiler._prepared.cache.size_bytes <= 5_000_000


def test_what_built_many_states_is_not_kept() -> None:
    compiler, texts = GrammarCompiler(GrammarConfig(cache_bytes=2 << 20)), Bytes()
    state = compiler.compile(YES_NO, texts)
    assert compiler._prepared is not None
    assert len(compiler._prepared.cache) == 1
    state._work.seconds = 0.5  # as after many masks of a large grammar
    compiler.compile(YES_NO, texts)
    assert len(compiler._prepared.cache) == 0


def test_the_lexers_states_are_bounded(build: Callable[..., GrammarState]) -> None:
    state = build("regex", "(.*a.{30}){20}")
    written = np.random.default_rng(0).choice([*b"ab"], 40_000)

    def follow() -> None:
        for byte in written:
            state.accept(int(byte))

    with pytest.raises(BadRequest, match="lexer error: too many"):
        follow()


def test_multiples_leave_a_bounded_number_of_remainders(build: Callable[..., GrammarState], texts: Bytes) -> None:
    steps = [{"type": "integer", "multipleOf": step} for step in (97, 89, 83, 79)]
    for schema in ({"allOf": steps}, {"type": "integer", "multipleOf": 123_457}, {"multipleOf": 0.1234567}):
        with pytest.raises(BadRequest, match="multipleOf leaves more than 100000 remainders"):
            build("json_schema", json.dumps(schema))
    small = {"allOf": [{"type": "number", "multipleOf": 0.25}, {"multipleOf": 3}]}
    assert accepts(build("json_schema", json.dumps(small)), texts, "6")
    assert not accepts(build("json_schema", json.dumps(small)), texts, "5")
    with pytest.raises(BadRequest, match="remainders"):
        build("lark", "start: a b\n" + "".join(f'{n}: %json {{"multipleOf": 60001}}\n' for n in "ab"))


def test_the_end_of_the_process_waits_for_compilations() -> None:
    code = (
        "from byte_texts import Bytes; from corral import BadRequest, Constraint\n"
        "from corral_grammar.compiler import GrammarCompiler; from corral_grammar.plugin import GrammarConfig\n"
        'constraint = Constraint(kind=\'json_schema\', source=\'{"type": "integer", "multipleOf": 99991}\')\n'
        "try: GrammarCompiler(GrammarConfig(compile_s=0.01)).compile(constraint, Bytes())\n"
        "except BadRequest as err: print(err)\n"
    )
    where = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code], cwd=where, capture_output=True, text=True, check=False)
    assert (done.returncode, "takes more than 0.01 s" in done.stdout) == (0, True), done.stderr


def test_two_sequences_do_not_share_their_state() -> None:
    compiler, texts = GrammarCompiler(GrammarConfig()), Bytes()
    first, second = compiler.compile(YES_NO, texts), compiler.compile(YES_NO, texts)
    first.accept(ord("y"))
    assert not second.allows(ord("e"))
    assert second.allows(ord("n"))


def test_a_compiler_can_go_to_another_process() -> None:
    compiler = GrammarCompiler(GrammarConfig(cache_bytes=7))
    compiler.compile(YES_NO, Bytes())
    copy = pickle.loads(pickle.dumps(compiler))
    assert copy.config == compiler.config
    assert accepts(copy.compile(YES_NO, Bytes()), Bytes(), "no")


@pytest.mark.parametrize("seed", range(5))
def test_whatever_a_model_writes_matches(build: Callable[..., GrammarState], texts: Any, seed: int) -> None:
    assert write_at_random(build("choice", '["yes", "no", "nothing"]'), texts, seed) in ("yes", "no", "nothing")
