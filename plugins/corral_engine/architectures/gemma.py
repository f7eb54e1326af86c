"""Gemma: embeddings times sqrt(E), a gelu gate, tied output.  Norm weights in GGUF files already hold the +1.

Gemma Team 2024.
"""

from corral_engine.architecture import Architecture, root_of_width

GEMMA = Architecture(name="gemma", rope="neox", activation="gelu", embedding_scale=root_of_width)
