"""One model being made: the phases of POST /api/create in their order."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from corral import BadRequest, FormatError, JSONObject, ModelConfig, ModelInfo, ModelNotFound, Progress, Unsupported
from corral.log import get_logger
from corral_modelfile import adapters, encoding
from corral_modelfile.checks import doubts, unseen
from corral_modelfile.layers import IMAGE, Layers, Part, from_base, weights_part
from corral_modelfile.modelfile import require_version
from corral_modelfile.request import CreateRequest, overlay
from corral_modelfile.scratch import Scratch
from corral_modelfile.weights import Reader, WeightFile, shards
from corral_modelfile.work import ShouldStop, Tell, Work

if TYPE_CHECKING:
    from corral.kernel import Kernel
    from corral_quantizers.hookspecs import QuantizationPlan

_WEIGHTS = ("model", "projector", "adapter", "draft")
_PLAIN = ("F32", "F16", "BF16")
_ZEROS = "0" * 19  # the digest of a file that is not finished, as clients expect it
# Models whose answers need a parser that is not in their chat template: architecture → (renderer and parser, stops).
_ARCHITECTURES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "gemma4": ("gemma4", ("<turn|>",)),
    "laguna": ("laguna", ()),
    "nemotron_h": ("nemotron-3-nano", ()),
    "nemotron_h_moe": ("nemotron-3-nano", ()),
    "nemotron_h_omni": ("nemotron-3-nano", ()),
}

Steps = AsyncGenerator[Progress, None]


class Build:
    """`run` it once."""

    def __init__(self, kernel: "Kernel", reader: Reader, request: CreateRequest) -> None:
        self._kernel, self._reader, self._request = kernel, reader, request
        self._store = kernel.store
        self._scratch = Scratch(kernel.store.root)
        self._layers = Layers()
        self._base = ModelConfig()
        self._parameters: JSONObject = {}
        self._read: list[Part] = []  # what the last reading found
        self._untold: list[Progress] = []  # statuses held back, so that an error that is found early comes first

    async def run(self) -> Steps:
        """All statuses, the last one `success`.  Nothing is saved unless every phase went well."""
        self._request.check()
        overlay(ModelConfig(), self._request.info)
        if self._request.template and "go" in self._kernel.templates:
            self._kernel.templates["go"].compile(self._request.template)
        try:
            for phase in (self._from, self._files, self._adapters, self._drafts, self._quantize, self._save):
                async with aclosing(phase()) as steps:
                    async for step in steps:
                        yield step
        finally:
            await self._scratch.remove()

    # --- what the model is made of --------------------------------------------------------------------------------

    async def _from(self) -> Steps:
        if not self._request.base:
            return
        if self._request.files:
            get_logger("modelfile").warning("create.files_ignored", model=self._request.ref.name)
        ref = self._store.resolve(self._kernel.parse_ref(self._request.base))
        try:
            model = self._store.get(ref)
        except ModelNotFound:
            async with aclosing(self._kernel.pull(ref)) as steps:
                async for step in steps:
                    if step.status != "success":
                        yield step
            model = self._store.get(self._store.resolve(ref))
        if not model.weights:
            raise Unsupported(f'"{model.ref.name}" has no weights that a model could be made from')
        self._base, self._parameters = model.config, dict(model.parameters)
        for layer in model.layers:
            file = None
            if layer.media_type.removeprefix(IMAGE) in _WEIGHTS:
                file = await asyncio.to_thread(self._reader.read, model.ref.name, self._store.path(layer.digest))
            self._layers.parts.append(from_base(layer, model.ref.name, file))

    async def _files(self) -> Steps:
        if self._request.base:
            return
        async for step in self._reading(self._request.files or {}, "model"):
            yield step
        self._layers.parts += self._read
        if self._layers.model is not None:
            await asyncio.to_thread(self._check, self._layers.model)
            projectors = [part.file for part in self._read if part.file and part.file.info.kind == "projector"]
            self._untold += map(_step, unseen(self._kernel, self._layers.model, projectors))
            await self._detect_template(self._layers.model)

    def _check(self, file: WeightFile, larger: WeightFile | None = None) -> None:
        self._untold += map(_step, doubts(self._kernel, self._reader, file, larger))

    async def _adapters(self) -> Steps:
        if not self._request.adapters:
            return
        base = self._layers.model
        if base is None:
            raise BadRequest("no base model was found")
        for group in adapters.grouped(self._request.adapters):
            async for step in self._reading(group, "adapter", base.info):
                yield step
            if not self._read:
                raise BadRequest(f"there is no adapter among {', '.join(sorted(group))}")
            for part in self._read:
                if part.file is not None:
                    adapters.check(part.file, base.info)
            self._layers.parts += self._read

    async def _drafts(self) -> Steps:
        if not self._request.draft_files:
            return
        async for step in self._reading(self._request.draft_files, "draft"):
            yield step
        if (model := self._layers.model) is not None:
            for part in self._read:
                if part.file is not None:
                    await asyncio.to_thread(self._check, part.file, model)
        drafts = (replace(part, layer=replace(part.layer, media_type=f"{IMAGE}draft")) for part in self._read)
        self._layers.parts += drafts

    async def _reading(self, files: Mapping[str, str], role: str, base: ModelInfo | None = None) -> Steps:
        """Fill `_read` with the weights among `files`.  Raises FormatError, BadRequest, Unsupported."""
        self._read = []
        paths = self._reader.paths(files)
        converter = await asyncio.to_thread(self._reader.converter, paths)
        if converter is not None:
            self._untold.append(Progress(status=f"converting {'adapter' if role == 'adapter' else 'model'}"))
            folder = await self._scratch.folder()
            converting = Work(lambda tell, stop: self._reader.convert(converter, paths, folder, base, tell, stop))
            async with aclosing(converting.steps()) as steps:
                async for step in steps:
                    for earlier in self._told():
                        yield earlier
                    yield step
            self._untold += (Progress(status=f"warning: {text}") for text in converting.result.warnings)
            for step in self._told():
                yield step
            self._parameters = {**converting.result.parameters, **self._parameters}
            made = converting.result
            self._read = [await self._made(made.name or path.name, path) for path in made.weights]
            return
        sets, whole = shards(paths)
        for name, path in whole.items():
            file = await asyncio.to_thread(self._reader.read, name, path)
            self._untold.append(Progress(status="parsing GGUF"))
            self._read.append(_part(file, files[name]))
        for prefix, found in sets.items():
            self._untold.append(Progress(status="parsing GGUF"))
            async for step in self._merging(prefix, found):
                yield step

    async def _merging(self, prefix: str, found: Mapping[str, Path]) -> Steps:
        for step in self._told():
            yield step
        folder = await self._scratch.folder()
        merging = Work(lambda tell, stop: self._reader.merge(found, folder, tell, stop))
        async with aclosing(merging.steps()) as steps:
            async for step in steps:
                yield step
        self._read.append(await self._made(f"{prefix}.gguf", merging.result))

    async def _made(self, name: str, path: Path) -> Part:
        """A file that was written in a scratch folder, checked; it enters the store when the model is saved."""
        return _part(await asyncio.to_thread(self._reader.read, name, path), "")

    async def _detect_template(self, file: WeightFile) -> None:
        """A chat template that is known gets the Go template of its name, and the stop strings that go with it.

        One that is broken is kept: only what needs it will fail.
        """
        source = file.info.chat_template
        if source is None or "go" not in self._kernel.templates:
            return
        from corral_templates import detect

        detected = await asyncio.to_thread(detect, source)
        if detected is None:
            if "jinja" in self._kernel.templates and not self._request.template:
                try:
                    await asyncio.to_thread(self._kernel.templates["jinja"].compile, source)
                except BadRequest as err:
                    text = f"warning: the chat template in {file.name} cannot be used: {err.message}; give a TEMPLATE"
                    self._untold.append(Progress(status=text))
            return
        status = f"using autodetected template {detected.name}"
        self._layers.set_text("template", detected.source.encode(), status)
        if detected.stops:
            self._parameters["stop"] = list(detected.stops)

    def _told(self) -> list[Progress]:
        """The statuses held back so far."""
        told, self._untold = self._untold, []
        return told

    # --- quantizing -----------------------------------------------------------------------------------------------

    async def _quantize(self) -> Steps:
        wanted = {"model": self._request.quantize, "draft": self._request.draft_quantize}
        jobs = []
        for index, part in enumerate(self._layers):
            if part.file and wanted.get(part.kind):
                plan = await self._quantization(part.kind, part.file.info, wanted[part.kind])
                jobs += [(index, part, part.file, plan)] if plan else []
        for step in self._told():
            yield step
        for job in jobs:
            async with aclosing(self._quantizing(*job)) as steps:
                async for step in steps:
                    yield step

    async def _quantization(self, kind: str, info: ModelInfo, wanted: str) -> "QuantizationPlan | None":
        """The plan, None when the file is of the wanted type already.  Raises BadRequest."""
        plan: QuantizationPlan = await asyncio.to_thread(
            self._kernel.service("corral_file_quantizer").plan, info, wanted
        )
        if plan.file_type == info.quantization:
            return None
        if info.quantization not in _PLAIN and kind == "draft":
            found = info.quantization or "unknown"
            raise BadRequest(f"draft quantization requires an unquantized draft model, got {found}")
        return plan

    async def _quantizing(self, index: int, part: Part, file: WeightFile, plan: "QuantizationPlan") -> Steps:
        """Put a quantized copy in the place of a layer."""
        quantizer = self._kernel.service("corral_file_quantizer")
        path = await self._scratch.folder() / "quantized.gguf"
        source = file.info.quantization or "unknown"
        status = f"quantizing {source} model to {plan.file_type}"
        if plan.requantizes:
            yield Progress(
                status=f"warning: the weights are {source} already: what that lost {plan.file_type} cannot bring back, "
                "and quantizing twice loses more; an F16, BF16 or F32 source gives a better model"
            )

        def work(tell: Tell, should_stop: ShouldStop) -> None:
            weights = self._reader.open(file)
            try:
                quantizer.quantize(weights, path, plan.file_type, progress=tell, should_stop=should_stop)
            except FormatError as err:
                raise FormatError(f"{file.name}: {err.message}") from err
            finally:
                weights.close()

        yield Progress(status=status, digest=_ZEROS)
        async with aclosing(Work(work).steps()) as steps:
            async for step in steps:
                yield replace(step, status=status, digest=_ZEROS)
        yield Progress(status="verifying conversion")
        made = await self._made(file.name, path)
        if part.is_made:
            await asyncio.to_thread(file.path.unlink)  # the unquantized one need not take room any longer
        layer = replace(part.layer, digest="", size_bytes=made.layer.size_bytes)
        self._layers.parts[index] = replace(made, layer=layer)

    # --- saving ---------------------------------------------------------------------------------------------------

    async def _save(self) -> Steps:
        request, layers = self._request, self._layers
        config = self._config()
        if request.template:
            layers.drop("prompt")
            layers.set_text("template", request.template.encode())
        if request.system:
            layers.set_text("system", request.system.encode())
        for text in filter(None, request.licenses):
            layers.add_text("license", text.encode())
        self._parameters |= request.parameters
        if self._parameters:
            layers.set_text("params", encoding.parameters(self._parameters))
        if request.messages:
            layers.set_text("messages", encoding.messages(request.messages))
        try:
            async for step in layers.write(self._store):
                yield step
            yield Progress(status="writing manifest")
            await self._store.save(self._store.resolve(request.ref), config, [part.layer for part in layers])
        except BaseException:  # whatever it is, a client that leaves too: the store is to be as it was
            await layers.discard(self._store)
            raise
        yield Progress(status="success")

    def _config(self) -> ModelConfig:
        """The config of the layers there are, what the base says where they do not, and the request over all."""
        request, base, model = self._request, self._base, self._layers.model
        if model is None:
            raise BadRequest("there is no model among the files: an adapter or a projector alone cannot run")
        info = model.info
        dialect, stops = _ARCHITECTURES.get(info.architecture, ("", ()))
        if stops and not (request.renderer or base.renderer):
            self._parameters.setdefault("stop", list(stops))
        families = dict.fromkeys(part.file.info.architecture for part in self._layers if part.file)
        config = replace(
            base,
            format=model.format,
            family=info.architecture,
            families=tuple(families),
            parameter_size=encoding.human_count(info.parameter_count),
            quantization=info.quantization or "unknown",
            renderer=request.renderer or base.renderer or dialect,
            parser=request.parser or base.parser or dialect,
            requires=require_version(request.requires) or base.requires,
        )
        return overlay(config, request.info)


def _step(text: str) -> Progress:
    return Progress(status=text)


def _part(file: WeightFile, digest: str) -> Part:
    return weights_part(file, digest, file.info.kind if file.info.kind in _WEIGHTS else "model")
