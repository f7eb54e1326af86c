"""The hook this plugin publishes: whoever needs a whole file quantized asks for a `FileQuantizer`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from corral import CorralError, ModelInfo, Progress, TensorInfo, Value, Weights, hookspec


class QuantizationStopped(CorralError):
    """`should_stop` said so; nothing was left behind."""

    code = "quantization_stopped"


class PlannedTensor(Value, frozen=True):
    """A tensor as it is (`source`) and the storage type and bytes it will have."""

    source: TensorInfo
    type: str
    size_bytes: int


class QuantizationPlan(Value, frozen=True):
    """What quantizing would give.

    `tensor_bytes` is the weights alone, `file_bytes` the estimated length of the file.  `requantizes` warns that
    tensors which are quantized already would be decoded and rounded a second time.
    """

    file_type: str
    tensors: tuple[PlannedTensor, ...]
    tensor_bytes: int
    file_bytes: int
    requantizes: bool


class QuantizedFile(Value, frozen=True):
    """What was written.  `requantized` as in `QuantizationPlan.requantizes`."""

    path: Path
    file_type: str
    size_bytes: int
    requantized: bool


class FileQuantizer(Protocol):
    """Quantizes whole files.  The methods block: call them on a worker thread."""

    @property
    def file_types(self) -> Sequence[str]:
        """The names of the mixes, as users type them (in any case)."""
        ...

    def plan(self, info: ModelInfo, file_type: str, *, pure: bool = False) -> QuantizationPlan:
        """Types and sizes, without touching a weight.  Raises BadRequest for an unknown file type.

        `pure` gives every tensor that is quantized at all the mix's base type.
        """
        ...

    def quantize(
        self,
        weights: Weights,
        path: Path,
        file_type: str,
        *,
        pure: bool = False,
        progress: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> QuantizedFile:
        """Write `weights` in the mix `file_type` as a GGUF file at `path`, which appears only when it is complete.

        `progress` is told the bytes written so far; `should_stop` is asked a few times a second and ends the work
        with QuantizationStopped.  Raises BadRequest for an unknown file type, FormatError naming a broken tensor.
        """
        ...


class Hooks:
    """Offered by corral_quantizers."""

    @hookspec(firstresult=True)
    def corral_file_quantizer(self) -> FileQuantizer | None:
        """The quantizer of whole files.  Asked by whoever imports a model; the first that answers is used."""
