"""Memory for packed weights, and giving back the pages of the file they came from."""

import mmap

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_ALIGNMENT = 64
_HUGE_PAGE = 1 << 21


class Arena:
    """One anonymous mapping, on huge pages where the system has them, handed out piece by piece."""

    def __init__(self, n_bytes: int) -> None:
        size = max(n_bytes, 1) + _HUGE_PAGE
        # Shared memory, which `mmap` makes unless told otherwise, seldom gets huge pages.
        private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
        self._map = mmap.mmap(-1, size, **private)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self._map.madvise(mmap.MADV_HUGEPAGE)
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._next = -self._bytes.ctypes.data % _ALIGNMENT

    def take(self, n_bytes: int) -> Bytes:
        """The next `n_bytes` zeroed bytes, aligned to 64."""
        piece = self._bytes[self._next : self._next + n_bytes]
        self._next += padded(n_bytes)
        return piece


def padded(n_bytes: int) -> int:
    """What `take` uses up for a piece of `n_bytes`."""
    return -(-n_bytes // _ALIGNMENT) * _ALIGNMENT


def forget(data: Bytes) -> None:
    """Let the system drop the memory behind a view of a file mapped for reading; it comes back when it is read."""
    base: object = data
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    owner = base.obj if isinstance(base, memoryview) else base
    if not isinstance(owner, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED") or data.flags.writeable:
        return
    start = data.ctypes.data - np.frombuffer(owner, np.uint8).ctypes.data
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (start + data.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first:
        owner.madvise(mmap.MADV_DONTNEED, first, last - first)
