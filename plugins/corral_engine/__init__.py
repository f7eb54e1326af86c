"""The inference engine: transformers on the CPU, from mapped weights to sampled tokens.

Weight formats are ggml's (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md); the architectures follow their
papers, named in `corral_engine.architectures`.
"""

from corral_engine.plugin import Plugin

__all__ = ["Plugin"]
