"""What `corral doctor` and `corral bench` say about the machine as the engine sees it."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corral_cli.hookspecs import Finding

if TYPE_CHECKING:
    from corral.kernel import Kernel
    from corral_engine.plugin import EngineConfig

_LITTLE_MEMORY = 1 << 30
_UNLIMITED = 1 << 59
_SHOWN = (
    "avx2",
    "fma",
    "f16c",
    "avxvnni",
    "avx512f",
    "avx512vnni",
    "avx512bf16",
    "amx-int8",
    "neon",
    "dotprod",
    "i8mm",
)
_MEANING = {
    "vnni": "AVX2 with VNNI",
    "avx2": "AVX2",
    "neon": "Arm with dot products",
    "portable": "portable vectors",
}


class MachineCheck:
    """Processor, threads, memory, and where compiled kernels are kept."""

    name = "engine"

    def __init__(self, config: "EngineConfig") -> None:
        self.config = config

    async def examine(self, kernel: "Kernel") -> Sequence[Finding]:
        """Nothing is compiled and no model is opened."""
        return [*self._kernels(), self._threads(), self._memory()]

    def _kernels(self) -> Sequence[Finding]:
        advice = "install Corral with its dependencies, numba among them: without it models run in numpy, very slowly"
        if self.config.kernels == "numpy":
            return [
                Finding(fact="kernels switched off", state="warning", advice='set kernels = "auto" in [plugins.engine]')
            ]
        try:
            from corral_engine.native import host, objects
        except ImportError as err:
            return [Finding(fact=f"no compiled kernels: {err}", state="broken", advice=advice)]
        found = host.detect()
        features = [name for name in _SHOWN if name in found.features]
        values = {"cpu": processor(), "llvm_cpu": found.cpu, "variant": found.variant, "features": features}
        fact = (
            f"{processor()}: kernels for {_MEANING[found.variant]} ({found.variant}); {' '.join(features) or 'no SIMD'}"
        )
        slow = found.variant == "portable"
        why = (
            f"{host.VARIANT_KEY} forces it" if os.environ.get(host.VARIANT_KEY) else "this processor has nothing better"
        )
        return [
            Finding(
                fact=fact,
                values=values,
                state="warning" if slow else "ok",
                advice=f"slow, but right: {why}" if slow else "",
            ),
            _cache(objects.cache_folder(found)),
        ]

    def _threads(self) -> Finding:
        from corral_engine.native.team import default_threads

        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        cores, asked = default_threads(), self.config.n_threads
        values = {"threads": asked or cores, "usable_cpus": usable}
        fact = f"{asked or cores} threads, of {usable} logical processors this process may use (a team of its own)"
        if asked > usable:
            advice = f"n_threads is {asked}: more than there are processors makes every step slower; set it to 0"
            return Finding(fact=fact, state="warning", advice=advice, values=values)
        return Finding(fact=fact, values=values)

    @staticmethod
    def _memory() -> Finding:
        from corral_engine import memory

        group, machine = memory.group_bytes(), memory.machine_bytes()
        left = min(group, machine)
        limit = f"{group >> 20} MiB left in its control group" if group < _UNLIMITED else "no limit of a control group"
        fact = f"{machine >> 20} MiB of memory free on the machine, {limit}" if machine < _UNLIMITED else limit
        values = {"free_bytes": machine, "group_bytes": group if group < _UNLIMITED else None}
        if left >= _LITTLE_MEMORY:
            return Finding(fact=fact, values=values)
        advice = "few models fit: use smaller ones, fewer at once (CORRAL_MAX_LOADED_MODELS=1), or give it more memory"
        return Finding(fact=fact, state="warning", advice=advice, values=values)


def _cache(folder: Path) -> Finding:
    """Where object code lies, and whether it can be written."""
    kernels = list(folder.glob("*.o")) if folder.is_dir() else []
    values = {"folder": str(folder), "kernels": len(kernels)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as err:
        advice = f"make {folder} writable or set XDG_CACHE_HOME: until then every start compiles the kernels again"
        fact = f"kernel cache {folder} cannot be written: {err.strerror or err}"
        return Finding(fact=fact, state="warning", advice=advice, values=values)
    if not kernels:
        return Finding(fact=f"kernel cache {folder} is empty: the first start compiles", values=values)
    return Finding(fact=f"{len(kernels)} compiled kernels in {folder}", values=values)


def processor() -> str:
    """The processor as the system names it."""
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
