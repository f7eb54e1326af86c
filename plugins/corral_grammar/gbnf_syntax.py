"""Reads llama.cpp's grammar notation (GBNF) into rules.  Iterative; every mistake is named with its line.

A rule is a list of alternatives, an alternative a list of items, and an item a symbol with a repetition.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from corral import BadRequest

MAX_DEPTH = 100  # groups within groups
MAX_REPETITION = 2000
MAX_ITEMS = 100_000
MAX_RULES = 2000
_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r]+|\#[^\n]*)|(?P<newline>\n)|(?P<is>::=)|(?P<bar>\|)|(?P<open>\()|(?P<close>\))|(?P<any>\.)
    |(?P<literal>"(?:[^"\\\n]|\\.)*")|(?P<class>\[(?:[^\]\\\n]|\\.)*\])|(?P<control>!?<[^<>\n]*>)
    |(?P<repeat>[*+?]|\{\s*\d+\s*(?:,\s*\d*\s*)?\})|(?P<name>[A-Za-z0-9-]+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))|(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-", "^": "^", "/": "/"}
_REPETITIONS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class Item(NamedTuple):
    """kind: "literal" (text), "class" (its regular expression), "control" (as written), "rule" (its name), "group"."""

    kind: str
    value: str
    line: int
    group: "list[list[Item]]"
    least: int = 1
    most: int | None = 1


Alternatives = list[list[Item]]


@dataclass(slots=True)
class Rule:
    """One rule and the line it stands on."""

    line: int
    alternatives: Alternatives = field(default_factory=lambda: [[]])


def read_rules(source: str) -> dict[str, Rule]:
    """Rules by name, `root` among them.  Raises BadRequest naming the line."""
    reader = _Reader()
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise reader.error(f"unexpected {source[at : at + 10]!r}")
        reader.take(str(match.lastgroup), match[0])
        at = match.end()
    return reader.finish()


class _Reader:
    """The state between two tokens of the notation."""

    def __init__(self) -> None:
        self.line = 1
        self.rules: dict[str, Rule] = {}
        self._open: list[Alternatives] = []  # the rule being read, and the groups that are open in it
        self._name = ""  # a name that may begin a rule
        self._continues = False  # a line break means nothing here
        self._n_items = 0

    def error(self, problem: str, line: int = 0) -> BadRequest:
        return BadRequest(f"invalid gbnf constraint: line {line or self.line}: {problem}")

    def take(self, kind: str, text: str) -> None:
        if kind == "blank":
            return
        if kind == "newline":
            self._end_line()
            self.line += 1
            return
        if not self._open:
            self._begin_rule(kind, text)
            return
        self._continues = False
        match kind:
            case "is":
                raise self.error("'::=' inside a rule: a rule begins on a line of its own")
            case "bar":
                self._open[-1].append([])
                self._continues = True
            case "open":
                if len(self._open) > MAX_DEPTH:
                    raise self.error(f"more than {MAX_DEPTH} groups within each other")
                group: Alternatives = [[]]
                self._add(Item("group", "", self.line, group))
                self._open.append(group)
            case "close":
                if len(self._open) < 2:
                    raise self.error("')' without '('")
                self._open.pop()
            case "repeat":
                self._repeat(text)
            case "literal":
                self._add(Item("literal", self._unescape(text[1:-1]), self.line, []))
            case "any":
                self._add(Item("class", r"[\u{0}-\u{10FFFF}]", self.line, []))
            case "class":
                self._add(Item("class", self._class(text), self.line, []))
            case "control":
                self._add(Item("control", text, self.line, []))
            case _:
                self._add(Item("rule", text, self.line, []))

    def finish(self) -> dict[str, Rule]:
        self._end_line(at_end=True)
        if len(self._open) > 1:
            raise self.error("'(' without ')'")
        if self._open or self._name:
            raise self.error("the grammar ends inside a rule")
        if "root" not in self.rules:
            raise self.error("there is no rule named root", 1)
        return self.rules

    def _begin_rule(self, kind: str, text: str) -> None:
        if kind == "name" and not self._name:
            self._name = text
        elif kind == "is" and self._name:
            if self._name in self.rules:
                raise self.error(f"the rule {self._name!r} is there already (line {self.rules[self._name].line})")
            if len(self.rules) == MAX_RULES:
                raise self.error(f"more than {MAX_RULES} rules")
            rule = self.rules[self._name] = Rule(self.line)
            self._open, self._name, self._continues = [rule.alternatives], "", True
        else:
            raise self.error(f"a rule (name ::= …) is expected, not {text!r}")

    def _end_line(self, *, at_end: bool = False) -> None:
        if self._name and not self._open:
            raise self.error(f"'::=' is expected after {self._name!r}")
        if len(self._open) == 1 and (at_end or not self._continues):
            self._open = []

    def _add(self, item: Item) -> None:
        self._n_items += 1
        if self._n_items > MAX_ITEMS:
            raise self.error(f"more than {MAX_ITEMS} parts")
        self._open[-1][-1].append(item)

    def _repeat(self, text: str) -> None:
        sequence = self._open[-1][-1]
        if not sequence:
            raise self.error(f"{text!r} has nothing to repeat")
        least, most = _REPETITIONS.get(text) or self._range(text)
        item = sequence[-1]
        if (item.least, item.most) != (1, 1):
            item = Item("group", "", self.line, [[item]])
        sequence[-1] = item._replace(least=least, most=most)

    def _range(self, text: str) -> tuple[int, int | None]:
        least, comma, most = (part.strip() for part in text[1:-1].partition(","))
        numbers = [number for number in (least, most) if number]
        if any(len(number) > 9 or int(number) > MAX_REPETITION for number in numbers):
            raise self.error(f"{text} repeats more than {MAX_REPETITION} times")
        upper = int(most) if most else None if comma else int(least)
        if upper is not None and upper < int(least):
            raise self.error(f"{text} has its bounds the wrong way round")
        return int(least), upper

    def _characters(self, text: str) -> list[tuple[str, bool]]:
        """Each character, and whether it was escaped."""
        found = []
        for match in _ESCAPE.finditer(text):
            code = match[1] or match[2] or match[3]
            if code and (int(code, 16) > 0x10FFFF or 0xD800 <= int(code, 16) < 0xE000):
                raise self.error(f"{match[0]} is no character")
            if match[4] and match[4] not in _ESCAPED:
                raise self.error(f"unknown escape {match[0]}")
            found.append(
                (chr(int(code, 16)) if code else _ESCAPED[match[4]] if match[4] else match[5], bool(not match[5]))
            )
        return found

    def _unescape(self, text: str) -> str:
        return "".join(character for character, _ in self._characters(text))

    def _class(self, text: str) -> str:
        """The class as a regular expression writes it."""
        characters = self._characters(text[1:-1])
        negated = characters[:1] == [("^", False)]
        characters = characters[negated:]
        if not characters:
            raise self.error(f"{text} is an empty class")
        ranges, at = [], 0
        while at < len(characters):
            first = last = characters[at][0]
            if at + 2 < len(characters) and characters[at + 1] == ("-", False):
                last = characters[at + 2][0]
                at += 2
            if last < first:
                raise self.error(f"{text} has a range the wrong way round")
            ranges.append(f"\\u{{{ord(first):X}}}-\\u{{{ord(last):X}}}")
            at += 1
        return f"[{'^' * negated}{''.join(ranges)}]"
