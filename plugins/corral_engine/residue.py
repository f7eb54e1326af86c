"""Memory that only a load needed, given back to the system: freed heap, and the pages of LLVM's code."""

import ctypes
import mmap
import re
from pathlib import Path

_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+\s*(.*)")
_LIBRARY = "libllvmlite"


def give_back() -> None:
    """What is dropped comes back by itself when it is used.  Does nothing where the system offers no way."""
    try:
        libc = ctypes.CDLL(None)
        trim, advise = libc.malloc_trim, libc.madvise
        maps = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")
    except (OSError, AttributeError, TypeError):
        return
    trim(0)
    for start, size in untouched(maps, _LIBRARY):
        advise(ctypes.c_void_p(start), ctypes.c_size_t(size), mmap.MADV_DONTNEED)


def untouched(smaps: str, library: str) -> list[tuple[int, int]]:
    """(address, bytes) of the mappings of a library that hold nothing but what its file holds."""
    found: list[tuple[int, int]] = []
    place: tuple[int, int] | None = None
    for line in smaps.splitlines():
        if head := _HEAD.match(line):
            start, end = int(head[1], 16), int(head[2], 16)
            place = (start, end - start) if library in Path(head[3]).name else None
        elif place is not None and line.startswith("Anonymous:") and line.split()[1] == "0":
            found.append(place)
    return found
