"""Tool calls that are a declared name and a JSON object after some tag, however the model dresses them."""

import re
from collections.abc import Iterable, Sequence

from corral import JSON, JSONObject, Piece, Tool, ToolCall
from corral_templates.output.objects import Balance, decode_object
from corral_templates.output.stream import held_back

_SYNTAX = re.compile(r"</?[|\w:｜▁-]+>|\[/?[A-Z_]+\]|```(?:json)?|[\[\]{}(),;\s]")
_ENVELOPE = re.compile(r"functools|functions?|name|arguments|parameters|python|call|[\d.:=#\"'<>|/_-]")
_ENVELOPE_KEYS = frozenset(("name", "arguments", "parameters", "id", "type", "index", "function", "tool_call_id"))


class GenericCalls:
    """The parser of templates whose calls are JSON.  Text that turns out not to be a call arrives as content."""

    answer_after = thinking_opens = ""
    thinking_span: tuple[str, str, str] | None = None

    def __init__(self, tag: str, tools: Sequence[Tool]) -> None:
        self.tag = "[TOOL_CALLS]" if tag.startswith("[TOOL_CALLS]") else tag  # a blank and a bracket may be missing
        self.tags: tuple[str, ...] = (self.tag, f"</{self.tag[1:]}", "[ARGS]", "[CALL_ID]")
        self.names = sorted((tool.name for tool in tools if tool.name), key=len, reverse=True)
        self._buffer = ""  # from the tag on, less what became calls
        self._in_calls = False
        self._off = not self.names
        self._count = 0
        self._objects = Balance("{", "}")
        self._brackets = Balance(tag, {"{": "}", "[": "]"}.get(tag, tag))
        self._end = -1  # where the bracket that is the tag closes
        self._object: tuple[int, int] | None = None

    def push(self, text: str) -> Iterable[Piece]:
        """Content before the tag at once, calls as soon as they are whole."""
        if self._off:
            return [Piece(text=text)] if text else []
        self._buffer += text
        pieces: list[Piece] = []
        if not self._in_calls:
            content, found = self._before_tag()
            if self.tag in ("{", "[") and content.strip():
                self._off = True
                content, self._buffer = content + self._buffer, ""
            if content:
                pieces.append(Piece(text=content))
            if self._off or not found:
                return pieces
            self._in_calls = True
        while call := self._call():
            pieces += call
        if self._is_balanced():
            self._off = True
            pieces.append(Piece(text=self._buffer))
            self._buffer = ""
        return pieces

    def finish(self) -> Iterable[Piece]:
        """What became no call: all of it, or after calls what is more than their punctuation."""
        while self._in_calls and not self._off and (call := self._call(at_end=True)):
            yield from call
        rest, self._buffer = self._buffer, ""
        if self._count:
            whole = rest[: len(rest) - held_back(rest, self.tags)]  # without a tag that the end of the answer cut
            words = _SYNTAX.sub("", whole.replace(self.tag, ""))
            rest = rest.strip() if words else ""
        if rest:
            yield Piece(text=rest)

    def _before_tag(self) -> tuple[str, bool]:
        """The text that is surely before the tag (taken from the buffer), and whether the tag follows."""
        at = self._buffer.find(self.tag)
        found = at >= 0
        if not found:
            at = len(self._buffer) - held_back(self._buffer, [self.tag])
        before, self._buffer = self._buffer[:at], self._buffer[at:]
        return before, found

    def _is_balanced(self) -> bool:
        """Whether the tag is a bracket that has been closed before any call was found."""
        if self._count or self.tag not in ("{", "["):
            return False
        if self._end < 0 and (span := self._brackets.advance(self._buffer)):
            self._end = span[1]
        return self._end >= 0

    def _waiting(self) -> bool:
        """Whether the buffer ends in the beginning of a tool's name, and one may yet belong to a call."""
        return not self._is_balanced() and held_back(self._buffer, self.names) > 0

    def _call(self, *, at_end: bool = False) -> list[Piece] | None:
        """The next call and the words around it, dropped from the buffer; None when it is not whole yet."""
        while self._object is None:
            span = self._objects.advance(self._buffer)
            if span is None:
                return None
            value = decode_object(self._buffer[span[0] : span[1]])
            if value is not None and self._is_of_another(value, span[1]):
                said, self._buffer = self._buffer[: span[1]], self._buffer[span[1] :]
                self._objects.restart(0)
                return [Piece(text=said)]
            if value is not None:
                self._object = span
        if self._waiting() and not at_end:
            return None
        named = self._name()
        if named is None:
            return None
        name, name_end = named
        start, end = self._object
        value = decode_object(self._buffer[start:end]) or {}
        arguments = find_arguments(name, value)
        if arguments is None:
            return None
        words = self._around((name_end - len(name), name_end), (start, end))
        if has_more(value, name, arguments):
            words += self._buffer[start:end]
        self._buffer = self._buffer[max(end, name_end) :]
        self._object = None
        self._objects.restart(0)
        self._count += 1
        call = Piece(tool_calls=(ToolCall(name=name, arguments=arguments, index=self._count - 1),))
        return [Piece(text=words), call] if words else [call]

    def _is_of_another(self, value: JSONObject, end: int) -> bool:
        """Whether an object calls what was not declared: its arguments are not those of a later name.

        Of tags that are brackets this is asked after the first call only: before it such an object ends the parsing.
        """
        if (self.tag in ("{", "[") and not self._count) or not isinstance(value.get("name"), str):
            return False
        has_arguments = "arguments" in value or "parameters" in value
        return has_arguments and not any(name in self._buffer[:end] for name in self.names)

    def _around(self, *used: tuple[int, int]) -> str:
        """What stands before the end of a call outside the spans `used` and is more than its punctuation."""
        outside, position = [], 0
        for start, end in sorted(used):
            outside.append(self._buffer[position:start] if start > position else "")
            position = max(position, end)
        text = "".join(outside)
        rest = text.replace(self.tag, "", 1)
        return rest.strip() if _ENVELOPE.sub("", _SYNTAX.sub("", rest)) else ""

    def _name(self) -> tuple[str, int] | None:
        """The declared name that stands first (the longest of those), and where it ends."""
        text = self._buffer[: self._end] if self._is_balanced() else self._buffer  # past its end is content
        found = [(text.find(name), -len(name), name) for name in self.names if name in text]
        if not found:
            return None
        at, _, name = min(found)
        return name, at + len(name)


def find_arguments(name: str, value: JSONObject) -> JSONObject | None:
    """The arguments inside an object that describes a call of `name`; None when it has the name but not yet them.

    An object that describes no call is the arguments themselves.
    """
    try:
        found, arguments = _search(name, value)
    except RecursionError:
        return value
    return arguments if found else value


def has_more(value: JSON, name: str, arguments: JSONObject) -> bool:
    """Whether an object that describes a call says anything beside it: a note, a second thought."""
    if value == arguments or value in (name, "function", "tool_call", "", None) or isinstance(value, bool):
        return False
    if isinstance(value, str):
        return decode_object(value) != arguments
    if isinstance(value, list):
        return any(has_more(item, name, arguments) for item in value)
    if isinstance(value, dict):
        return any(
            (key not in _ENVELOPE_KEYS and key != name and not isinstance(item, dict | list))
            or (key not in ("id", "index", "tool_call_id") and has_more(item, name, arguments))
            for key, item in value.items()
        )
    return True


def _search(name: str, value: JSONObject) -> tuple[bool, JSONObject | None]:
    if "name" in value:
        for key in ("arguments", "parameters"):
            arguments = _as_object(value.get(key))
            if arguments is not None:
                return True, arguments
        return True, None
    arguments = _as_object(value.get(name))
    if arguments is not None:
        return True, arguments
    for child in value.values():
        for item in child if isinstance(child, list) else [child]:
            if isinstance(item, dict):
                found, arguments = _search(name, item)
                if found:
                    return True, arguments
    return False, None


def _as_object(value: JSON) -> JSONObject | None:
    """An object, also when it was written as a string."""
    return value if isinstance(value, dict) else decode_object(value) if isinstance(value, str) else None
