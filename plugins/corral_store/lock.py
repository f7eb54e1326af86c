"""One lock for all processes that share a store: held while a manifest is swapped or blobs are removed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from corral import CorralError

FILE = "corral.lock"
LAYOUT = 1  # what this version writes; a store of a later one is only read


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the store.  Blocks, so call it off the event loop.  Raises OSError, and CorralError for a newer store."""
    with (root / FILE).open("a+b") as file:
        _lock(file)
        file.seek(0)
        text = file.read(16).strip()
        if not text:
            file.write(b"%d\n" % LAYOUT)
        elif not text.isdigit() or int(text) > LAYOUT:
            raise CorralError(
                f"the store {root} was written by a newer Corral, so this one only reads it: update Corral",
                code="store_error",
            )
        yield  # closing the file releases the lock


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
