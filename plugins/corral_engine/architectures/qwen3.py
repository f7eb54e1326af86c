"""Qwen 3: a norm on every query and key head before the rotation, no biases.  Yang et al. 2025."""

from corral_engine.architecture import Architecture

QWEN3 = Architecture(name="qwen3", rope="neox", qk_norm="head")
