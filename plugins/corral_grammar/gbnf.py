"""Translates GBNF rules into llguidance's Lark dialect.

Rules that contain no recursion become terminals, which are regular expressions and exact.  In the others every run of
such parts becomes one terminal; it takes the longest text that fits, also where what follows could begin inside it.
"""

import re
from collections.abc import Callable, Iterator

import msgspec

from corral import BadRequest
from corral_grammar.fixpoint import settle
from corral_grammar.gbnf_syntax import Alternatives, Item, Rule, read_rules

_TOKEN_ID = re.compile(r"(!?)<\[(\d+)\]>")


def translate(source: str) -> str:
    """A Lark grammar.  Raises BadRequest naming the line of the first mistake."""
    rules = _reachable(read_rules(source))
    _check_left_recursion(rules)
    _check_ends(rules)
    return _Writer(rules).write()


def _error(problem: str, line: int) -> BadRequest:
    return BadRequest(f"invalid gbnf constraint: line {line}: {problem}")


def _items(alternatives: Alternatives) -> Iterator[Item]:
    """All items, those in groups too."""
    open_ = [alternatives]
    while open_:
        for sequence in open_.pop():
            for item in sequence:
                yield item
                if item.group:
                    open_.append(item.group)


def _references(rule: Rule) -> list[Item]:
    return [item for item in _items(rule.alternatives) if item.kind == "rule"]


def _reachable(rules: dict[str, Rule]) -> dict[str, Rule]:
    """The rules that `root` leads to.  Raises BadRequest for one that does not exist."""
    found: dict[str, Rule] = {}
    todo = ["root"]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found[name] = rules[name]
        for item in _references(rules[name]):
            if item.value not in rules:
                raise _error(f"there is no rule named {item.value!r}", item.line)
            todo.append(item.value)
    return found


def _settled(rules: dict[str, Rule], holds: Callable[[Rule, set[str]], bool]) -> set[str]:
    """The names of the rules for which `holds`, given those for which it is known to hold."""
    depends = {name: [item.value for item in _references(rule)] for name, rule in rules.items()}
    return settle(depends, lambda name, known: holds(rules[name], known))


def _check_ends(rules: dict[str, Rule]) -> None:
    """Raises BadRequest when no text has an end."""

    def ends(item: Item, known: set[str]) -> bool:
        if item.least == 0 or item.kind not in ("rule", "group"):
            return True
        return item.value in known if item.kind == "rule" else some(item.group, known)

    def some(alternatives: Alternatives, known: set[str]) -> bool:
        return any(all(ends(item, known) for item in sequence) for sequence in alternatives)

    if "root" not in _settled(rules, lambda rule, known: some(rule.alternatives, known)):
        raise _error("the rule 'root' never ends", rules["root"].line)


# --- left recursion ---------------------------------------------------------------------------------------------------


def _may_be_empty(item: Item, empty: set[str]) -> bool:
    """Groups are nested a hundred deep at most, so this recursion is bounded."""
    if item.least == 0:
        return True
    if item.kind == "rule":
        return item.value in empty
    if item.kind == "group":
        return any(all(_may_be_empty(each, empty) for each in sequence) for sequence in item.group)
    return item.kind == "literal" and not item.value


def _first_rules(alternatives: Alternatives, empty: set[str]) -> Iterator[str]:
    """The rules that text of these alternatives may begin with."""
    for sequence in alternatives:
        for item in sequence:
            if item.kind == "rule":
                yield item.value
            elif item.kind == "group":
                yield from _first_rules(item.group, empty)
            if not _may_be_empty(item, empty):
                break


def _check_left_recursion(rules: dict[str, Rule]) -> None:
    """Raises BadRequest for a rule that may begin with itself."""
    empty = _settled(
        rules,
        lambda rule, known: any(all(_may_be_empty(item, known) for item in seq) for seq in rule.alternatives),
    )
    begins = {name: set(_first_rules(rule.alternatives, empty)) for name, rule in rules.items()}
    done: set[str] = set()
    for start in rules:
        path: list[tuple[str, Iterator[str]]] = [(start, iter(begins[start]))]
        on_path = {start}
        while path and start not in done:
            name, rest = path[-1]
            following = next((each for each in rest if each not in done), None)
            if following is None:
                done.add(name)
                on_path.discard(name)
                path.pop()
            elif following in on_path:
                raise _error(f"the rule {following!r} is left recursive: it begins with itself", rules[following].line)
            else:
                path.append((following, iter(begins[following])))
                on_path.add(following)


# --- writing ----------------------------------------------------------------------------------------------------------


class _Writer:
    """Writes the rules down; `_regular` are those that become terminals."""

    def __init__(self, rules: dict[str, Rule]) -> None:
        self._rules = rules
        self._regular = _settled(
            rules, lambda rule, known: all(self._is_plain(item, known) for item in _items(rule.alternatives))
        )
        self._numbers = {name: number for number, name in enumerate(rules)}
        self._runs: list[str] = []  # terminals made of runs

    def _is_plain(self, item: Item, regular: set[str]) -> bool:
        return item.kind != "control" and (item.kind != "rule" or item.value in regular)

    def write(self) -> str:
        lines = [f"start: {self._name('root')}"]
        for name, rule in self._rules.items():
            lines.append(f"{self._name(name)}: {self._alternatives(rule.alternatives, name in self._regular)}")
        return "\n".join([*lines, *self._runs]) + "\n"

    def _name(self, rule: str) -> str:
        return f"{'R' if rule in self._regular else 'r'}{self._numbers[rule]}"

    def _alternatives(self, alternatives: Alternatives, in_terminal: bool) -> str:
        return " | ".join(self._sequence(sequence, in_terminal) or '""' for sequence in alternatives)

    def _sequence(self, sequence: list[Item], in_terminal: bool) -> str:
        if in_terminal:
            return " ".join(self._item(item, True) for item in sequence)
        parts: list[str] = []
        run: list[Item] = []
        for item in sequence:
            if all(self._is_plain(each, self._regular) for each in _items([[item]])):
                run.append(item)
                continue
            parts += [*self._run(run), self._item(item, False)]
            run = []
        return " ".join([*parts, *self._run(run)])

    def _run(self, run: list[Item]) -> list[str]:
        """The name of a terminal for consecutive parts without recursion."""
        if not run:
            return []
        name = f"T{len(self._runs)}"
        self._runs.append(f"{name}: {' '.join(self._item(item, True) for item in run)}")
        return [name]

    def _item(self, item: Item, in_terminal: bool) -> str:
        match item.kind:
            case "literal":
                text = msgspec.json.encode(item.value).decode()
            case "class":
                text = f"/{item.value}/"
            case "rule":
                text = self._name(item.value)
            case "control":
                text = _control(item)
            case _:
                text = f"({self._alternatives(item.group, in_terminal)})"
        if (item.least, item.most) == (1, 1):
            return text
        return f"({text}){{{item.least},{'' if item.most is None else item.most}}}"


def _control(item: Item) -> str:
    """`<name>` and `<[id]>` as they are; a negated one by its id."""
    by_id = _TOKEN_ID.fullmatch(item.value)
    if by_id:
        return f"<[{'^' if by_id[1] else ''}{by_id[2]}]>"
    if item.value.startswith("!"):
        raise _error(f"{item.value}: only tokens given by their id, !<[id]>, can be excluded", item.line)
    return item.value
