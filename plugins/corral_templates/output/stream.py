"""Finding tags in text that arrives in pieces: what may be said now, what must wait."""

from collections.abc import Iterable


def held_back(text: str, tags: Iterable[str]) -> int:
    """How many characters at the end of `text` may be the beginning of one of `tags`."""
    longest = 0
    for tag in tags:
        for length in range(min(len(tag) - 1, len(text)), longest, -1):
            if text.endswith(tag[:length]):
                longest = length
                break
    return longest


def earliest(text: str, tags: Iterable[str]) -> tuple[int, str] | None:
    """Where the first of `tags` begins, and which it is (the longest of those that begin there)."""
    found = [(text.find(tag), -len(tag), tag) for tag in tags if tag in text]
    if not found:
        return None
    position, _, tag = min(found)
    return position, tag


class Until:
    """Collects text up to an end tag.  Linear however small the pieces are."""

    def __init__(self, end: str) -> None:
        self.end = end
        self._parts: list[str] = []
        self._tail = ""

    @property
    def text(self) -> str:
        """All that was collected, without the end tag."""
        return "".join(self._parts)

    def push(self, text: str) -> str | None:
        """The text after the end tag, once it has come; None before."""
        window = self._tail + text
        at = window.find(self.end)
        if at < 0:
            self._parts.append(text)
            keep = len(self.end) - 1
            self._tail = window[-keep:] if keep else ""
            return None
        collected = self.text + text
        end_at = len(collected) - len(window) + at
        self._parts = [collected[:end_at]]
        return collected[end_at + len(self.end) :]
