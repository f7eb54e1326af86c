"""Qwen 2 and 2.5: llama with biases on q, k and v, and half-split rotation.  Yang et al. 2024."""

from corral_engine.architecture import Architecture

QWEN2 = Architecture(name="qwen2", rope="neox")
