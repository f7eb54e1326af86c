"""POST /api/show: everything there is to know about one model without loading it."""

import asyncio
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from corral import JSON, Description, Forbidden, JSONObject, ModelNotFound, StoredModel
from corral.kernel import Kernel
from corral.server import KERNEL
from corral_http.names import installed, required
from corral_native_api import fields
from corral_native_api.bodies import ShowBody
from corral_native_api.chunks import Details, Wire, details, moment, reply

_HIDDEN = ("general.name", "tokenizer.chat_template")
_COPILOT = "GitHubCopilotChat/"


class MessageRow(Wire, frozen=True):
    """A MESSAGE of the model."""

    role: str
    content: str


class TensorRow(Wire, frozen=True):
    """A tensor; `shape` is in GGUF's order, the fastest dimension first."""

    name: str
    type: str
    shape: list[int]


class Shown(Wire, frozen=True, kw_only=True):
    """The answer."""

    license: str | UnsetType = UNSET
    modelfile: str
    parameters: str | UnsetType = UNSET
    template: str | UnsetType = UNSET
    system: str | UnsetType = UNSET
    renderer: str | UnsetType = UNSET
    parser: str | UnsetType = UNSET
    details: Details
    messages: list[MessageRow] | UnsetType = UNSET
    model_info: JSONObject
    projector_info: JSONObject | UnsetType = UNSET
    tensors: list[TensorRow]
    capabilities: list[str] | UnsetType = UNSET
    modified_at: str
    requires: str | UnsetType = UNSET


async def show(request: web.Request, body: ShowBody) -> web.Response:
    """Arrays of the metadata are null unless `verbose`; `system` and `options` overlay the printed Modelfile only."""
    kernel, text = request.app[KERNEL], required(body.target)
    model = _model(kernel, text)
    description = await kernel.pipeline.describe(model)
    modelfile = kernel.service("corral_model_builder").render(model, body.system or None, fields.options(body.options))
    model_info = await asyncio.to_thread(_info, description, verbose=body.verbose)
    length = longest_input(model, description)
    if length < description.info.context_length:
        model_info[f"{description.info.architecture}.max_seq_length"] = length
    if request.headers.get("User-Agent", "").startswith(_COPILOT):
        model_info["general.basename"] = text
    return reply(
        Shown(
            license="\n".join(model.licenses) or UNSET,
            modelfile=modelfile,
            parameters="\n".join(parameter_lines(model.parameters)) or UNSET,
            template=description.template.source or UNSET,
            system=body.system or model.system or UNSET,
            renderer=model.config.renderer or UNSET,
            parser=model.config.parser or UNSET,
            details=_details(model, description),
            messages=[MessageRow(role=each.role, content=each.content) for each in model.messages] or UNSET,
            model_info=model_info,
            projector_info=await asyncio.to_thread(_projector_info, kernel, model, verbose=body.verbose),
            tensors=[
                TensorRow(name=tensor.name, type=tensor.type, shape=list(reversed(tensor.shape)))
                for tensor in description.info.tensors
            ],
            capabilities=sorted(description.capabilities) or UNSET,
            modified_at=moment(model.modified_at),
            requires=model.config.requires or UNSET,
        )
    )


def _model(kernel: Kernel, text: str) -> StoredModel:
    """Raises BadRequest, Forbidden, ModelNotFound with the name as it would be listed."""
    try:
        return installed(kernel, text)
    except ModelNotFound as err:
        raise ModelNotFound(f"model '{kernel.parse_ref(text).name}' not found") from err
    except Forbidden as err:
        raise Forbidden("ollama cloud is disabled: remote model details are unavailable") from err


def longest_input(model: StoredModel, description: Description) -> int:
    """The tokens a model takes: of one that only embeds, those it was published for, where its weights know more."""
    length, published = description.info.context_length, model.parameters.get("num_ctx")
    embeds = "embedding" in description.capabilities and "completion" not in description.capabilities
    return min(length, published) if embeds and isinstance(published, int) else length


def _details(model: StoredModel, description: Description) -> Details:
    known = details(model.config)
    if known.quantization_level in ("", "unknown"):
        return replace(known, quantization_level=description.info.quantization)
    return known


def _info(description: Description, *, verbose: bool) -> JSONObject:
    info = _plain_metadata(description.info.metadata, verbose=verbose)
    return {**info, "general.parameter_count": description.info.parameter_count}


def _projector_info(kernel: Kernel, model: StoredModel, *, verbose: bool) -> JSONObject | UnsetType:
    """The metadata of the model's first projector."""
    if not model.projectors:
        return UNSET
    weights = kernel.open(replace(model, weights=model.projectors))
    try:
        return _plain_metadata(weights.info.metadata, verbose=verbose)
    finally:
        weights.close()


def _plain_metadata(metadata: Mapping[str, Any], *, verbose: bool) -> JSONObject:
    return {key: plain(value, verbose=verbose) for key, value in metadata.items() if key not in _HIDDEN}


def plain(value: Any, *, verbose: bool) -> JSON:
    """A metadata value as JSON; strings that are not UTF-8 lose what is not, arrays are null unless `verbose`."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, Sequence):
        return [plain(item, verbose=True) for item in value] if verbose or not len(value) else None
    return value


def parameter_lines(parameters: Mapping[str, JSON]) -> Iterator[str]:
    """One line a value: the name padded to 30 columns, then the value as Go writes it."""
    for name, value in sorted(parameters.items()):
        for item in value if isinstance(value, list) else [value]:
            yield f"{name:<30} {_go_value(item)}"


def _go_value(value: JSON) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return str(value)
