"""Weight files in the store: what each one is, whole models out of split ones, other formats converted."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from corral import BadRequest, FormatError, Loader, ModelInfo, Progress, Unsupported, Value, Weights
from corral_modelfile.hookspecs import Converted, Converter
from corral_modelfile.work import ShouldStop, Stopped, Tell

if TYPE_CHECKING:
    from corral.kernel import Kernel

_SHARD = re.compile(r"(?:.*/)?([^/]+)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_GGUF = b"GGUF"
_HEAD_BYTES = 64
_COPY_BYTES = 4 << 20
_VOCABULARY = "tokenizer.ggml.tokens"


class WeightFile(Value, frozen=True):
    """A file whose structure was checked.  `name` is the user's word for it, `format` the loader's name."""

    name: str
    path: Path
    info: ModelInfo
    format: str


class Reader:
    """Opens files with the kernel's loaders and turns what they do not read into what they do."""

    def __init__(self, kernel: "Kernel", converters: Sequence[Converter]) -> None:
        self._kernel = kernel
        self._converters = converters

    def paths(self, files: Mapping[str, str]) -> dict[str, Path]:
        """Where the blobs are.  Raises BadRequest for a bad digest or a blob that is not there."""
        store = self._kernel.store
        for digest in files.values():
            if not store.has(digest):
                raise BadRequest(f'blob "{digest}" not found: upload it first')
        return {name: store.path(digest) for name, digest in files.items()}

    def converter(self, files: Mapping[str, Path]) -> Converter | None:
        """The converter these files need, None when a loader reads each of them.

        Raises Unsupported without the converter, BadRequest when nothing knows the files.
        """
        safetensors = any(name.lower().endswith(".safetensors") for name in files)
        strangers = [name for name, path in files.items() if self._loader(path) is None]
        if files and not safetensors and not strangers:
            return None
        for converter in self._converters:
            if converter.fits(files):
                return converter
        if safetensors:
            raise Unsupported(f"converting safetensors needs the plugin safetensors{self._kernel.plugins.hint}")
        for name in strangers:
            if name.lower().endswith(".gguf"):
                raise self._unread(name, files[name])
        names = ", ".join(sorted(strangers))[:200]
        raise BadRequest(f"unknown type: nothing here reads {names}" if names else "unknown type")

    def knows(self, path: Path) -> bool:
        """Whether a loader reads this file as it is.  Raises FormatError when it cannot be read at all."""
        return self._loader(path) is not None

    def read(self, name: str, path: Path) -> WeightFile:
        """Check a whole file, its vocabulary too, and close it again.  Blocking.  Raises FormatError, BadRequest."""
        loader = self._loader(path)
        if loader is None:
            raise self._unread(name, path)
        try:
            weights = loader.open(path)
            try:
                if _VOCABULARY in weights.info.metadata:
                    weights.vocab()
                return WeightFile(name=name, path=path, info=weights.info, format=loader.name)
            finally:
                weights.close()
        except FormatError as err:
            raise FormatError(err.message.replace(path.name, name)) from err

    def open(self, file: WeightFile) -> Weights:
        """Open a checked file again; the caller closes it."""
        loader = self._loader(file.path)
        if loader is None:
            raise FormatError(f"{file.name}: changed while the model was made")
        return loader.open(file.path)

    def _loader(self, path: Path) -> Loader | None:
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
        except OSError as err:
            raise FormatError(f"{path.name}: cannot be read: {err.strerror}") from err
        return next((loader for loader in self._kernel.loaders.values() if loader.sniff(head)), None)

    def _unread(self, name: str, path: Path) -> BadRequest:
        """Why no loader reads a file: it is no weights, or the plugin that would is off."""
        with path.open("rb") as file:
            is_gguf = file.read(len(_GGUF)) == _GGUF
        if is_gguf or "gguf" not in self._kernel.loaders:
            return Unsupported(f"no loader here reads {name} (there is {self._kernel.loaders.there_is})")
        return BadRequest(f"supplied file was not in GGUF format: {name}")

    def merge(self, shards: Mapping[str, Path], folder: Path, tell: Tell, should_stop: ShouldStop) -> Path:
        """One file of all shards of a split one, written into `folder`.  Blocking.  Raises FormatError."""
        from corral_gguf.writer import TensorSource, write_gguf

        linked = {}
        for name, path in shards.items():
            linked[name] = folder / Path(name).name
            linked[name].hardlink_to(path)
        first, *others = (linked[name] for name in sorted(linked))
        loader = self._loader(first)
        if loader is None:
            raise self._unread(first.name, first)
        for other in others:
            _require_shard(loader, other)
        weights = loader.open(first)
        try:
            total, done = sum(tensor.size_bytes for tensor in weights.info.tensors), 0

            def copied(name: str) -> Iterable[memoryview]:
                nonlocal done
                data = weights.tensor(name).data
                for start in range(0, data.nbytes, _COPY_BYTES):
                    if should_stop():
                        raise Stopped("merging was stopped")
                    yield data[start : start + _COPY_BYTES]
                    done += min(_COPY_BYTES, data.nbytes - start)
                    tell(Progress(status="merging split GGUF", total_bytes=total, completed_bytes=done))

            merged = folder / "merged.gguf"
            sources = [TensorSource(tensor, partial(copied, tensor.name)) for tensor in weights.info.tensors]
            write_gguf(merged, weights.info.metadata, sources)
        finally:
            weights.close()
        return merged

    def convert(
        self,
        converter: Converter,
        files: Mapping[str, Path],
        folder: Path,
        base: ModelInfo | None,
        tell: Tell,
        should_stop: ShouldStop,
    ) -> Converted:
        """Run a converter.  Blocking.  Raises FormatError when it wrote nothing."""
        converted = converter.convert(files, folder, base=base, progress=tell, should_stop=should_stop)
        if not converted.weights:
            raise FormatError(f"the converter {converter.name} found no weights in {', '.join(sorted(files))}")
        return converted


def _require_shard(loader: Loader, path: Path) -> None:
    """A later shard cannot be opened by itself; a file that can only has the name of one."""
    try:
        loader.open(path).close()
    except FormatError:
        return
    raise FormatError(f"split GGUF {path.name}: by its metadata it is no shard; give the file another name")


def shards(files: Mapping[str, Path]) -> tuple[dict[str, dict[str, Path]], dict[str, Path]]:
    """(complete sets of shards by their common name, all other files).  Raises FormatError for an incomplete set."""
    sets: dict[tuple[str, int], dict[str, Path]] = {}
    others = {}
    for name, path in files.items():
        match = _SHARD.fullmatch(name)
        if match and int(match[3]) > 1:
            sets.setdefault((match[1], int(match[3])), {})[name] = path
        else:
            others[name] = path
    for (prefix, count), found in sets.items():
        numbers = sorted(int(match[2]) for name in found if (match := _SHARD.fullmatch(name)))
        if numbers != list(range(1, count + 1)):
            raise FormatError(f"split GGUF {prefix}: {count} shards are needed, these are there: {numbers}")
    return {prefix: found for (prefix, _), found in sets.items()}, others
