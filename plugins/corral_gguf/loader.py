"""The loader: one file, or all parts of a split one."""

import re
from pathlib import Path

from corral import FormatError
from corral_gguf.constants import MAGIC
from corral_gguf.info import Keys
from corral_gguf.reader import Metadata
from corral_gguf.weights import GgufWeights, Part

_SPLIT_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_MAX_PARTS = 99_999  # the name has five digits
_SPLIT_KEYS = "split."


class GgufLoader:
    """Opens GGUF files.  `use_mmap` false reads them into memory instead of mapping them."""

    name = "gguf"

    def __init__(self, *, use_mmap: bool = True) -> None:
        self._use_mmap = use_mmap

    def sniff(self, head: bytes) -> bool:
        """The magic in either byte order, so that `open` can say what is wrong with the other one."""
        return bytes(head[:4]) in (MAGIC, MAGIC[::-1])

    def open(self, path: Path) -> GgufWeights:
        """Raises FormatError when any part is not a valid GGUF, and when a part is missing or of another model."""
        parts: list[Part] = []
        try:
            parts.append(self._open_part(path))
            keys = Keys(path, parts[0].header.metadata)
            n_parts = keys.integer("split.count", 1)
            if n_parts > 1:
                self._open_others(path, keys, n_parts, parts)
            return GgufWeights(path, parts, _without_split_keys(parts[0].header.metadata, n_parts))
        except FormatError:
            for part in parts:
                part.close()
            raise

    def _open_part(self, path: Path) -> Part:
        if not path.is_file():  # opening a pipe would wait for ever
            raise FormatError(f"{path.name}: is missing, or not a file")
        try:
            return Part(path, use_mmap=self._use_mmap)
        except OSError as err:
            raise FormatError(f"{path.name}: cannot be read: {err.strerror or err}") from err

    def _open_others(self, path: Path, first: Keys, n_parts: int, parts: list[Part]) -> None:
        match = _SPLIT_NAME.fullmatch(path.name)
        if match is None or int(match[3]) != n_parts or n_parts > _MAX_PARTS:
            raise FormatError(
                f"split GGUF {path.name}: part of {n_parts}, so it must be named PREFIX-00001-of-{n_parts:05d}.gguf"
            )
        if int(match[2]) != 1 or first.integer("split.no") != 0:
            raise FormatError(f"split GGUF {path.name}: open part 1, {match[1]}-00001-of-{match[3]}.gguf")
        seen = dict.fromkeys(parts[0].header.tensors, path.name)
        for number in range(1, n_parts):
            part = self._open_part(path.with_name(f"{match[1]}-{number + 1:05d}-of-{match[3]}.gguf"))
            parts.append(part)
            keys = Keys(part.path, part.header.metadata)
            if keys.integer("split.no", -1) != number or keys.integer("split.count", -1) != n_parts:
                raise FormatError(f"split GGUF {part.path.name}: split.no or split.count do not agree with its name")
            for name in part.header.tensors:
                if name in seen:
                    raise FormatError(f"split GGUF {part.path.name}: tensor {name!r} is already in {seen[name]}")
                seen[name] = part.path.name
        wanted = first.integer("split.tensors.count", len(seen))
        if wanted != len(seen):
            raise FormatError(f"split GGUF {path.name}: the parts hold {len(seen)} tensors, not {wanted}")


def _without_split_keys(metadata: Metadata, n_parts: int) -> Metadata:
    """The metadata of the whole model: a merged file is not split."""
    if n_parts <= 1:
        return metadata
    kept = [key for key in metadata if not key.startswith(_SPLIT_KEYS)]
    return Metadata({key: metadata[key] for key in kept}, {key: metadata.types[key] for key in kept})
