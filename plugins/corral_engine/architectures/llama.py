"""Llama 2, 3, 3.1, 3.2, Mistral, SmolLM2 and everything converted as "llama".

Touvron et al. 2023.  Llama 3's frequency factors come as the tensor `rope_freqs`; Mistral's early sliding window is
ignored, as it is by every GGUF runtime.
"""

from corral_engine.architecture import Architecture

LLAMA = Architecture(name="llama", rope="norm", rope_whole_head=True)
