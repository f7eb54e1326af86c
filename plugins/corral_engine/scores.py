"""Log-probabilities of tokens, from the raw logits before any sampler."""

import numpy as np

from corral import ScoredToken
from corral_engine.candidates import largest
from corral_engine.program import Float32


def score(logits: Float32, token_id: int, n_top: int) -> ScoredToken:
    """log-softmax of `logits` (V,) at `token_id` and at the `n_top` best.  Sums in float64."""
    best = float(logits.max())
    norm = best + float(np.log(np.exp(logits - np.float32(best)).sum(dtype=np.float64)))
    top: tuple[tuple[int, float], ...] = ()
    if n_top > 0:
        rivals = largest(logits, min(n_top, len(logits)))
        top = tuple((int(i), float(value) - norm) for i, value in zip(rivals.ids, rivals.logits, strict=True))
    return ScoredToken(token_id=token_id, logprob=float(logits[token_id]) - norm, top=top)
