"""The tensors of a checkpoint, in one file or in shards, read piece by piece."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from corral import FormatError
from corral_safetensors.documents import Documents
from corral_safetensors.dtypes import STORED, Raw
from corral_safetensors.header import StoredTensor, read_header

_SUFFIX = ".safetensors"
_INDEX = ".safetensors.index.json"
_SHARD = re.compile(r"(.+)-([0-9]{1,9})-of-([0-9]{1,9})\.safetensors")

Tensors = Mapping[str, StoredTensor]


def open_checkpoint(documents: Documents, prefix: str = "") -> Tensors:
    """All tensors by name, of the files in the top folder whose names begin with `prefix`.

    Raises FormatError: a shard or a tensor of the index that is missing, a tensor that is there twice, a broken file.
    """
    names = sorted(name for name in documents.files if name.endswith(_SUFFIX) and "/" not in name)
    names = [name for name in names if name.startswith(prefix)]
    index = next((name for name in sorted(documents.files) if name.endswith(_INDEX) and "/" not in name), "")
    weight_map = _weight_map(documents, index) if index else {}
    wanted = sorted(set(weight_map.values())) or names
    for name in wanted:
        if name not in names:
            raise FormatError(f"{index}: {name!r:.100} is missing" if index else f"{name} is missing")
    if not index:
        _check_shards(wanted)
    tensors: dict[str, StoredTensor] = {}
    for name in wanted:
        for tensor in _read(name, documents.files[name]).values():
            if tensor.name in tensors:
                raise tensor.wrong(f"it is in {tensors[tensor.name].file}, too")
            tensors[tensor.name] = tensor
    for name, file in weight_map.items():
        if name not in tensors or tensors[name].file != file:
            raise FormatError(f"{index}: tensor {name!r:.100} is not in {file}")
    return tensors


def _read(name: str, path: Path) -> dict[str, StoredTensor]:
    try:
        return read_header(name, path)
    except OSError as err:
        raise FormatError(f"{name}: cannot be read: {err.strerror}") from err


def _weight_map(documents: Documents, index: str) -> dict[str, str]:
    found = documents.object(index).child("weight_map")
    for tensor, file in found.values.items():
        if not isinstance(file, str) or "/" in file or "\\" in file or not file.endswith(_SUFFIX):
            raise FormatError(f"{index}: tensor {tensor!r:.100} is said to be in {file!r:.100}, which is no file name")
    if not found.values:
        raise FormatError(f"{index}: it names no tensors")
    return dict(found.values)


def _check_shards(names: list[str]) -> None:
    """Without an index, the names of shards say how many there are."""
    shards: dict[tuple[str, str], dict[int, str]] = {}
    for name in names:
        if match := _SHARD.fullmatch(name):
            shards.setdefault((match[1], match[3]), {})[int(match[2])] = match[2]
    for (prefix, count), found in shards.items():
        missing = next((number for number in range(1, int(count) + 1) if number not in found), 0)
        if missing:
            width = len(next(iter(found.values())))
            raise FormatError(f"{prefix}-{missing:0{width}d}-of-{count}{_SUFFIX} is missing")


def read_elements(tensor: StoredTensor, start: int, stop: int) -> Raw:
    """Elements `start` to `stop` in the order of the file.  Raises FormatError when the file has shrunk."""
    kind = np.dtype(STORED[tensor.dtype])
    with tensor.path.open("rb") as file:
        file.seek(tensor.start + start * kind.itemsize)
        found: Raw = np.fromfile(file, kind, stop - start)
    if len(found) != stop - start:
        raise tensor.wrong("the file ends before it does")
    return found


def read_all(tensor: StoredTensor) -> Raw:
    """The whole tensor in its shape: for small ones."""
    count = tensor.size_bytes // np.dtype(STORED[tensor.dtype]).itemsize
    return read_elements(tensor, 0, count).reshape(tensor.shape)
