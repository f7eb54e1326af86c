"""Safetensors checkpoints, as Hugging Face folders hold them, turned into GGUF files while a model is made.

Specification of the container: https://github.com/huggingface/safetensors#format
"""

from corral_safetensors.plugin import Plugin

__all__ = ["Plugin"]
