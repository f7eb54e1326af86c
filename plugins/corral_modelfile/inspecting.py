"""On the user's side: what the local files of a Modelfile hold, before any of them is sent."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from corral import ModelInfo
from corral_modelfile.hookspecs import Describer
from corral_modelfile.weights import Reader, shards

if TYPE_CHECKING:
    from corral.kernel import Kernel


def inspect(kernel: "Kernel", files: Mapping[str, Path], *, describe: bool = False) -> list[ModelInfo]:
    """What each weight file among `files` holds.  Blocking; the kernel need not be live.

    A split file counts once; files that nothing here reads are passed over: a server may know them.  With `describe`
    a converter is asked what it would make of them.
    Raises FormatError naming the file that is broken, Unsupported what a describer cannot convert.
    """
    converters = [converter for _, converter in kernel.plugins.offers("corral_model_converters")]
    reader = Reader(kernel, converters)
    known = {name: path for name, path in files.items() if reader.knows(path)}
    if describe and len(known) < len(files):
        describers = (each for each in converters if isinstance(each, Describer) and each.fits(files))
        describer = next(describers, None)
        if describer is not None:
            return [describer.describe(files, kernel)]
    sets, whole = shards(known)
    first = {min(found): found[min(found)] for found in sets.values()}
    return [reader.read(name, path).info for name, path in (whole | first).items()]
