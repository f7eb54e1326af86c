"""Checks a Lark grammar before the library sees it, and reads the JSON schemas inside as it would read them alone."""

import json
import re

import msgspec

from corral import JSON, BadRequest

MAX_PARTS = 10_000  # rules and open groups: the library recurses along them
MAX_REPETITION = 100_000
_TEXTS = re.compile(
    r"""(?P<skip>"(?:[^"\\\n]|\\.)*"i?|/(?![*/])(?:[^/\\\n]|\\.)+/[a-z]*|//[^\n]*|\#[^\n]*)
    |(?P<json>%json\b)|(?P<repeat>\{\s*\d+\s*(?:,\s*\d*\s*)?\}|~\s*\d+(?:\s*\.\.\s*\d+)?)
    |(?P<part>[(\[]|^[ \t]*[?!]?\w[\w-]*[^:\n]*:)""",
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_NUMBER = re.compile(r"\d+")


class SchemaText:
    """What stands after `%json`, and the way to the place where it ends."""

    decoder = json.JSONDecoder()

    def __init__(self, source: str, start: int) -> None:
        while start < len(source) and source[start].isspace():
            start += 1
        try:
            self.value, self.end = self.decoder.raw_decode(source, start)
        except (ValueError, RecursionError) as err:
            reason = "nested too deep" if isinstance(err, RecursionError) else str(err)
            raise error(f"%json: {reason}", source, start) from err


def error(problem: str, source: str, at: int) -> BadRequest:
    return BadRequest(f"invalid lark constraint: line {source.count(chr(10), 0, at) + 1}: {problem}")


def check(source: str) -> list[str | JSON]:
    """The grammar in parts: text as it is, and between texts the schemas.  Raises BadRequest naming the line."""
    parts: list[str | JSON] = []
    at = written = n_parts = 0
    while match := _TEXTS.search(source, at):
        at = match.end()
        if match["json"]:
            schema = SchemaText(source, at)
            parts += [source[written:at], schema.value]
            at = written = schema.end
        elif match["repeat"]:
            if any(len(number) > 9 or int(number) > MAX_REPETITION for number in _NUMBER.findall(match[0])):
                raise error(f"{match[0]} repeats more than {MAX_REPETITION} times", source, match.start())
        elif match["part"]:
            n_parts += 1
            if n_parts > MAX_PARTS:
                raise error(f"more than {MAX_PARTS} rules and groups", source, match.start())
    return [*parts, source[written:]]


def put_together(parts: list[str | JSON]) -> str:
    """The grammar again; every second part is a schema."""
    return "".join(
        f" {msgspec.json.encode(part).decode()} " if index % 2 else str(part) for index, part in enumerate(parts)
    )
