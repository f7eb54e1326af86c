"""What was compiled lately, within a number of bytes."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class ByteCache(Generic[T]):
    """Forgets what was used longest ago when it holds more than `max_bytes`.  Any thread may use it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[T, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> T | None:
        """What is kept under `key`; it becomes the latest."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: str, value: T, size_bytes: int) -> None:
        """Keep `value`, unless it alone is too large."""
        with self._lock:
            self._forget(key)
            if size_bytes > self.max_bytes:
                return
            self._entries[key] = value, size_bytes
            self.size_bytes += size_bytes
            while self.size_bytes > self.max_bytes:
                self._forget(next(iter(self._entries)))

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size_bytes -= entry[1]
