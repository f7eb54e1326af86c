"""The hooks this plugin publishes: making models, and converting weights that the loaders do not read as they are."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from corral import JSONObject, ModelInfo, Progress, StoredModel, Value, Weights, hookspec
from corral_modelfile.request import CreateRequest

if TYPE_CHECKING:
    from corral.kernel import Kernel


class ModelBuilder(Protocol):
    """Makes models and says what they are made of."""

    def create(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        """Make a model; the last status is `success`.  Closing the generator stops the work and leaves no model.

        Raises BadRequest, FormatError, Unsupported, ModelNotFound before anything is written.
        """
        ...

    def render(self, model: StoredModel, system: str | None = None, options: JSONObject | None = None) -> str:
        """The Modelfile that would make `model`, with `system` and `options` laid over it."""
        ...


class Converted(Value, frozen=True):
    """What a conversion wrote: weight files a loader reads, parameters that go with them, what was left out.

    `name` is what complaints call the weights: the user does not have these files.
    """

    weights: tuple[Path, ...]
    name: str = ""
    parameters: JSONObject = {}
    warnings: tuple[str, ...] = ()


class Converter(Protocol):
    """Turns files of another format (names as the user has them → paths) into weight files.

    The methods block: they are called on a worker thread.  Files are hostile, code in them is never run.
    """

    name: str

    def fits(self, files: Mapping[str, Path]) -> bool:
        """Whether these files, judged by their names, are of the format."""
        ...

    def convert(
        self,
        files: Mapping[str, Path],
        folder: Path,
        *,
        base: ModelInfo | None,
        progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> Converted:
        """Write into `folder`, an empty one on the store's disk.  `base` is the model that an adapter is for.

        `should_stop` is to be asked a few times a second.  Raises FormatError, Unsupported.
        """
        ...


@runtime_checkable
class Describer(Protocol):
    """A converter that can also tell beforehand what it would write; `create --dry-run` asks."""

    def fits(self, files: Mapping[str, Path]) -> bool:
        """As `Converter.fits`."""
        ...

    def describe(self, files: Mapping[str, Path], kernel: "Kernel") -> ModelInfo:
        """The model that `convert` would write.  Blocking.  Raises FormatError, Unsupported.

        `kernel` need not be live.
        """
        ...


class ModelCheck(Protocol):
    """Knows whether a model can be run."""

    def check(self, weights: Weights, larger: Weights | None = None) -> str:
        """What would keep the model from running, as a sentence to warn with; "" when nothing is known.  Blocking.

        `larger` is the model that this one is to draft for.
        Raises FormatError, Unsupported for what must not be stored: numbers that cannot be true, a draft of no use.
        """
        ...


class Hooks:
    """Offered by corral_modelfile."""

    @hookspec(firstresult=True)
    def corral_model_builder(self) -> ModelBuilder | None:
        """The maker of models.  Asked by dialects and sources; the first that answers is used."""

    @hookspec
    def corral_model_converters(self) -> Iterable[Converter]:
        """Converters.  Collected when serving begins; the first that fits the files is used."""
        raise NotImplementedError

    @hookspec
    def corral_model_checks(self) -> Iterable[ModelCheck]:
        """Checks of a model made from files, before anything is stored.  Asked once a create, in a thread."""
        raise NotImplementedError
