"""Which instruction set the kernels are compiled for.

Imports only `llvmlite.binding`: a warm start asks these questions before (and without) importing Numba.
"""

import os
from dataclasses import dataclass
from typing import Literal

from llvmlite import binding

Variant = Literal["avx2", "vnni", "neon", "portable"]

VARIANT_KEY = "CORRAL_SIMD"
"""Environment variable that forces a variant; "portable" runs anywhere."""

_AVX2 = ("avx2", "fma", "f16c", "ssse3")
_NEON = ("neon", "dotprod")


@dataclass(frozen=True, slots=True)
class Host:
    """A CPU as LLVM names it, the features it has, and the SIMD variant chosen for it."""

    cpu: str
    features: frozenset[str]
    variant: Variant

    @property
    def has_fma(self) -> bool:
        """Fused multiply-add is one instruction (elsewhere it would be a slow library call)."""
        return "fma" in self.features or "neon" in self.features

    @property
    def converts_f16(self) -> bool:
        return "f16c" in self.features or "neon" in self.features


def _variant(features: frozenset[str], forced: str) -> Variant:
    if forced == "portable":
        return "portable"
    if features.issuperset(_AVX2):
        vnni = "avxvnni" in features or features.issuperset(("avx512vnni", "avx512vl"))
        return "vnni" if vnni and forced != "avx2" else "avx2"
    return "neon" if features.issuperset(_NEON) else "portable"


def detect(forced: str | None = None) -> Host:
    """The CPU this process runs on.  `forced` "" means automatic, None whatever the environment says."""
    found = binding.get_host_cpu_features()
    features = frozenset(name for name, present in found.items() if present)
    choice = os.environ.get(VARIANT_KEY, "") if forced is None else forced
    return Host(binding.get_host_cpu_name(), features, _variant(features, choice))
