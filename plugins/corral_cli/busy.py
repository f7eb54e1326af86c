"""What a server inside a command is busy with, for whoever waits for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Busy:
    """Passes words on to those who listen; a client of a server elsewhere has one that is always silent."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[str], None]] = []

    def say(self, text: str) -> None:
        """From any thread; empty when it is done."""
        for tell in tuple(self._listeners):
            tell(text)

    @contextmanager
    def listening(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Call `tell`, from the thread that says it, while the block runs."""
        self._listeners.append(tell)
        try:
            yield
        finally:
            self._listeners.remove(tell)
