"""From the name in a request to an installed model, with the words each endpoint uses when there is none."""

from typing import TYPE_CHECKING

from corral import BadRequest, Forbidden, ModelNotFound, StoredModel

if TYPE_CHECKING:
    from corral.kernel import Kernel

NOT_FOUND = "model '{}' not found"
NOT_PULLED = 'model "{}" not found, try pulling it first'
NO_CLOUD = "ollama cloud is disabled: remote model is unavailable"


def required(text: str) -> str:
    """The name without blanks around it.  Raises BadRequest for an empty one."""
    if not text.strip():
        raise BadRequest("model is required")
    return text.strip()


def installed(kernel: "Kernel", text: str, missing: str = NOT_FOUND) -> StoredModel:
    """The model that `text` names.  Raises BadRequest (the name), ModelNotFound, Forbidden (it runs in a cloud)."""
    name = text.strip()
    if not name:
        raise ModelNotFound("model '' not found")
    try:
        model = kernel.find(name)
    except ModelNotFound as err:
        raise ModelNotFound(missing.format(name)) from err
    if model.config.remote_host:
        raise Forbidden(NO_CLOUD)
    return model
