"""BERT encoders (MiniLM, bge, e5 …): learned positions, norms after each residual, no causal mask, pooled states.

Devlin et al. 2018.  GGUF runtimes use the tanh form of gelu; the difference from erf is about 1e-3 an activation, so
the exact form that the checkpoints were trained with is used.
"""

from corral_engine.architecture import Architecture

BERT = Architecture(
    name="bert",
    norm="layer",
    skeleton="bert",
    rope="none",
    activation="gelu_erf",
    ffn="plain",
    causal=False,
    pooling="mean",
    position_table=True,
    token_types=True,
    embedding_norm=True,
    output_norm=False,
    head=False,
    shiftable=False,
)
