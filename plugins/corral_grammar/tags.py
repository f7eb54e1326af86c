"""Tags in a Lark grammar, which are text or control tokens as the model's vocabulary has them.

`%tag "T"` is the tag; `%last "T"` one behind which nothing comes: it is nothing where that token ends the answer by
itself; `NAME: %until {"tag": T, …}` is text up to and with it, `NAME: %free` any text.  A JSON schema
after `%json` that says `"x-if-possible": "object"` (or "value") stands for any object (value) where it cannot be
enforced.  One that says `"x-place": {"of": "tools[0] (f)", "path": "$.properties.a"}` is called so in messages.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from corral import BadRequest, JSONObject

if TYPE_CHECKING:
    from corral_engine.constraints import TokenTexts

LOOSE, PLACE = "x-if-possible", "x-place"
UNSUPPORTED = "unsupported JSON schema keyword: "  # how the refusal of a schema begins
_ANYTHING: dict[str, JSONObject] = {"object": {"type": "object"}, "value": {}}
_MACROS = ("%tag", "%last", "%until", "%free")
_TAG = re.compile(r'%(tag|last) ("(?:[^"\\]|\\.)*")')
_OTHERS, _ANY = "other_tokens", "ANY_TEXT"
_LINE = re.compile(r"^(\w+): %(until|free)\b *(.*)$", re.MULTILINE)


class Until(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `%until` says: `never` are texts that do not stand before the tag, `least` and `most` count characters.

    With `free` other control tokens may stand there too.  `starts`: characters, as in a regular expression's class, of
    which none stands first but for blanks.  `trims`: a line break at either end is no part of the text.  `then`: a
    regular expression for what makes the tag one; it ends the text together with it.
    """

    tag: str
    never: list[str] = []
    least: int = 0
    most: int | None = None
    free: bool = False
    starts: str = ""
    trims: bool = False
    then: str = ""


def has_tags(source: str) -> bool:
    """Whether there is anything to expand."""
    return any(macro in source for macro in _MACROS)


class Tags:
    """The control tokens of one vocabulary."""

    def __init__(self, texts: "TokenTexts") -> None:
        controls = (token_id for token_id, text in enumerate(texts.token_bytes) if not text)
        self._ids = {texts.spelling(token_id).decode(errors="replace"): token_id for token_id in controls}
        self._ends = texts.eog_ids

    def expand(self, source: str) -> str:
        """A grammar without macros.  Raises BadRequest."""
        untils = {match[0]: _read(match[3]) for match in _LINE.finditer(source) if match[2] == "until"}
        openings = [until.tag for until in untils.values() if until.free]  # from these on text is free no more
        used = self._ends.union(self._ids[text] for text in openings if text in self._ids)
        others = _ranges(token_id for token_id in self._ids.values() if token_id not in used)
        between = f"{_OTHERS}* " if others else ""

        def line(match: re.Match[str]) -> str:
            if match[2] == "free":
                return f"{match[1]}: {between}{_ANY}"
            until = untils[match[0]]
            return self._until(match[1], until, between if until.free else "")

        expanded = _LINE.sub(line, _TAG.sub(self._written, source))
        extra = [f"{_OTHERS}: {_ANY} <[{others}]>"] if _OTHERS in expanded else []
        extra += [f"{_ANY}: /(?s:.*)/"] if _ANY in expanded else []
        return "\n".join([expanded, *extra])

    def _written(self, match: re.Match[str]) -> str:
        text = msgspec.json.decode(match[2])
        return '""' if match[1] == "last" and self._ids.get(text) in self._ends else self._tag(text)

    def _tag(self, text: str) -> str:
        return f"<[{self._ids[text]}]>" if text in self._ids else msgspec.json.encode(text).decode()

    def _until(self, name: str, until: Until, between: str) -> str:
        edge = "\\n?" if until.trims else ""
        text = f"{edge}(?s:.{{{until.least},{'' if until.most is None else until.most}}}){edge}"
        others = until.never if until.tag in self._ids else [each for each in until.never if each != until.tag]
        never = [f"(?s:.*)({'|'.join(map(pattern, others))})(?s:.*)"] if others else []
        never += [f"[\\s\\x1c-\\x1f]*[{until.starts}](?s:.*)"] if until.starts else []
        ending = "" if until.tag in self._ids else pattern(until.tag) + until.then
        never += [f"\\n?(?s:.{{0,{until.least - 1}}})\\n?{ending}"] if until.trims and until.least else []
        then = f" /{until.then}/" if until.then else ""
        if until.tag in self._ids:
            upper = f"{name.upper()}_TEXT"
            last = f"{name}_last: {upper} {self._tag(until.tag)}{then}\n{upper}: /{text}/{_without(never)}"
        else:
            never += [f"(?s:.*){pattern(until.tag)}(?s:.+)"] if until.least else []  # the first one ends the text
            last = f"{name}_last[lazy]: /{text}{ending}/{_without(never)}"
        return f"{name}: {between}{name}_last\n{last}"


def _without(never: list[str]) -> str:
    """What keeps regular expressions from matching."""
    return "".join(f" & ~/{each}/" for each in never)


def _read(text: str) -> Until:
    try:
        return msgspec.json.decode(text, type=Until)
    except msgspec.DecodeError as err:
        raise BadRequest(f"invalid lark constraint: %until: {err}") from err


def pattern(text: str) -> str:
    """As a regular expression, within slashes, that matches the text."""
    return "".join(f"\\u{{{ord(character):X}}}" for character in text)


class Place(msgspec.Struct, frozen=True):
    """Where a schema in a Lark grammar comes from."""

    of: str = ""
    path: str = "$"

    def tell(self, message: str) -> str:
        """`message`, of something that is wrong there."""
        return f"{self.of}: {message.removeprefix(UNSUPPORTED)}" if self.of else message


def place_of(schema: object) -> Place:
    """What the schema says of it.  Raises BadRequest."""
    try:
        return msgspec.convert(schema.get(PLACE, {}) if isinstance(schema, dict) else {}, Place)
    except msgspec.ValidationError as err:
        raise BadRequest(f"invalid lark constraint: %json: {PLACE}: {err}") from err


def _ranges(token_ids: Iterable[int]) -> str:
    """As the library writes a set of tokens: `5,7-9`."""
    parts: list[list[int]] = []
    for token_id in sorted(token_ids):
        if parts and parts[-1][1] == token_id - 1:
            parts[-1][1] = token_id
        else:
            parts.append([token_id, token_id])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def loosened(schema: object) -> JSONObject | None:
    """What may stand in place of a schema that need not be enforced; None for any other."""
    mark = schema.get(LOOSE) if isinstance(schema, dict) else None
    return _ANYTHING.get(mark) if isinstance(mark, str) else None
