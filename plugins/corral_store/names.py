"""Model names: `[scheme://][host/][namespace/]model[:tag]`."""

import re

from corral import BadRequest, Forbidden, ModelRef

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
# Names that some file systems give to a device or cut at the end: a store must stay portable.
_NOT_A_FILE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?|.*\.", re.IGNORECASE)


def parse(text: str) -> ModelRef:
    """The full name a user means by `text`.

    Raises BadRequest when it breaks the grammar, Forbidden for a model that runs in Ollama's cloud.
    """
    rest, tag = _local(text), DEFAULT_TAG
    colon = rest.rfind(":")
    if colon > rest.rfind("/"):  # an earlier colon belongs to the host's port
        rest, tag = rest[:colon], rest[colon + 1 :]
    rest, has_namespace, model = rest.rpartition("/")
    host, has_host, namespace = rest.rpartition("/") if has_namespace else ("", "", DEFAULT_NAMESPACE)
    scheme, has_scheme, address = host.partition("://")
    if not has_scheme:
        scheme, address = "https", host
    ref = ModelRef(
        host=address if has_host else DEFAULT_HOST, namespace=namespace, model=model, tag=tag, scheme=scheme.lower()
    )
    if not is_valid(ref):
        raise BadRequest("invalid model name", code="invalid_name")
    return ref


def is_valid(ref: ModelRef) -> bool:
    """Whether every part keeps the grammar, and so is safe as one component of a path."""
    return (
        ref.scheme in ("http", "https")
        and _HOST.fullmatch(ref.host) is not None
        and _NAMESPACE.fullmatch(ref.namespace) is not None
        and _MODEL.fullmatch(ref.model) is not None
        and _MODEL.fullmatch(ref.tag) is not None
        and not any(_NOT_A_FILE.fullmatch(part) for part in (ref.namespace, ref.model, ref.tag))
    )


def _local(text: str) -> str:
    """`text` without the suffix `:local`.  Raises Forbidden for `:cloud` and `:TAG-cloud`, BadRequest for both."""
    base, where = _split_suffix(text)
    _, second = _split_suffix(base)
    if where and second and where != second:
        raise BadRequest(f'use either :local or :cloud, not both: "{text}"', code="invalid_name")
    if where == "cloud":
        raise Forbidden("ollama cloud is disabled: remote model is unavailable")
    return base


def _split_suffix(text: str) -> tuple[str, str]:
    """("name", "local" or "cloud") when the part after the last colon says where the model is to run."""
    base, colon, last = text.rpartition(":")
    word = last.strip().lower()
    if colon and word in ("local", "cloud"):
        return base, word
    if colon and word.endswith("-cloud") and "/" not in word:
        return text.rstrip()[: -len("-cloud")], "cloud"
    return text, ""
