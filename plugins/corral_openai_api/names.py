"""From the name in a request to an installed model, with the words each endpoint uses when there is none."""

from corral import Forbidden, ModelNotFound, StoredModel
from corral.kernel import Kernel

NOT_FOUND = "model '{}' not found"
NOT_PULLED = 'model "{}" not found, try pulling it first'


def installed(kernel: Kernel, text: str, missing: str = NOT_FOUND) -> StoredModel:
    """The model that `text` names.  Raises BadRequest (the name), ModelNotFound, Forbidden (it runs in a cloud)."""
    if not text.strip():
        raise ModelNotFound("model '' not found")
    try:
        model = kernel.find(text)
    except ModelNotFound as err:
        raise ModelNotFound(missing.format(text.strip())) from err
    if model.config.remote_host:
        raise Forbidden("ollama cloud is disabled: remote model is unavailable")
    return model
