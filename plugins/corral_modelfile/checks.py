"""What keeps a model from running, as the plugins that run models know it."""

from collections.abc import Iterable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from corral import FormatError, Unsupported
from corral_modelfile.weights import Reader, WeightFile

if TYPE_CHECKING:
    from corral.kernel import Kernel


def doubts(kernel: "Kernel", reader: Reader, file: WeightFile, larger: WeightFile | None = None) -> list[str]:
    """Warnings of a model that cannot be run here.  Blocking.

    Raises FormatError, Unsupported for one that lies about itself or cannot draft for the `larger` one.
    """
    found = []
    for _, check in kernel.plugins.offers("corral_model_checks"):
        with ExitStack() as stack:
            opened = [stack.enter_context(closing(reader.open(each))) for each in (file, larger) if each]
            try:
                text = check.check(*opened)
            except (FormatError, Unsupported) as err:
                message = err.message.removeprefix(f"{file.path.name}: ")
                raise type(err)(f"{file.name}: {message}") from err
        if text:
            found.append(f"warning: {file.name} cannot be run here: {text}")
    return found


def unseen(kernel: "Kernel", model: WeightFile, projectors: Iterable[WeightFile]) -> list[str]:
    """Warnings of projectors that would be stored for nothing: no engine here sees or hears with this model."""
    claimed = set[str]().union(*kernel.plugins.manager.hook.corral_capabilities(info=model.info))
    if claimed & {"vision", "audio"}:
        return []
    return [f"warning: {file.name} is kept and not used: no engine here takes images or sound" for file in projectors]
