"""Properties that follow from those of other rules: which may be empty, which ever end."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

K = TypeVar("K")


def settle(depends: Mapping[K, Iterable[K]], holds: Callable[[K, set[K]], bool]) -> set[K]:
    """The keys for which `holds(key, those for which it is known to hold)`, which more known keys never make false.

    `depends`: what each key's answer rests on.  Each is asked once, and again when one of those has come to hold.
    """
    users: dict[K, set[K]] = {key: set() for key in depends}
    for key, others in depends.items():
        for other in others:
            users[other].add(key)
    settled: set[K] = set()
    todo = [*depends]
    while todo:
        key = todo.pop()
        if key not in settled and holds(key, settled):
            settled.add(key)
            todo += users[key] - settled
    return settled
