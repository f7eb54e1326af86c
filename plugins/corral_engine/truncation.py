"""Samplers that drop unlikely tokens.  Each takes candidates and changes them in place; at least one stays.

Sources: Fan et al. 2018 (top-k), Holtzman et al. 2019 (top-p), Meister et al. 2022 (typical), Nguyen et al. 2024
(min-p), Tang et al. 2024 (top-n-sigma).  Probabilities are renormalised over the candidates that are left.
"""

import math

import numpy as np
from numpy.typing import NDArray

from corral_engine.candidates import Candidates, Ids
from corral_engine.program import Float32

_FIRST_LOOK = 256  # candidates among which top-p and typical look for their prefix first
_WIDER = 16
XTC_MAX_THRESHOLD = 0.5  # above it at most one token can qualify, so nothing would ever be removed


def top_k(candidates: Candidates, k: int) -> None:
    """Keep the k highest; k <= 0 keeps all."""
    if k > 0:
        candidates.sort()
        candidates.keep(slice(0, k))


def top_p(candidates: Candidates, p: float, min_keep: int) -> None:
    """Keep the shortest prefix whose probabilities sum to at least p."""
    if p >= 1:
        return
    total = _weights(candidates.logits, candidates.logits.max()).sum()
    size, best, k = len(candidates), candidates, max(_FIRST_LOOK, min_keep)
    while True:  # the prefix is nearly always short: look at a few, then at many more
        best = Candidates(candidates.ids, candidates.logits, is_sorted=candidates.is_sorted)
        best.keep_best(k)
        cumulative = _weights(best.logits, best.logits[0]).cumsum()
        count = int(cumulative.searchsorted(p * total)) + 1
        if count <= len(best) or len(best) == size:
            break
        k *= _WIDER
    best.keep(slice(0, max(count, min_keep, 1)))
    candidates.ids, candidates.logits, candidates.is_sorted = best.ids, best.logits, True


def _weights(logits: Float32, highest: np.float32) -> NDArray[np.float64]:
    """Softmax without the division."""
    weights: NDArray[np.float64] = logits.astype(np.float64)
    weights -= highest
    np.exp(weights, out=weights)
    return weights


def min_p(candidates: Candidates, p: float, min_keep: int) -> None:
    """Keep tokens at least p times as likely as the likeliest; one at least, where p is above 1."""
    if p <= 0:
        return
    min_keep = max(min_keep, 1)
    bound = np.float32(candidates.logits.max() + np.float32(math.log(p)))
    keep = candidates.logits >= bound
    if int(keep.sum()) < min_keep:
        top_k(candidates, min_keep)
        return
    candidates.keep(keep)


def typical(candidates: Candidates, p: float, min_keep: int) -> None:
    """Keep the tokens whose surprise is nearest to the entropy, until their probabilities exceed p."""
    if p >= 1:
        return
    probabilities = candidates.probabilities()
    possible = probabilities > 0
    surprise = np.full(len(probabilities), np.inf)
    surprise[possible] = -np.log(probabilities[possible])
    entropy = float((probabilities[possible] * surprise[possible]).sum())
    distance, k = np.abs(surprise - entropy), max(_FIRST_LOOK, min_keep)
    while True:
        order = _nearest(distance, k)
        count = int(probabilities[order].cumsum().searchsorted(p, side="right")) + 1
        if count <= len(order) or len(order) == len(distance):
            break
        k *= _WIDER
    candidates.keep(order[: max(count, min_keep, 1)])
    candidates.is_sorted = False


def _nearest(distance: NDArray[np.float64], k: int) -> Ids:
    """Where the k smallest (or more, if the k-th is tied) are, in ascending order; of equals the first comes first."""
    near: Ids = np.arange(len(distance))
    if k < len(distance):
        (near,) = (distance <= np.partition(distance, k - 1)[k - 1]).nonzero()
    order: Ids = near[distance[near].argsort(kind="stable")]
    return order


def top_n_sigma(candidates: Candidates, n: float) -> None:
    """Mask (to -inf, they stay candidates) logits further than n standard deviations below the highest."""
    if n <= 0:
        return
    logits = candidates.logits
    finite = logits[np.isfinite(logits)]
    bound = finite.max() - np.float32(n) * finite.std(dtype=np.float64)
    candidates.logits = np.where(logits < bound, np.float32(-np.inf), logits)


def xtc(candidates: Candidates, draw: float, probability: float, threshold: float, min_keep: int) -> None:
    """With the given probability drop every token of at least `threshold` but the least likely of them."""
    if probability <= 0 or threshold > XTC_MAX_THRESHOLD or len(candidates) < 2 or draw > probability:
        return
    probabilities = candidates.probabilities()
    (likely,) = (probabilities >= threshold).nonzero()
    if len(likely) > 1 and len(candidates) - len(likely) + 1 >= min_keep:
        keep = np.ones(len(candidates), bool)
        keep[likely] = False
        keep[likely[len(likely) - 1 - probabilities[likely][::-1].argmin()]] = True  # of equals the last
        candidates.keep(keep)
