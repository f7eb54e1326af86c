"""What a model is to be made of: POST /api/create as typed values."""

from collections.abc import Mapping

from msgspec.structs import replace

from corral import JSON, BadRequest, JSONObject, Message, ModelConfig, ModelRef, Value
from corral_generation.options import resolve_options
from corral_modelfile.modelfile import require_version

_ROLES = ("system", "user", "assistant", "tool")
_TEXTS = {
    "model_family": "family",
    "base_name": "base_name",
    "quantization_level": "quantization",
    "parameter_size": "parameter_size",
}


class CreateRequest(Value, frozen=True):
    """`ref` is the model to make.  Files are name → digest of a blob in the store.

    `base` is a model's name as typed; it wins over `files`.  Empty fields leave to the base what it has.
    """

    ref: ModelRef
    base: str = ""
    files: Mapping[str, str] | None = None
    draft_files: Mapping[str, str] | None = None
    adapters: Mapping[str, str] | None = None
    template: str = ""
    system: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    licenses: tuple[str, ...] = ()
    parameters: JSONObject = {}
    messages: tuple[Message, ...] = ()
    quantize: str = ""
    draft_quantize: str = ""
    info: JSONObject = {}

    def check(self) -> None:
        """What can be said without looking at a file.  Raises BadRequest."""
        if not self.base and self.files is None:
            raise BadRequest("neither 'from' or 'files' was specified")
        for names in (self.files, self.draft_files, self.adapters):
            for name, digest in (names or {}).items():
                if not _is_relative(name):
                    raise BadRequest("file path must be relative")
                if not digest:
                    raise BadRequest("invalid digest format", code="invalid_digest")
        if self.draft_quantize and not self.draft_files:
            raise BadRequest("--draft-quantize requires a DRAFT model")
        require_version(self.requires)
        resolve_options(self.parameters, {})  # what no request could run with is not stored; other names are
        for message in self.messages:
            if message.role not in _ROLES:
                raise BadRequest('message role must be one of "system", "user", "assistant", or "tool"')


def _is_relative(name: str) -> bool:
    """Whether a name stays below the folder it is joined to, on every system."""
    if "\0" in name or "\\" in name or name[1:2] == ":":
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def overlay(config: ModelConfig, info: JSONObject) -> ModelConfig:
    """`config` with what the request's `info` says instead.  Raises BadRequest naming the field."""
    changes: dict[str, JSON] = {}
    for key, name in _TEXTS.items():
        if key in info:
            if not isinstance(info[key], str):
                raise BadRequest(f'info field "{key}" must be a string')
            changes[name] = info[key]
    for key in ("context_length", "embedding_length"):
        if key in info:
            changes[key] = _count(key, info[key])
    if "capabilities" in info:
        words = info["capabilities"]
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise BadRequest('info field "capabilities" must be a list of strings')
        changes["capabilities"] = tuple(words)
    return replace(config, **changes)


def _count(key: str, value: JSON) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f'info field "{key}" must be a number')
    if value < 0 or value != value // 1:
        raise BadRequest(f'info field "{key}" must be a non-negative integer')
    return int(value)
