"""The names of packages: `pypi/<package>`, with `==<version>` or `:<version>` behind it."""

import re

from corral import BadRequest, ModelRef

NAMESPACE = "pypi"
LATEST = "latest"
_HOST = "registry.ollama.ai"
# https://packaging.python.org/en/latest/specifications/name-normalization/
_PACKAGE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,78}[a-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}", re.ASCII)


def parse(text: str) -> ModelRef | None:
    """The model a package is, None for another kind of name.  Raises BadRequest for a bad package or version."""
    namespace, slash, rest = text.lower().partition("/")
    if namespace != NAMESPACE or not slash or "/" in rest:
        return None
    separator = "==" if "==" in rest else ":"
    package, given, version = rest.removesuffix(":local").partition(separator)
    if not _PACKAGE.fullmatch(package) or (given and not _VERSION.fullmatch(version)):
        raise BadRequest("invalid model name", code="invalid_name")
    return ModelRef(
        host=_HOST,
        namespace=NAMESPACE,
        model=re.sub(r"[._-]+", "-", package),
        tag=version or LATEST,
        source=NAMESPACE,
    )


def requirement(ref: ModelRef) -> str:
    """What pip is asked for."""
    return ref.model if ref.tag == LATEST else f"{ref.model}=={ref.tag}"
