"""`corral create --dry-run`: what the model would weigh and be made of, without making it."""

import math
from collections import Counter
from typing import TYPE_CHECKING

from corral import CorralError, JSONObject, ModelInfo, TensorInfo
from corral_cli.formatting import byte_size, count
from corral_cli.tables import table

if TYPE_CHECKING:
    from corral.kernel import Kernel
    from corral_cli.client import Client


def shown_info(kernel: "Kernel", shown: JSONObject) -> ModelInfo:
    """A stored model's hyper-parameters and tensors, from what `/api/show` answers with `verbose`."""
    metadata = shown.get("model_info") or {}
    tensors = []
    for row in shown.get("tensors") or ():
        shape = tuple(reversed(row["shape"]))
        kind = kernel.quantizers.get(row["type"])
        size = math.prod(shape) // kind.block_size * kind.type_size if kind else 0
        tensors.append(TensorInfo(name=row["name"], type=row["type"], shape=shape, size_bytes=size))
    return ModelInfo(
        architecture=str(metadata.get("general.architecture", "")),
        metadata=metadata,
        tensors=tuple(tensors),
        parameter_count=sum(math.prod(tensor.shape) for tensor in tensors),
        quantization=str((shown.get("details") or {}).get("quantization_level", "")),
    )


async def base_info(kernel: "Kernel", client: "Client", name: str) -> ModelInfo:
    """The model that FROM names.  Raises CorralError when it is not there: a dry run pulls nothing."""
    from corral_cli.client import ServerError

    try:
        return shown_info(kernel, await client.show(name, verbose=True))
    except ServerError as err:
        raise CorralError(f"{err.message}: --dry-run pulls nothing, so FROM must name a local model or file") from err


def report(kernel: "Kernel", info: ModelInfo | None, wanted: str) -> str:
    """Sizes before and after, and the mix of storage types.

    Raises BadRequest for an unknown type, CorralError without a model.
    """
    if info is None:
        raise CorralError("--dry-run cannot tell what these files would become: no plugin here reads them")
    before = byte_size(sum(tensor.size_bytes for tensor in info.tensors))
    head = [f"source        {info.quantization or 'unknown'}, {count(info.parameter_count)} weights, {before}"]
    if not wanted:
        return _page(head, _mix([(tensor.type, tensor.shape, tensor.size_bytes) for tensor in info.tensors]))
    plan = kernel.service("corral_file_quantizer").plan(info, wanted)
    bits = 8 * plan.tensor_bytes / max(1, info.parameter_count)
    head.append(f"quantized to  {plan.file_type}, {bits:.2f} bits a weight, {byte_size(plan.file_bytes)}")
    if plan.requantizes:
        head.append(f"warning: the weights are {info.quantization} already; quantizing twice loses quality twice")
    return _page(head, _mix([(each.type, each.source.shape, each.size_bytes) for each in plan.tensors]))


def _mix(tensors: list[tuple[str, tuple[int, ...], int]]) -> list[list[str]]:
    """A row a storage type, the one with the most bytes first."""
    numbers, weights, sizes = Counter[str](), Counter[str](), Counter[str]()
    for kind, shape, size in tensors:
        numbers[kind] += 1
        weights[kind] += math.prod(shape)
        sizes[kind] += size
    return [[kind, str(numbers[kind]), count(weights[kind]), byte_size(size)] for kind, size in sizes.most_common()]


def _page(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(head) + "\n\n" + table(["TYPE", "TENSORS", "WEIGHTS", "SIZE"], rows)
