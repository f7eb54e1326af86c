"""Whether several GGUF files are parts of one model: shards of a split file, and projectors beside it."""

import re
from collections.abc import Iterable

_SHARD = re.compile(r"(.*)-[0-9]{5}-of-([0-9]{5})\.gguf", re.IGNORECASE | re.DOTALL)


def is_one_model(names: Iterable[str]) -> bool:
    """Judged by file names: projectors are called mmproj, shards `PREFIX-00001-of-0000N.gguf`."""
    models = set()
    for name in names:
        match = _SHARD.fullmatch(name)
        if "mmproj" not in name.lower():
            models.add(match.groups() if match else name)
    return len(models) == 1
