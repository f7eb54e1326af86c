"""Tool calls written in a notation of their own between a start and an end tag."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from corral import JSONObject, Piece, Tool, ToolCall
from corral_templates.output.stream import Until, earliest, held_back


class Call(NamedTuple):
    """A call as it was written.  `beside`: words that stood there and are no part of any call."""

    name: str
    arguments: JSONObject
    beside: str = ""


Reader = Callable[[str, Mapping[str, Tool]], Sequence[Call] | None]  # a section's text → its calls; None: not readable


class SectionCalls:
    """Content outside sections, calls inside.  A section that cannot be read, or calls what no tool is, is content.

    `ends` maps each start tag to its end tag; `markers` are tags that mean nothing and are dropped;
    `inner` are those that stand within a section.
    """

    answer_after = thinking_opens = ""
    thinking_span: tuple[str, str, str] | None = None

    def __init__(
        self,
        ends: Mapping[str, str],
        read: Reader,
        tools: Sequence[Tool],
        markers: Sequence[str] = (),
        inner: Sequence[str] = (),
    ) -> None:
        self._ends, self._read, self._markers = ends, read, markers
        self._tags = (*ends, *markers)
        self.tags: tuple[str, ...] = (*self._tags, *ends.values(), *inner)
        self._tools = {tool.name: tool for tool in tools}
        self._held = ""
        self._section: Until | None = None
        self._start = ""
        self._count = 0

    def push(self, text: str) -> Iterable[Piece]:
        """Content at once, a section's calls when it ends."""
        pieces: list[Piece] = []
        rest: str | None = text
        while rest is not None:
            rest = self._inside(self._section, rest, pieces) if self._section else self._outside(rest, pieces)
        return pieces

    def finish(self) -> Iterable[Piece]:
        """What was held back, and a section without an end."""
        pieces: list[Piece] = []
        if self._section:
            self._end_section(self._section.text, "", pieces)
        elif self._held and not (self._count and self._held.isspace()):
            pieces.append(Piece(text=self._held))
        self._held, self._section = "", None
        return pieces

    def _outside(self, text: str, pieces: list[Piece]) -> str | None:
        """Says content; returns the text after a tag."""
        self._held += text
        found = earliest(self._held, self._tags)
        at = found[0] if found else len(self._held) - self._uncertain()
        content, self._held = self._held[:at], self._held[at:]
        if content and not (found and self._count and content.isspace()):
            pieces.append(Piece(text=content))
        if found is None:
            return None
        tag = found[1]
        rest, self._held = self._held[len(tag) :], ""
        if tag in self._ends:
            self._start, self._section = tag, Until(self._ends[tag])
        return rest

    def _uncertain(self) -> int:
        """How much of the end must wait: the beginning of a tag, and after a call the blanks before the next."""
        keep = held_back(self._held, self._tags)
        if self._count:
            before = self._held[: len(self._held) - keep]
            keep += len(before) - len(before.rstrip())
        return keep

    def _inside(self, section: Until, text: str, pieces: list[Piece]) -> str | None:
        """Collects the section; returns the text after its end."""
        rest = section.push(text)
        if rest is not None:
            self._section = None
            self._end_section(section.text, section.end, pieces)
        return rest

    def _end_section(self, body: str, end: str, pieces: list[Piece]) -> None:
        calls = self._read(body, self._tools)
        if not calls or any(call.name not in self._tools for call in calls):
            pieces.append(Piece(text=self._start + body + end))
            return
        for call in calls:
            if call.beside:
                pieces.append(Piece(text=call.beside))
            numbered = ToolCall(name=call.name, arguments=call.arguments, index=self._count)
            self._count += 1
            pieces.append(Piece(tool_calls=(numbered,)))
