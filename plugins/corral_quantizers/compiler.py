"""Numba compilation with a cache in the user's cache folder; nothing is written where writing is not allowed."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

Function = Callable[..., Any]
_SOURCES = ("code_kernels", "compiler", "reference", "search_kernels", "simd")  # all that machine code is made from
_CONFIG: Any = numba.config  # its attributes are made at import


def jit(function: Function) -> Function:
    """Compile `function` on its first call, without the interpreter lock, in IEEE arithmetic.

    The machine code is cached on disk between processes when the cache folder can be written.
    """
    folder = _writable(cache_folder())
    if folder is None:
        compiled: Function = numba.njit(nogil=True, error_model="numpy")(function)
        return compiled
    previous = _CONFIG.CACHE_DIR  # numba has no per-function setting: it is read once, while decorating
    _CONFIG.CACHE_DIR = str(folder)
    try:
        compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    finally:
        _CONFIG.CACHE_DIR = previous
    return compiled


def inlined(function: Function) -> Function:
    """Compile `function` as a part of the functions that call it."""
    compiled: Function = numba.njit(inline="always", error_model="numpy")(function)
    return compiled


def cache_folder() -> Path:
    """Where machine code is kept: NUMBA_CACHE_DIR, or a folder of the user's cache named after the kernels' source.

    Numba notices changes in a kernel's own file only, hence the digest of all of them.
    """
    if _CONFIG.CACHE_DIR:
        return Path(_CONFIG.CACHE_DIR)
    content = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in _SOURCES)
    digest = hashlib.sha256(content).hexdigest()[:16]
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "corral" / f"quantizers-{digest}"


def _writable(folder: Path) -> Path | None:
    """`folder`, made if need be, or None when files cannot be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None
