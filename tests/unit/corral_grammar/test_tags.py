"""Tags of calls that are control tokens of the vocabulary: held, streamed and read as if they were text."""

from collections.abc import Sequence

import numpy as np
import pytest
from byte_texts import EOG, Bytes

from corral import BadRequest, Constraint, Conversation, Tool, Vocab
from corral_grammar.compiler import GrammarCompiler
from corral_grammar.plugin import GrammarConfig
from corral_templates.output.choice import Style, parser_for
from corral_templates.output.families import BUILT_IN
from corral_templates.output.forcing import constrain
from corral_tokenizers.kinds import kinds

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED = Conversation(tools=(Tool(name="get_weather", parameters=SCHEMA),))
CONTROL = ("[TOOL_CALLS]", "[ARGS]", "<tool_call>", "</tool_call>", "<|python_tag|>", "<other>")
FIRST = 290


class Tagged(Bytes):
    """The vocabulary of bytes, with tags among its control tokens; one of them may end the text."""

    def __init__(self, controls: Sequence[str] = CONTROL, ends: str = "") -> None:
        super().__init__()
        self._controls = controls
        self.eog_ids |= {FIRST + controls.index(ends)} if ends else set()

    def spelling(self, token_id: int) -> bytes:
        if FIRST <= token_id < FIRST + len(self._controls):
            return self._controls[token_id - FIRST].encode()
        return super().spelling(token_id)


def ids(text: str, controls: Sequence[str] = CONTROL) -> list[int]:
    """A byte a token, and the tags."""
    for number, tag in enumerate(controls):
        before, found, after = text.partition(tag)
        if found:
            return [*ids(before, controls), FIRST + number, *ids(after, controls)]
    return [*text.encode()]


def lark(constraint: Constraint) -> Constraint:
    """Without the mark that it may be left out."""
    return Constraint(kind="lark", source=constraint.source)


def fits(constraint: Constraint, text: str, controls: Sequence[str] = CONTROL) -> bool:
    state = GrammarCompiler(GrammarConfig()).compile(lark(constraint), Tagged(controls))
    for token_id in ids(text, controls):
        if not state.allows(token_id):
            return False
        state.accept(token_id)
    return state.is_finished or state.allows(EOG)


CALL = '{"name": "get_weather", "arguments": {"city": "Graz"}}'


@pytest.mark.parametrize(
    ("style", "call"),
    [
        (Style("", None, "<tool_call>", ()), f"<tool_call>\n{CALL}\n</tool_call>"),
        (Style("", None, "[TOOL_CALLS]", ()), f"[TOOL_CALLS][{CALL}]"),
        (Style("[ARGS]", None, "[TOOL_CALLS]", ()), '[TOOL_CALLS]get_weather[ARGS]{"city": "Graz"}'),
    ],
)
def test_calls_are_held_from_the_token_on(style: Style, call: str) -> None:
    forced, free = (constrain(style, ASKED, None, choice) for choice in ("required", "auto"))
    assert forced is not None
    assert free is not None
    wrong = call.replace("city", "town")
    assert fits(forced, call)
    assert not fits(forced, wrong)
    for text in (
        "",
        "Hello",
        "a <other> token",
        call,
        f"Well <other> and {call}",
        f"{call} ok <other>",
        f"{call}{call}",
    ):
        assert fits(free, text), text
    for text in (wrong, f"Well <other> {wrong}", f"{call}{wrong}"):
        assert not fits(free, text), text


HARMONY = ("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>")
GEMMA = ("<|tool_call>", "<tool_call|>", '<|"|>')
THOUGHT = "<|channel|>analysis<|message|>Hm, {.<|end|><|start|>assistant"
OWN = {
    "harmony": (
        HARMONY,
        '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Graz"}<|call|>',
    ),
    "gemma4": (GEMMA, '<|tool_call>call:get_weather{city:<|"|>Graz<|"|>}<tool_call|>'),
}


@pytest.mark.parametrize("name", OWN)
def test_families_whose_tags_are_tokens(name: str) -> None:
    controls, call = OWN[name]
    style = Style("", None, "{", BUILT_IN, name)
    forced, free = (constrain(style, ASKED, None, choice) for choice in ("required", "auto"))
    assert forced is not None
    assert free is not None
    wrong = call.replace("city", "town")
    assert fits(forced, call, controls)
    assert not fits(forced, wrong, controls)
    assert not fits(forced, f"Hi {call}", controls)
    for text in ("", "Hello", f"Well {call}"):
        assert fits(free, text, controls), text
    assert not fits(free, f"Well {wrong}", controls)


def test_messages_before_and_beside_a_call() -> None:
    call = OWN["harmony"][1]
    style = Style("", None, "{", BUILT_IN, "harmony")
    forced = constrain(style, ASKED, None, "required")
    formatted = constrain(style, ASKED, Constraint(kind="json_schema", source='{"enum": ["yes"]}'), "auto")
    free = constrain(style, ASKED, None, "auto")
    assert forced is not None
    assert formatted is not None
    assert free is not None
    in_role = " to=functions.get_weather<|channel|>commentary json<|message|>" + '{"city": "Graz"}<|call|>'
    final = '<|channel|>final<|message|>"yes"<|return|>'
    for text in (call, in_role, THOUGHT + call, THOUGHT + THOUGHT + in_role):
        assert fits(forced, text, HARMONY), text
        assert fits(formatted, text, HARMONY), text
        assert fits(free, text, HARMONY), text
        assert not fits(free, text.replace("city", "town"), HARMONY), text
    assert fits(formatted, THOUGHT + final, HARMONY)
    assert not fits(formatted, THOUGHT + final.replace("yes", "no"), HARMONY)
    assert not fits(forced, THOUGHT + final, HARMONY)
    assert fits(free, THOUGHT + final, HARMONY)


def test_a_last_tag_that_ends_the_answer_is_not_written() -> None:
    source = 'start: "a" %last "<|call|>"'
    for ends, text in ((False, "a<|call|>"), (True, "a")):
        state = GrammarCompiler(GrammarConfig()).compile(
            Constraint(kind="lark", source=source), Tagged(HARMONY, ends="<|call|>" if ends else "")
        )
        for token_id in ids(text, HARMONY):
            assert state.allows(token_id)
            state.accept(token_id)
        assert state.is_finished or state.may_end


def test_until_says_what_is_wrong_with_it() -> None:
    with pytest.raises(BadRequest, match=r"invalid lark constraint: %until: .*`tag`"):
        fits(Constraint(kind="lark", source='start: x\nx: %until {"never": []}'), "")


def test_a_schema_that_becomes_too_complex_is_let_go_where_nobody_asked_for_it() -> None:
    made = constrain(Style("", None, "<tool_call>", ()), ASKED, None, "auto")
    assert made is not None
    state = GrammarCompiler(GrammarConfig()).compile(lark(made), Tagged())
    for token_id in ids('<tool_call>{"name": "get_weather", "arguments": {"c'):
        state.accept(token_id)
    state._matcher.consume_token(ord("b"))  # from here on the library refuses everything, as past its limits
    logits = np.zeros(EOG + 1, np.float32)
    state.mask(logits)
    assert np.isfinite(logits).all()
    assert (state.allows(ord("q")), state.count_valid([1, 2, 3]), list(state.forced_tokens())) == (True, 3, [])
    state.accept(ord("q"))
    assert (state.may_end, state.is_finished) == (True, False)


def test_schemas_past_a_limit_are_left_out_where_nobody_asked_for_them() -> None:
    tools = tuple(Tool(name=f"tool{n}", parameters={**SCHEMA, "description": "x" * 1000}) for n in range(20))
    made = constrain(Style("", None, "<tool_call>", ()), Conversation(tools=tools), None, "auto")
    assert made is not None
    small = GrammarCompiler(GrammarConfig(max_source_bytes=12_000))
    state = small.compile(lark(made), Tagged())
    for token_id in ids('<tool_call>{"name": "tool7", "arguments": {"anything": 1}}</tool_call>'):
        assert state.allows(token_id)
        state.accept(token_id)
    with pytest.raises(BadRequest, match="at most 12000 are accepted"):
        small.compile(Constraint(kind="lark", source=made.source.replace("x-if-possible", "x-not")), Tagged())


TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *CONTROL]


@pytest.mark.parametrize(
    ("style", "text"),
    [
        (Style("", None, "[TOOL_CALLS]", ()), f"Let me see.[TOOL_CALLS][{CALL}]"),
        (Style("", None, "[TOOL_CALLS] [", ()), f"Let me see.[TOOL_CALLS][{CALL}]"),
        (Style("[ARGS]", None, "[TOOL_CALLS]", ()), 'Let me see.[TOOL_CALLS]get_weather[ARGS]{"city": "Graz"}'),
        (Style("", None, "<tool_call>", ()), f"Let me see.<tool_call>\n{CALL}\n</tool_call>"),
        (Style("", None, "{", ()), f"<|python_tag|>{CALL}"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_the_parser_sees_its_tags_and_no_other_control_token(style: Style, text: str, streamed: bool) -> None:
    vocab = Vocab(
        model="llama",
        tokens=TOKENS,
        scores=[0.0] * len(TOKENS),
        token_types=[2, 3, 3, *[6] * 256, *[3] * len(CONTROL)],
        add_bos=False,
    )
    tokenizer = next(kind for kind in kinds(llama_cpp_patterns=False) if kind.name == "llama").build(vocab)
    parser = parser_for(style, ASKED, "")
    stream = tokenizer.stream((), special=parser.tags)
    parts = [stream.push(token + 3 if token < 256 else token - FIRST + 259) for token in ids(text + "<other>")]
    parts.append(stream.flush())
    pieces = [piece for part in (parts if streamed else ["".join(parts)]) for piece in parser.push(part)]
    pieces += parser.finish()
    assert "".join(piece.text for piece in pieces).strip() == ("Let me see." if "see" in text else "")
    (call,) = [call for piece in pieces for call in piece.tool_calls]
    assert (call.name, call.arguments) == ("get_weather", {"city": "Graz"})
