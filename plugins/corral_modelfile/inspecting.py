"""On the user's side: what the local files of a Modelfile hold, before any of them is sent."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from corral import ModelInfo
from corral_modelfile import adapters
from corral_modelfile.checks import doubts, unseen
from corral_modelfile.hookspecs import Converter, Describer
from corral_modelfile.local_files import LocalFiles
from corral_modelfile.modelfile import Modelfile
from corral_modelfile.weights import Reader, WeightFile, shards

if TYPE_CHECKING:
    from corral.kernel import Kernel


def inspect(kernel: "Kernel", files: Mapping[str, Path], *, describe: bool = False) -> list[ModelInfo]:
    """What each weight file among `files` holds.  Blocking; the kernel need not be live.

    A split file counts once; files that nothing here reads are passed over: a server may know them.  With `describe`
    a converter is asked what it would make of them.
    Raises FormatError naming the file that is broken, Unsupported what a describer cannot convert.
    """
    converters = _converters(kernel)
    reader = Reader(kernel, converters)
    if describe and not all(map(reader.knows, files.values())):
        describers = (each for each in converters if isinstance(each, Describer) and each.fits(files))
        describer = next(describers, None)
        if describer is not None:
            return [describer.describe(files, kernel)]
    return [file.info for file in _read(reader, files)]


def rehearse(kernel: "Kernel", modelfile: Modelfile, files: LocalFiles, base: ModelInfo) -> list[str]:
    """The checks of a create that need nothing but these files, and its warnings.  Blocking, as `inspect`.

    `base` is the model that adapters are for.  What must be converted first is not looked into.
    Raises BadRequest, FormatError, Unsupported for what create would refuse.
    """
    modelfile.fields()
    template = modelfile.last("template")
    if template and "go" in kernel.templates:
        kernel.templates["go"].compile(template)
    reader = Reader(kernel, _converters(kernel))
    read = [] if files.base else _read(reader, files.files)
    models = [file for file in read if file.info.kind == "model"]
    projectors = [file for file in read if file.info.kind == "projector"]
    warnings = [t for file in models[:1] for t in (*doubts(kernel, reader, file), *unseen(kernel, file, projectors))]
    for group in adapters.grouped({name: name for name in files.adapters}):
        paths = {name: files.adapters[name] for name in group}
        if paths and reader.converter(paths) is None:
            for file in _read(reader, paths):
                adapters.check(file, base)
    for draft in _read(reader, files.draft_files):
        for model in models[:1]:
            warnings += doubts(kernel, reader, draft, model)
    return warnings


def _converters(kernel: "Kernel") -> list[Converter]:
    return [converter for _, converter in kernel.plugins.offers("corral_model_converters")]


def _read(reader: Reader, files: Mapping[str, Path]) -> list[WeightFile]:
    """The files that a loader reads as they are; of a split one the first, which leads to the others."""
    sets, whole = shards({name: path for name, path in files.items() if reader.knows(path)})
    first = {min(found): found[min(found)] for found in sets.values()}
    return [reader.read(name, path) for name, path in (whole | first).items()]
