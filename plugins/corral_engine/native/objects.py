"""Compile once: object code of the kernels, kept in the user's cache folder.

One file a kernel, in a folder whose name is a digest of everything the code depends on: Corral, Numba and llvmlite
versions, the CPU and its features, the SIMD variant, the kernels' sources.  A file holds the SHA-256 of the code,
then the code, and is written under a temporary name and renamed, so a torn, foreign or damaged file is seen and
compiled anew.  A folder that cannot be written costs a compilation each start, nothing else.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llvmlite import binding

from corral import __version__
from corral.log import get_logger
from corral_engine.abandon import Checkpoint, carry_on
from corral_engine.native.compiler import compile_kernel, symbol, target_machine
from corral_engine.native.host import Host, detect
from corral_engine.native.team import default_threads

_DIGEST_BYTES = 32
_COMPILE_TIMEOUT_S = 300.0
_LOOK_S = 0.05
_WARNED: set[Path] = set()
_UNSTORED: dict[tuple[Path, str], bytes] = {}  # what this process compiled for folders that cannot be written


def cache_folder(host: Host) -> Path:
    """Where this computer's object code lies: `$XDG_CACHE_HOME/corral/kernels/<digest>`."""
    digest = hashlib.sha256()
    versions = [__version__, version("numba"), version("llvmlite"), sys.platform]
    for part in (*versions, host.cpu, host.variant, *sorted(host.features)):
        digest.update(part.encode() + b"\0")
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(home) / "corral" / "kernels" / digest.hexdigest()[:24]


def _path(folder: Path, name: str) -> Path:
    return folder / f"{symbol(name)}.o"


def store(folder: Path, name: str, code: bytes) -> None:
    """Write one kernel's code under its final name in one step.  Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        try:
            file.write(_checksum(name, code) + code)
            file.close()
            Path(file.name).replace(_path(folder, name))
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def fetch(folder: Path, name: str) -> bytes | None:
    """The stored code of a kernel; None when there is none that can be trusted to be whole."""
    try:
        content = _path(folder, name).read_bytes()
    except OSError:
        return None
    code = content[_DIGEST_BYTES:]
    return code if code and _checksum(name, code) == content[:_DIGEST_BYTES] else None


def _checksum(name: str, code: bytes) -> bytes:
    """Of the code and of whose it is: a file under another's name is no kernel."""
    return hashlib.sha256(symbol(name).encode() + b"\0" + code).digest()


def _keep(folder: Path, name: str, code: bytes) -> None:
    """In the folder, or where that cannot be, for this process."""
    try:
        store(folder, name, code)
    except OSError as error:
        _warn_not_cached(folder, error)
        _UNSTORED[folder, name] = code


def _compile_apart(folder: Path, names: Sequence[str], n_processes: int, check: Checkpoint) -> None:
    """Compile for `folder` with several processes.  What fails is left to the caller to notice.

    The processes write elsewhere where they cannot write there.  They end with this call, also when `check` raises;
    what they compiled by then is kept.
    """
    if _writable(folder):
        _run_compilers(folder, names, n_processes, check)
        return
    with tempfile.TemporaryDirectory(prefix="corral-kernels-") as shared:
        try:
            _run_compilers(Path(shared), names, n_processes, check)
        finally:
            for name in names:
                if code := fetch(Path(shared), name):
                    _keep(folder, name, code)


def _run_compilers(folder: Path, names: Sequence[str], n_processes: int, check: Checkpoint) -> None:
    command = [sys.executable, "-m", "corral_engine.native.compiler", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    started: list[subprocess.Popen[bytes]] = []
    deadline = time.monotonic() + _COMPILE_TIMEOUT_S
    try:
        for i in range(n_processes):
            mine = [*command, *names[i::n_processes]]
            started.append(subprocess.Popen(mine, env=environment, stderr=subprocess.DEVNULL))
        while (running := [one for one in started if one.poll() is None]) and time.monotonic() < deadline:
            check()
            with suppress(subprocess.TimeoutExpired):
                running[0].wait(_LOOK_S)
    finally:
        for process in started:
            process.kill()  # nothing happens to one that has ended
            process.wait()


def object_code(names: Sequence[str], folder: Path, n_processes: int, check: Checkpoint = carry_on) -> dict[str, bytes]:
    """Code of every kernel, compiled where `folder` lacks it; `check` may end it between two kernels."""
    found = _known(names, folder)
    missing = [name for name in names if name not in found]
    if not missing:
        return found
    get_logger("kernels").info("kernels.compiling", count=len(missing), folder=str(folder))
    started = time.monotonic_ns()
    if n_processes > 1 and len(missing) > n_processes:
        with suppress(OSError):  # no folder anywhere, or no process: then it is done here
            _compile_apart(folder, missing, n_processes, check)
        found |= _known(missing, folder)
    for name in [name for name in missing if name not in found]:
        check()
        found[name] = compile_kernel(name)
        _keep(folder, name, found[name])
    get_logger("kernels").info(
        "kernels.compiled", count=len(missing), compile_ms=(time.monotonic_ns() - started) // 1_000_000
    )
    return found


def _known(names: Sequence[str], folder: Path) -> dict[str, bytes]:
    """What of the kernels was compiled before."""
    pairs = ((name, fetch(folder, name) or _UNSTORED.get((folder, name))) for name in names)
    return {name: code for name, code in pairs if code is not None}


def _warn_not_cached(folder: Path, error: OSError) -> None:
    """Once a folder: what holds for one kernel holds for all."""
    if folder in _WARNED:
        return
    _WARNED.add(folder)
    reason = error.strerror or str(error)
    get_logger("kernels").warning(
        "kernels.not_cached",
        folder=str(folder),
        error=reason,
        message=f"compiled kernels cannot be kept in {folder} ({reason}), so every start compiles them again",
    )


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


@dataclass(frozen=True, slots=True)
class Kernels:
    """Loaded kernels: addresses by name.  `engine` owns the memory the code lies in."""

    addresses: dict[str, int]
    engine: Any

    def function(self, name: str) -> Callable[..., None]:
        """A kernel as a Python callable over integers; it releases the interpreter lock while it runs."""
        import ctypes

        n_arguments = _ARGUMENTS.get(name, 6)
        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * n_arguments)(self.addresses[name])


_ARGUMENTS = {"kernels.interpreter:begin": 3, "kernels.interpreter:run": 7}


def load(
    names: Iterable[str], folder: Path | None = None, n_processes: int = 0, check: Checkpoint = carry_on
) -> Kernels:
    """Load kernels, compiling those that no earlier start compiled.  Raises what `check` raises.

    `n_processes` compile at once, 0: one a core.
    """
    host = detect()
    wanted = sorted(set(names))
    folder = cache_folder(host) if folder is None else folder
    code = object_code(wanted, folder, n_processes or default_threads(), check)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine(host))
    for name in wanted:
        engine.add_object_file(binding.ObjectFileRef.from_data(code[name]))
    engine.finalize_object()
    return Kernels({name: engine.get_function_address(symbol(name)) for name in wanted}, engine)
