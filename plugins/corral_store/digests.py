"""Digests: `sha256:<64 hex>` in JSON, `sha256-<64 hex>` as a file name.  Checked before any path is made of one."""

import hashlib
import re

from corral import BadRequest

_DIGEST = re.compile(r"sha256[:-][0-9a-f]{64}", re.ASCII)


def file_name(digest: str) -> str:
    """The blob's file name.  Raises BadRequest("invalid digest format")."""
    if _DIGEST.fullmatch(digest) is None:
        raise BadRequest("invalid digest format", code="invalid_digest")
    return f"sha256-{digest[7:]}"


def is_blob_name(name: str) -> bool:
    """Whether a file of that name is a finished blob."""
    return name.startswith("sha256-") and _DIGEST.fullmatch(name) is not None


def canonical(digest: str) -> str:
    """`sha256:<hex>` of either spelling.  Raises BadRequest."""
    return f"sha256:{file_name(digest)[7:]}"


def of(data: bytes) -> str:
    """`sha256:<hex>` of bytes in memory."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
