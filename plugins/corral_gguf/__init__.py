"""GGUF, the single-file model format of the ggml ecosystem: read in place, written as a stream.

Specification: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from corral_gguf.plugin import Plugin

__all__ = ["Plugin"]
