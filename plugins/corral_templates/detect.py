"""Recognises well-known Jinja chat templates, to render them with a Go template and stop at its markers.

A template is known when its Levenshtein distance to one of the index is below 100.  The index holds no template text,
only fingerprints: the low four bits of each code point.  Equal characters stay equal, so the distance between two
fingerprints never exceeds the one between the texts, and falls short of it only where two different characters share
four bits (about one replaced character in fourteen): a known template is never missed.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from corral import Value

_BELOW = 100
_STOPS = {
    "alfred": ("<start_system>", "<end_message>", "<start_user>", "<start_assistant>"),
    "alpaca": ("###Instruction:", "###Response"),
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "chatqa": ("System:", "User:", "Assistant:", "<|begin_of_text|>"),
    "codellama-70b-instruct": ("Source:", "Destination:", "<step>"),
    "command-r": ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    "falcon-instruct": ("User:", "Assistant:"),
    "gemma-instruct": ("<start_of_turn>", "<end_of_turn>"),
    "gemma3-instruct": ("<end_of_turn>",),
    "granite-instruct": ("System:", "Question:", "Answer:"),
    "llama2-chat": ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    "llama3-instruct": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "magicoder": ("@@Instruction", "@@Response"),
    "mistral-instruct": ("<|im_start|>", "<|im_end|>"),
    "openchat": ("<|end_of_turn|>",),
    "phi-3": ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>"),
    "solar-instruct": ("###System:", "###User:", "###Assistant"),
    "starcoder2-instruct": ("###Instruction", "###Response", "<|endoftext|>"),
    "vicuna": ("USER:", "ASSISTANT:"),
    "zephyr": ("<|system|>", "</s>", "<|user|>", "<|assistant|>"),
}


class Detected(Value, frozen=True):
    """A recognised chat template: the Go template of that name, and the stop strings that go with it."""

    name: str
    source: str
    stops: tuple[str, ...]


class _Entry(NamedTuple):
    name: str
    fingerprint: str


def detect(chat_template: str) -> Detected | None:
    """The named template that `chat_template` is nearest to, or None when none is within distance 100."""
    nearest = min(
        ((distance, position, entry.name) for position, (distance, entry) in enumerate(_distances(chat_template))),
        default=None,
    )
    if nearest is None or nearest[0] >= _BELOW:
        return None
    return named(nearest[2])


def named(name: str) -> Detected:
    """The built-in Go template called `name`.  Raises KeyError for a name there is none of."""
    stops = _STOPS[name]
    source = files("corral_templates").joinpath("named", f"{name}.gotmpl").read_text(encoding="utf-8")
    return Detected(name=name, source=source, stops=stops)


def names() -> tuple[str, ...]:
    """The names of all built-in Go templates."""
    return tuple(_STOPS)


def fingerprint(text: str) -> str:
    """One hexadecimal digit a character: what `named/index.json` holds of a chat template."""
    return "".join("0123456789abcdef"[ord(char) & 15] for char in text)


def levenshtein(a: str, b: str) -> int:
    """The least number of characters to insert, delete or replace to make `b` of `a`.

    Bit-parallel over one column of the table.  Source: Myers 1999, in Hyyrö's form for whole strings (2003).
    """
    if not a or not b:
        return len(a) + len(b)
    mask, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    where: dict[str, int] = {}
    for position, char in enumerate(a):
        where[char] = where.get(char, 0) | 1 << position
    rises, falls, distance = mask, 0, len(a)  # vertical differences +1 and -1 of the present column
    for char in b:
        equal = where.get(char, 0)
        vertical = equal | falls
        horizontal = (((equal & rises) + rises) ^ rises) | equal
        right_rises = falls | (mask & ~(horizontal | rises))
        right_falls = rises & horizontal
        distance += bool(right_rises & last) - bool(right_falls & last)
        right_rises = (right_rises << 1 | 1) & mask
        right_falls = (right_falls << 1) & mask
        rises = right_falls | (mask & ~(vertical | right_rises))
        falls = right_rises & vertical
    return distance


@cache
def _index() -> tuple[_Entry, ...]:
    """The fingerprints, in the order that decides ties."""
    text = files("corral_templates").joinpath("named", "index.json").read_text(encoding="utf-8")
    return tuple(_Entry(entry["name"], entry["fingerprint"]) for entry in json.loads(text))


def _distances(chat_template: str) -> Iterator[tuple[int, _Entry]]:
    """The distance to each entry whose length alone does not rule it out."""
    near = [entry for entry in _index() if abs(len(entry.fingerprint) - len(chat_template)) < _BELOW]
    if near:
        mine = fingerprint(chat_template)
        yield from ((levenshtein(entry.fingerprint, mine), entry) for entry in near)
