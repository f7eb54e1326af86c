"""Progress of long operations on stderr: bars on a terminal, elsewhere one plain line per new status."""

import sys
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Protocol

from corral import JSONObject

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as Display, TaskID

_BAR_COLUMNS = 30
_WIDE_COLUMNS = 70  # below, a bar shows neither speed nor time


class Progress(Protocol):
    """Where statuses go.  `key` names the operation a byte count belongs to.

    A `total` of 0 means no count, or, where bytes are `completed`, that nobody knows how many there will be.
    """

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
        """Draw or move on.  A spinner becomes the bar of its status, and stops when the next status comes."""
        key = key or status
        if not total and not completed:
            if status != self._status:
                self.finish()
                self._spinner = self._display.add_task(status, total=None, counted=False)
        elif key in self._bars:
            self._display.update(self._bars[key], completed=completed, total=total or None)
        else:
            self._bars[key] = self._new_bar(status)
            self._display.update(
                self._bars[key], description=f"{status}:", completed=completed, total=total or None, counted=True
            )
        self._status = status

    def _new_bar(self, status: str) -> "TaskID":
        if self._spinner is None or status != self._status:
            self._stop_spinner()
            return self._display.add_task(status, total=None, counted=True)
        spinner, self._spinner = self._spinner, None
        return spinner

    def copying(self, digest: str, total: int, completed: int) -> None:
        """One line a file, which counts up to 100 %."""
        if digest not in self._bars:
            self._bars[digest] = self._display.add_task("", total=max(total, 1), counted=False)
        status = copying_status(digest, total, completed)
        self._display.update(self._bars[digest], description=status, completed=completed if total else 1)

    def finish(self) -> None:
        """All that is on show is done: estimates were off by what is missing, unknown totals are what came."""
        self._stop_spinner()
        for task in self._display.tasks:
            if not task.finished:
                total = task.completed if task.total is None else task.total
                self._display.update(task.id, total=total, completed=total)

    def _stop_spinner(self) -> None:
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
    from rich.console import Console

    with rows(Console(stderr=True)) as display:
        bars = Bars(display)
        yield bars
        bars.finish()


def rows(console: "Console", *, auto_refresh: bool = True) -> "Display":
    """A display in which every task has a row to itself, so that a long line takes no room from another's bar."""
    from rich import progress as rich
    from rich.table import Column, Table

    def unbroken() -> Column:
        return Column(no_wrap=True, overflow="ellipsis")

    spinner = rich.SpinnerColumn(finished_text=" ")
    line = (spinner, rich.TextColumn("{task.description}", markup=False, table_column=Column()))  # may wrap
    bar = (
        spinner,
        rich.TextColumn("{task.description}", markup=False, table_column=unbroken()),
        rich.BarColumn(bar_width=None, table_column=Column(max_width=_BAR_COLUMNS)),  # the one that may shrink
        rich.DownloadColumn(table_column=unbroken()),
    )
    pace = (rich.TransferSpeedColumn(table_column=unbroken()), rich.TimeRemainingColumn(table_column=unbroken()))

    class Rows(rich.Progress):
        def get_renderables(self) -> "Iterable[RenderableType]":
            wide = (*bar, *pace) if console.width >= _WIDE_COLUMNS else bar
            for task in self.tasks:
                columns = wide if task.fields["counted"] else line
                table = Table.grid(*(column.get_table_column().copy() for column in columns), padding=(0, 1))
                table.add_row(*(column(task) for column in columns))
                yield table

    return Rows(console=console, auto_refresh=auto_refresh)


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
