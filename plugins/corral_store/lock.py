"""One lock for all processes that share a store: held while a manifest is swapped or blobs are removed."""

import errno
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
        take(file)
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


def take(file: IO[bytes], *, wait: bool = True) -> bool:
    """Lock a file until it is closed, by its process's end too.  False: another has it, and we did not `wait`."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as err:
        if wait or err.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            raise
        return False
    return True
