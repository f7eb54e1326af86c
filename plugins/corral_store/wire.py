"""The JSON of manifests, configs and messages: keys in Ollama's order, so that digests agree."""

from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from corral import BadRequest, FormatError, JSONObject, Layer, Message, ModelConfig, ToolCall
from corral_store import digests

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_MANIFESTS = ("", MANIFEST, "application/vnd.oci.image.manifest.v1+json")
CONFIG = "application/vnd.docker.container.image.v1+json"
IMAGE = "application/vnd.ollama.image."
MAX_MANIFEST_BYTES = 4 << 20
MAX_TEXT_BYTES = 16 << 20

T = TypeVar("T")


class WireLayer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One entry of a manifest."""

    media_type: str = msgspec.field(name="mediaType")
    digest: str
    size: int
    origin: str = msgspec.field(name="from", default="")
    name: str = ""

    def layer(self) -> Layer:
        return Layer(
            media_type=self.media_type,
            digest=digests.canonical(self.digest),
            size_bytes=self.size,
            origin=self.origin,
        )


class Manifest(msgspec.Struct, kw_only=True):
    """A model's list of blobs."""

    schema_version: int = msgspec.field(name="schemaVersion", default=2)
    media_type: str = msgspec.field(name="mediaType", default=MANIFEST)
    config: WireLayer
    layers: list[WireLayer]

    @property
    def digests(self) -> set[str]:
        """Every blob it names, the config included."""
        return {digests.canonical(layer.digest) for layer in (*self.layers, self.config)}


class _Config(msgspec.Struct, kw_only=True):
    model_format: str = ""
    model_family: str = ""
    model_families: tuple[str, ...] | None = None
    model_type: str = ""
    file_type: str = ""
    renderer: str | UnsetType = UNSET
    parser: str | UnsetType = UNSET
    requires: str | UnsetType = UNSET
    remote_host: str | UnsetType = UNSET
    remote_model: str | UnsetType = UNSET
    capabilities: tuple[str, ...] | UnsetType | None = UNSET
    context_length: int | UnsetType = UNSET
    embedding_length: int | UnsetType = UNSET
    base_name: str | UnsetType = UNSET
    architecture: str = "amd64"
    os: str = "linux"


class _Function(msgspec.Struct, kw_only=True):
    name: str
    arguments: JSONObject = {}


class _Call(msgspec.Struct, kw_only=True):
    function: _Function
    id: str = ""


class _Message(msgspec.Struct, kw_only=True):
    role: str
    content: str = ""
    thinking: str = ""
    images: tuple[bytes, ...] | None = None
    tool_calls: tuple[_Call, ...] | None = None
    tool_name: str = ""
    tool_call_id: str = ""

    def message(self) -> Message:
        calls = (
            ToolCall(name=call.function.name, arguments=call.function.arguments, id=call.id, index=index)
            for index, call in enumerate(self.tool_calls or ())
        )
        return Message(
            role=self.role,
            content=self.content,
            thinking=self.thinking,
            images=self.images or (),
            tool_calls=tuple(calls),
            tool_name=self.tool_name,
            tool_call_id=self.tool_call_id,
        )


def encode(value: object) -> bytes:
    """Compact JSON and a newline, with `<`, `>` and `&` escaped."""
    text = msgspec.json.encode(value)
    for raw, escaped in ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026")):
        text = text.replace(raw, escaped)
    return text + b"\n"


def _decode(data: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise FormatError(f"{what}: {err}") from err


def read_manifest(data: bytes, what: str) -> Manifest:
    """Raises FormatError, naming `what`, for anything that is not a manifest of digests and sizes."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise FormatError(f"{what}: larger than {MAX_MANIFEST_BYTES} bytes, so it is no manifest")
    manifest = _decode(data, Manifest, what)
    if manifest.schema_version != 2 or manifest.media_type not in _MANIFESTS:
        raise FormatError(
            f"{what}: a manifest of schema {manifest.schema_version} and media type {manifest.media_type!r} "
            "cannot be read; only version 2 can"
        )
    for layer in (*manifest.layers, manifest.config):
        if layer.size < 0:
            raise FormatError(f"{what}: layer {layer.digest!r:.80} has the size {layer.size}")
        try:
            digests.file_name(layer.digest)
        except BadRequest as err:
            raise FormatError(f"{what}: invalid digest format {layer.digest!r:.80}") from err
    return manifest


def write_manifest(config: Layer, layers: list[Layer]) -> bytes:
    """The manifest's bytes, as stored."""

    def entry(layer: Layer) -> WireLayer:
        return WireLayer(media_type=layer.media_type, digest=layer.digest, size=layer.size_bytes, origin=layer.origin)

    return encode(Manifest(config=entry(config), layers=[entry(layer) for layer in layers]))


def read_config(data: bytes, what: str) -> ModelConfig:
    """Raises FormatError, naming `what`."""
    config = _decode(data, _Config, what)
    families = config.model_families or ()
    return ModelConfig(
        format=config.model_format,
        family=config.model_family,
        families=families,
        parameter_size=config.model_type,
        quantization=config.file_type,
        renderer=config.renderer or "",
        parser=config.parser or "",
        requires=config.requires or "",
        capabilities=config.capabilities or (),
        context_length=config.context_length or 0,
        embedding_length=config.embedding_length or 0,
        base_name=config.base_name or "",
        remote_host=config.remote_host or "",
        remote_model=config.remote_model or "",
    )


def write_config(config: ModelConfig) -> bytes:
    """The config blob's bytes.  Empty optional keys are left out."""
    return encode(
        _Config(
            model_format=config.format,
            model_family=config.family,
            model_families=config.families or None,
            model_type=config.parameter_size,
            file_type=config.quantization,
            renderer=config.renderer or UNSET,
            parser=config.parser or UNSET,
            requires=config.requires or UNSET,
            remote_host=config.remote_host or UNSET,
            remote_model=config.remote_model or UNSET,
            capabilities=config.capabilities or UNSET,
            context_length=config.context_length or UNSET,
            embedding_length=config.embedding_length or UNSET,
            base_name=config.base_name or UNSET,
        )
    )


def read_params(data: bytes, what: str) -> JSONObject:
    """Raises FormatError, naming `what`."""
    return _decode(data, JSONObject, what)


def read_messages(data: bytes, what: str) -> tuple[Message, ...]:
    """Raises FormatError, naming `what`."""
    return tuple(entry.message() for entry in _decode(data, list[_Message], what))
