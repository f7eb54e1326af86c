"""Open files: a tensor is a view of the mapped bytes."""

import mmap
import weakref
from pathlib import Path

from corral import FormatError, ModelInfo, Tensor, Vocab
from corral_gguf.info import model_info
from corral_gguf.reader import Header, Metadata, read_header
from corral_gguf.vocab import read_vocab


class Part:
    """One file, mapped (or read) and its header checked."""

    def __init__(self, path: Path, *, use_mmap: bool) -> None:
        self.path = path
        self._map = _map(path) if use_mmap else path.read_bytes()
        self.data = memoryview(self._map)
        try:
            self.header: Header = read_header(path, self.data)
        except FormatError:
            self.close()
            raise

    def close(self) -> None:
        """Unmap at once, or, when somebody still uses a view, as soon as the last one is gone."""
        self.data.release()
        if isinstance(self._map, mmap.mmap):
            try:
                self._map.close()
            except BufferError:
                self._map = b""


def _map(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        # An empty file cannot be mapped; the header check says what is wrong with it.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


class GgufWeights:
    """The `Weights` of a GGUF file or of all parts of a split one."""

    def __init__(self, path: Path, parts: list[Part], metadata: Metadata) -> None:
        self._path = path
        self._parts = parts
        self._metadata = metadata
        self._where = {name: (part, placed) for part in parts for name, placed in part.header.tensors.items()}
        self._info = model_info(path, metadata, tuple(placed.info for _, placed in self._where.values()))
        self._views: list[weakref.ref[memoryview]] = []
        self._closed = False

    @property
    def path(self) -> Path:
        return self._path

    @property
    def info(self) -> ModelInfo:
        return self._info

    def vocab(self) -> Vocab:
        """Raises FormatError when a required key is missing or inconsistent."""
        return read_vocab(self._path, self._metadata)

    def tensor(self, name: str) -> Tensor:
        """A read-only view.  Raises FormatError when there is no such tensor or the file is closed."""
        if self._closed:
            raise FormatError(f"{self._path.name}: the file is closed")
        if name not in self._where:
            raise FormatError(f"{self._path.name}: the file has no tensor {name!r}")
        part, placed = self._where[name]
        view = part.data[placed.start : placed.start + placed.info.size_bytes]
        self._views.append(weakref.ref(view))
        return Tensor(info=placed.info, data=view)

    def close(self) -> None:
        """End every view.  What is still read through another buffer (an array) stays mapped until that is gone."""
        if self._closed:
            return
        self._closed = True
        for reference in self._views:
            view = reference()
            if view is not None:
                _release(view)
        self._views.clear()
        for part in self._parts:
            part.close()


def _release(view: memoryview) -> None:
    try:
        view.release()
    except BufferError:
        return  # exported to an array: it keeps the bytes alive
