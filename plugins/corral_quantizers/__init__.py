"""The storage types of quantized weights: blocks of 32 or 256 weights with shared scales, as GGUF files hold them.

Layouts and searches are those of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and of llama.cpp's
llama-quantize; MXFP4 is https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf.
"""

from corral_quantizers.plugin import Plugin

__all__ = ["Plugin"]
