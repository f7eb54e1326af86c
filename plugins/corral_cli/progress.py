"""Progress of long operations on stderr: bars on a terminal, elsewhere one plain line per new status."""

import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Protocol

from corral import JSONObject

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress as Display, Task, TaskID


class Progress(Protocol):
    """Where statuses go.  `key` names the operation a byte count belongs to; a `total` of 0 means no count."""

    def show(self, status: str, *, key: str = "", total: int = 0, completed: int = 0) -> None: ...
    def copying(self, digest: str, total: int, completed: int) -> None:
        """A file on its way to the server."""
        ...


class Lines:
    """For files and pipes: each new status once, byte counts not at all."""

    def __init__(self) -> None:
        self._last = ""
        self._copied: set[str] = set()

    def show(self, status: str, *, key: str = "", total: int = 0, completed: int = 0) -> None:
        """Print `status` unless it was the last one printed."""
        if status != self._last:
            print(status, file=sys.stderr, flush=True)
            self._last = status

    def copying(self, digest: str, total: int, completed: int) -> None:
        """Print a line once all of the file has left."""
        if completed >= total and digest not in self._copied:
            self._copied.add(digest)
            self.show(copying_status(digest, total, completed))


class Bars:
    """For terminals: a bar for every operation with a byte count, a spinner for the rest."""

    def __init__(self, display: "Display") -> None:
        self._display = display
        self._bars: dict[str, TaskID] = {}
        self._spinner: TaskID | None = None
        self._status = ""

    def show(self, status: str, *, key: str = "", total: int = 0, completed: int = 0) -> None:
        """Draw or move on; a spinner stops when the next status comes."""
        if status != self._status:
            self.stop_spinner()
            self._status = status
            if not total:
                self._spinner = self._display.add_task(status, total=None, counted=False)
        if total and key not in self._bars:
            self._bars[key] = self._display.add_task(f"{status}:", total=total, completed=completed, counted=True)
        elif total:
            self._display.update(self._bars[key], completed=completed, total=total)

    def copying(self, digest: str, total: int, completed: int) -> None:
        """One line a file, which counts up to 100 %."""
        if digest not in self._bars:
            self._bars[digest] = self._display.add_task("", total=max(total, 1), counted=False)
        status = copying_status(digest, total, completed)
        self._display.update(self._bars[digest], description=status, completed=completed if total else 1)

    def stop_spinner(self) -> None:
        """The status that spins is done."""
        if self._spinner is not None:
            self._display.update(self._spinner, total=1, completed=1)
            self._spinner = None


def copying_status(digest: str, total: int, completed: int) -> str:
    """`copying file sha256:… N%`."""
    return f"copying file {digest} {completed * 100 // total if total else 100}%"


@contextmanager
def progress() -> Iterator[Progress]:
    """A display for as long as the block runs."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    with _display() as display:
        bars = Bars(display)
        yield bars
        bars.stop_spinner()


def _display() -> "Display":
    from rich import progress as rich
    from rich.console import Console
    from rich.text import Text

    class Counted(rich.ProgressColumn):
        """Another column, empty for what has no byte count."""

        def __init__(self, column: rich.ProgressColumn) -> None:
            super().__init__()
            self._column = column

        def render(self, task: "Task") -> "RenderableType":
            return self._column(task) if task.fields["counted"] else Text("")

    sizes = (rich.DownloadColumn(), rich.TransferSpeedColumn(), rich.TimeRemainingColumn())
    text = (rich.SpinnerColumn(finished_text=" "), rich.TextColumn("{task.description}", markup=False))
    return rich.Progress(*text, *map(Counted, (rich.BarColumn(bar_width=30), *sizes)), console=Console(stderr=True))


async def follow(answers: AsyncGenerator[JSONObject, None], display: Progress) -> None:
    """Show the statuses of a pull, push or create to their end.  Raises what the server says went wrong."""
    async with aclosing(answers):
        async for answer in answers:
            status, digest = str(answer.get("status", "")), str(answer.get("digest", ""))
            total, completed = answer.get("total") or 0, answer.get("completed") or 0
            if digest and total and not completed:
                continue  # nothing has moved yet
            if status:
                display.show(status, key=digest, total=total, completed=completed)
