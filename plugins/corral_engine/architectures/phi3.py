"""Phi 3, 3.5 and 4: fused qkv, fused gate and up, longrope factor tensors for the long-context models.

Abdin et al. 2024.  The window key is read by no GGUF runtime and ignored here too.
"""

from corral_engine.architecture import Architecture

PHI3 = Architecture(name="phi3", rope="neox", ffn="fused")
