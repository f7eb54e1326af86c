"""Reads a JSON schema: every keyword is enforced, describes only, or is refused by its path.

What is enforced goes to the library, without the rest.  As in Ollama, an object with `properties` has no others unless
`additionalProperties` says so, properties come in the order of the schema, and integers have 15 digits at most.  Names
and times are bounded too, where their formats are not.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from corral import JSON, BadRequest, JSONObject
from corral_grammar.alternatives import Alternatives
from corral_grammar.counts import settle_counts
from corral_grammar.endless import never_ends
from corral_grammar.equivalents import Document, rewritten
from corral_grammar.keywords import (
    ANNOTATIONS,
    APPLIED_IN_PLACE,
    CHECKS,
    DEFAULTS,
    DESCRIBING_FORMATS,
    FORMAT_LENGTHS,
    FORMAT_PATTERNS,
    FORMATS,
    FURTHER_FORMATS,
    INTEGER_FORMATS,
    MAX_COUNT,
    ONE_SCHEMA,
    SCHEMA_LISTS,
    SCHEMA_MAPS,
    UNENFORCED,
)
from corral_grammar.multiples import check_remainders, count_remainders
from corral_grammar.rows import check_rows
from corral_grammar.tags import UNSUPPORTED

MAX_DEPTH = 100  # objects and lists within each other; the library reads 128 levels
MAX_SCHEMAS = 10_000  # with the schemas inside
MAX_MEMBERS = 1000  # properties of one object, branches of one alternative
MAX_ENUM = 5000
MAX_PATTERNS = 200
_PLAIN_KEY = re.compile(r"[A-Za-z_$][\w$-]*")
_INTEGER_BOUND = 10**15 - 1
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "enum", "const")

CheckPattern = Callable[[str], str]  # a pattern → what is wrong with it, or ""


class Node(NamedTuple):
    """A schema still to be read: where it stands, how deep, and where what it becomes is put."""

    schema: JSON
    path: str
    depth: int
    put: Callable[[JSON], None]


def step(path: str, key: str | int) -> str:
    """The path of a member: `$.properties.age`, `$.anyOf[0]`, `$.properties["first name"]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if _PLAIN_KEY.fullmatch(key) else f"{path}[{msgspec.json.encode(key).decode()}]"


class SchemaReader:
    """One schema.  Nothing here recurses, and nothing is fetched."""

    def __init__(self, root: JSON, check_pattern: CheckPattern, path: str = "$") -> None:
        """`path`: what the root is called in messages."""
        self.root, self._check_pattern, self._path = root, check_pattern, path
        self.nodes: list[tuple[str, JSONObject]] = []  # path and what it became, parents first
        self._refs: dict[str, str] = {}  # path → what it refers to
        self._patterns: set[str] = set()
        self._passed: set[tuple[int, str]] | None = None
        self._combines = False
        self.n_remainders = 0

    def read(self) -> JSON:
        """The schema without what only describes.  Raises BadRequest naming the path of the first mistake."""
        result: list[JSON] = []
        todo = [Node(self.root, self._path, 1, result.append)]
        while todo:
            node = todo.pop()
            if isinstance(node.schema, bool):
                node.put(node.schema)
                continue
            if not isinstance(node.schema, dict):
                raise BadRequest(f"invalid JSON schema: {node.path} must be an object or a boolean")
            if node.depth > MAX_DEPTH:
                raise BadRequest(f"invalid JSON schema: {node.path} is nested more than {MAX_DEPTH} levels deep")
            enforced: JSONObject = {}
            node.put(enforced)
            self.nodes.append((node.path, enforced))
            if len(self.nodes) > MAX_SCHEMAS:
                raise BadRequest(f"JSON schema too large: {node.path} is one of more than {MAX_SCHEMAS} schemas")
            todo.extend(reversed([*self._members(node, enforced)]))
        self._check_refs()
        self.n_remainders = count_remainders((schema for _, schema in self.nodes), together=self._combines)
        check_remainders(self.n_remainders)
        if not self._combines:
            for _, schema in self.nodes:
                _close(schema)
        if result == [False]:
            raise BadRequest(f"invalid JSON schema: {self._path} is false, which nothing matches")
        schemas = [schema for _, schema in self.nodes]

        def target(reference: str) -> JSON:
            return target_of(reference, self._path, result[0])

        check_rows(self.nodes, target)
        if not any("oneOf" in unquote(reference) for reference in self._refs.values()):  # their names must stay
            Alternatives(target).settle(schemas)
        if never_ends(result[0], schemas, target, settle_counts(result[0], self.nodes, target)):
            raise BadRequest(
                f"invalid JSON schema: {self._path} requires itself, and nothing that has an end matches it"
            )
        for schema in schemas:
            _complete_format(schema)
        return result[0]

    def _members(self, node: Node, enforced: JSONObject) -> Iterator[Node]:
        """Fill `enforced`; the schemas inside are still to be read."""
        schema = rewritten(
            node.schema, Document(lambda reference: target_of(reference, node.path, self.root), self._refers)
        )
        for key, value in schema.items():
            path = step(node.path, key)
            if not self._counts(key, value, path, at_root=node.path == self._path):
                continue
            self._check(key, value, path, schema)
            if key in ONE_SCHEMA and not isinstance(value, list):
                yield Node(value, path, node.depth + 1, _setter(enforced, key))
            elif key in SCHEMA_LISTS or key == "items":
                members: list[JSON] = [None] * len(value)
                enforced[key] = members
                for index, member in enumerate(value):
                    yield Node(member, step(path, index), node.depth + 2, _setter(members, index))
            elif key in SCHEMA_MAPS:
                named: JSONObject = dict.fromkeys(value)
                enforced[key] = named
                for name, member in value.items():
                    yield Node(member, step(path, name), node.depth + 2, _setter(named, name))
            else:
                enforced[key] = value
        asserted = [key for key in enforced if key not in ("$defs", "definitions")]
        applied = [key for key in asserted if key in APPLIED_IN_PLACE and key in node.schema]
        self._combines |= len(enforced.get("allOf", ())) > 1 or (bool(applied) and len(asserted) > 1)

    def _counts(self, key: str, value: JSON, path: str, *, at_root: bool) -> bool:
        """Whether a keyword restricts anything.  Raises BadRequest for one that would and cannot be enforced."""
        if key in CHECKS:
            return True
        if key in ANNOTATIONS or key.startswith("x-") or (key in ("$id", "id") and at_root):
            return False
        if key in DEFAULTS and value is DEFAULTS[key]:
            return False
        if key in UNENFORCED:
            raise BadRequest(f"{UNSUPPORTED}{path} cannot be enforced")
        raise BadRequest(f"unknown JSON schema keyword: {path}")

    def _check(self, key: str, value: JSON, path: str, schema: JSONObject) -> None:
        what, fits = CHECKS[key]
        if not fits(value):
            raise BadRequest(f"invalid JSON schema: {path} must be {what}")
        most = MAX_ENUM if key == "enum" else MAX_MEMBERS
        if isinstance(value, list | dict) and key not in ("const", "$defs", "definitions") and len(value) > most:
            raise BadRequest(f"JSON schema too large: {path} has {len(value)} members, at most {most} are supported")
        match key:
            case "pattern":
                self._check_regex(value, path)
            case "patternProperties":
                for pattern in value:
                    self._check_regex(pattern, step(path, pattern))
            case "format" if "string" in _types(schema) and not _is_clear(value, schema):
                known = ", ".join((*FORMATS, *FURTHER_FORMATS))
                raise BadRequest(f"{UNSUPPORTED}{path} {value!r} is not one of {known}, and there is no pattern")
            case "$ref":
                self._refs[path] = value
            case "minLength" | "minItems" | "minProperties" if value > MAX_COUNT:
                raise BadRequest(f"JSON schema too large: {path} is above {MAX_COUNT}")
            case "enum" | "const":
                _check_depth(value, path)

    def _check_regex(self, pattern: str, path: str) -> None:
        if pattern in self._patterns:
            return
        self._patterns.add(pattern)
        if len(self._patterns) > MAX_PATTERNS:
            raise BadRequest(f"JSON schema too large: {path} is one of more than {MAX_PATTERNS} patterns")
        if problem := self._check_pattern(pattern):
            raise BadRequest(f"invalid JSON schema: {path}: {problem}")

    def _refers(self, schema: JSON, name: str) -> bool:
        """Whether a reference leads to or through that member of what the root holds."""
        if self._passed is None:
            self._passed = _passed(self.root)
        return (id(schema), name) in self._passed

    def _check_refs(self) -> None:
        """Every reference leads to a schema of this document, and not back to itself."""
        targets = {path: target_of(reference, path, self.root) for path, reference in self._refs.items()}
        sound: set[int] = set()
        for path, target in targets.items():
            chain: list[int] = []
            while isinstance(target, dict) and isinstance(target.get("$ref"), str) and id(target) not in sound:
                if id(target) in chain:
                    raise BadRequest(f"invalid JSON schema: {path} refers to itself without end")
                chain.append(id(target))
                target = target_of(target["$ref"], path, self.root)
            sound.update(chain)


def target_of(reference: str, path: str, found: JSON) -> JSON:
    """What a reference at `path` leads to in the document `found`."""
    if not reference.startswith("#"):
        raise BadRequest(f"{UNSUPPORTED}{path} {reference!r} is outside this schema, and nothing is fetched")
    if reference != "#" and not reference.startswith("#/"):
        raise BadRequest(f"{UNSUPPORTED}{path} {reference!r} must be a JSON pointer (#/$defs/…)")
    try:
        for _, _, member in _steps(reference, found):
            found = member
    except LookupError as err:
        raise BadRequest(f"invalid JSON schema: {path} {reference!r} leads nowhere") from err
    if not isinstance(found, dict | bool):
        raise BadRequest(f"invalid JSON schema: {path} {reference!r} leads to no schema")
    return found


def _steps(reference: str, found: JSON) -> Iterator[tuple[JSON, str, JSON]]:
    """Where each part of a pointer is looked up, its name, and what is there.  Raises LookupError."""
    for part in unquote(reference).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        within = found
        if isinstance(found, list) and name.isdecimal():
            found = found[int(name)]
        elif isinstance(found, dict):
            found = found[name]
        else:
            raise LookupError(name)
        yield within, name, found


def _passed(root: JSON) -> set[tuple[int, str]]:
    """The members, by what holds them and name, that references in `root` lead to or through."""
    passed: set[tuple[int, str]] = set()
    todo = [root]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
            if isinstance(reference := value.get("$ref"), str):
                with suppress(LookupError):  # which is told where it is read
                    passed.update((id(within), name) for within, name, _ in _steps(reference, root))
    return passed


def _setter(container: JSON, key: str | int) -> Callable[[JSON], None]:
    def put(value: JSON) -> None:
        container[key] = value

    return put


def _types(schema: JSONObject) -> list[str]:
    kinds = schema.get("type", ["string"])
    return kinds if isinstance(kinds, list) else [kinds]


def _is_clear(name: str, schema: JSONObject) -> bool:
    """Whether a format can be enforced, or says nothing that a pattern beside it does not."""
    return name in FORMATS or name in FURTHER_FORMATS or name in DESCRIBING_FORMATS or "pattern" in schema


def _check_depth(value: JSON, path: str) -> None:
    """Values of `enum` and `const` may be nested too."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise BadRequest(f"invalid JSON schema: {path} is nested more than {MAX_DEPTH} levels deep")
        inside = [item for item in level if isinstance(item, dict | list)]
        level = [member for item in inside for member in (item.values() if isinstance(item, dict) else item)]


def _close(schema: JSONObject) -> None:
    """What the module says of objects and integers, where no other schema is laid over this one."""
    if "properties" in schema:
        schema.setdefault("type", "object")
        if "patternProperties" not in schema:
            schema.setdefault("additionalProperties", False)
    elif "items" in schema or "prefixItems" in schema:
        schema.setdefault("type", "array")
    if schema.get("type") == "integer" and not any(key in schema for key in _BOUNDS):
        schema["minimum"], schema["maximum"] = -_INTEGER_BOUND, _INTEGER_BOUND


def _complete_format(schema: JSONObject) -> None:
    """What the library leaves open of a format."""
    name = schema.get("format", "")
    if (longest := FORMAT_LENGTHS.get(name)) is not None:
        schema["maxLength"] = min(longest, schema.get("maxLength", longest))
    if name in INTEGER_FORMATS and "integer" in _types(schema):
        least, most = INTEGER_FORMATS[name]
        schema["minimum"] = max(least, schema.get("minimum", least))
        schema["maximum"] = min(most, schema.get("maximum", most))
    if name not in FORMATS and "string" in _types(schema):
        schema.pop("format", None)
    if (pattern := FORMAT_PATTERNS.get(name) or FURTHER_FORMATS.get(name)) is not None:
        if "pattern" in schema:
            schema["allOf"] = [*schema.get("allOf", ()), {"pattern": pattern}]
        else:
            schema["pattern"] = pattern
