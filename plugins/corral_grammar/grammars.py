"""From each kind of constraint to a grammar for llguidance.  All of it is bounded, and none of it recurses."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from llguidance import LLMatcher, LLParserLimits, regex_to_lark

from corral import JSON, BadRequest, JSONObject
from corral.log import get_logger
from corral_grammar import gbnf, lark
from corral_grammar.multiples import check_remainders
from corral_grammar.schema import SchemaReader
from corral_grammar.state import summary
from corral_grammar.tags import UNSUPPORTED, loosened, place_of

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

# One space, or one or two newlines and then an indentation: a model cannot go on with white space for ever.
_JSON_STYLE: "JsonCompileOptions" = {"whitespace_pattern": r"( |\n{1,2}[ \t]{0,20})"}
_MAX_LOCATED = 300
_ONE_OF = "oneOf constraints are not supported"  # how the library refuses branches that may both match
# A state of the lexer takes about 2.3 KB; the longest text of bounded length takes one for each character.
LIMITS = LLParserLimits(
    max_lexer_states=20_000,
    max_grammar_size=200_000,
    initial_lexer_fuel=500_000,
    step_lexer_fuel=100_000,
    verbose_errors=False,
)
_MAX_REPETITION = 100_000
_REPETITION = re.compile(r"\\.|\{\s*(\d+)\s*(?:,\s*(\d*)\s*)?\}", re.DOTALL)


def json_object(_: str) -> str:
    """Any JSON object."""
    return _from_schema({"type": "object"})


def json_schema(source: str) -> str:
    """What `source` describes.  Raises BadRequest naming the path of a keyword that cannot be enforced."""
    return _from_schema(SchemaReader(_decode(source, "JSON schema"), check_pattern).read())


def choice(source: str) -> str:
    """One of a JSON list of texts."""
    texts = _decode(source, "list of choices")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise BadRequest("invalid list of choices: it must hold texts, at least one, and none of them empty")
    return str(LLMatcher.grammar_from_lark("start: " + " | ".join(map(quote, texts))))


def regex(source: str) -> str:
    """All of the answer matches the expression, in Rust's notation without look-around and back-references."""
    for match in _REPETITION.finditer(source):
        if any(len(number) > 9 or int(number) > _MAX_REPETITION for number in (match[1], match[2]) if number):
            raise BadRequest(
                f"invalid regex constraint: at {match.start()}: {match[0]} repeats more than {_MAX_REPETITION} times"
            )
    if problem := check_pattern(source):
        raise BadRequest(f"invalid regex constraint: {problem}")
    return str(LLMatcher.grammar_from_regex(regex_to_lark(source, "dw")))


def gbnf_grammar(source: str) -> str:
    """What llama.cpp's notation describes."""
    return str(LLMatcher.grammar_from_lark(gbnf.translate(source)))


def lark_grammar(source: str) -> str:
    """llguidance's Lark dialect; schemas after `%json` are read as `json_schema` reads them."""
    parts, n_remainders = lark.check(source), 0
    for index in range(1, len(parts), 2):
        otherwise = loosened(parts[index])
        schema, remainders = _read(parts[index]) if otherwise is None else _read_loose(parts[index], otherwise)
        parts[index] = {**schema, "x-guidance": _JSON_STYLE}
        n_remainders += remainders
        check_remainders(n_remainders)
    return str(LLMatcher.grammar_from_lark(lark.put_together(parts)))


def _read(schema: JSON) -> tuple[JSONObject, int]:
    """What of a schema is enforced, and the remainders that takes.  Raises BadRequest."""
    place = place_of(schema)
    reader = SchemaReader(schema, check_pattern, place.path)
    try:
        return _plain(reader.read()), reader.n_remainders
    except BadRequest as err:
        raise BadRequest(place.tell(err.message)) from err


def _read_loose(schema: JSON, otherwise: JSONObject) -> tuple[JSONObject, int]:
    """The same, or `otherwise` where it cannot be enforced, alone or by the library."""
    try:
        read, n_remainders = _read(schema)
        problem = LLMatcher.validate_grammar(_from_schema(read), limits=LIMITS)
    except BadRequest as err:
        problem = err.message
    if not problem:
        return read, n_remainders
    get_logger("grammar").debug("schema.unenforced", reason=str(problem)[:300])
    return otherwise, 0


def relax(source: str) -> str:
    """A Lark grammar without the schemas that need not be enforced; "" when there are none."""
    parts = lark.check(source)
    found = [loosened(part) for part in parts]
    kept = [part if otherwise is None else otherwise for part, otherwise in zip(parts, found, strict=True)]
    return "" if kept == parts else lark.put_together(kept)


def _plain(schema: JSON) -> JSONObject:
    """A schema as an object; only `true` is none."""
    return schema if isinstance(schema, dict) else {}


def quote(text: str) -> str:
    """A literal of the Lark dialect."""
    return msgspec.json.encode(text).decode()


def check_pattern(pattern: str) -> str:
    """What is wrong with a regular expression inside a JSON schema; "" when nothing is."""
    problem = str(LLMatcher.validate_grammar(LLMatcher.grammar_from_regex(regex_to_lark(pattern, "dw")), limits=LIMITS))
    lines = [line.strip() for line in problem.splitlines()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return errors[0] if errors else "" if not lines or lines[0].startswith("WARNING") else lines[0][:200]


def refusal(schema: JSON, problem: str) -> str:
    """What to say of a JSON schema that the library refuses, with the path of the innermost part to blame."""
    named = place_of(schema)
    reader = SchemaReader(schema, lambda _: "", named.path)
    reader.read()
    place, problem = _locate(reader.nodes) or ("", problem)
    if _ONE_OF in problem:
        return named.tell(
            f"{UNSUPPORTED}{place or named.path}.oneOf cannot be enforced, for a value may match "
            "several branches: tell them apart by type or by a required property with a const of its own, or use anyOf"
        )
    return named.tell(f"invalid json_schema constraint{f' at {place}' if place else ''}: {problem}")


def refusal_inside(source: str) -> str:
    """The same for the first of a Lark grammar's schemas that the library refuses; "" when it refuses none."""
    for schema in lark.check(source)[1::2]:
        if loosened(schema) is None:
            problem = LLMatcher.validate_grammar(_from_schema(_read(schema)[0]), limits=LIMITS)
            if problem:
                return refusal(schema, summary(problem))
    return ""


def _locate(nodes: Sequence[tuple[str, JSONObject]]) -> tuple[str, str] | None:
    """The path of the innermost schema that is refused by itself, and why.

    Where it refers to another anything may stand: that one has a path of its own.
    """
    for path, schema in reversed(nodes[:_MAX_LOCATED]):
        alone = json.loads(quote_json(schema), object_hook=_without_reference)
        if problem := LLMatcher.validate_grammar(_from_schema(alone), limits=LIMITS):
            return path, summary(problem)
    return None


def _without_reference(schema: JSONObject) -> JSONObject:
    return {key: value for key, value in schema.items() if key != "$ref" or not isinstance(value, str)}


def quote_json(value: JSON) -> str:
    """As JSON."""
    return msgspec.json.encode(value).decode()


def _from_schema(schema: JSON) -> str:
    return str(LLMatcher.grammar_from_json_schema(quote_json(_plain(schema)), overrides=_JSON_STYLE))


def _decode(source: str, what: str) -> JSON:
    try:
        return msgspec.json.decode(source)
    except (ValueError, RecursionError) as err:
        reason = "it is nested too deep" if isinstance(err, RecursionError) else str(err)
        raise BadRequest(f"invalid {what}: {reason}") from err


GRAMMARS: Mapping[str, Callable[[str], str]] = {
    "json": json_object,
    "json_schema": json_schema,
    "choice": choice,
    "regex": regex,
    "gbnf": gbnf_grammar,
    "lark": lark_grammar,
}
