"""The tokens that are still in play for one position, with their logits."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from corral_engine.program import Float32

Ids = NDArray[np.intp]
HIGHEST = float(np.finfo(np.float32).max)


@lru_cache(maxsize=4)
def every_id(size: int) -> Ids:
    """0, 1 … size - 1, made once and read-only: a vocabulary is large, and each token starts from all of it."""
    ids = np.arange(size)
    ids.flags.writeable = False
    return ids


def rounded(logits: NDArray[np.float64]) -> Float32:
    """As float32; what is finite stays finite."""
    finite = np.isfinite(logits)
    return np.where(finite, logits.clip(-HIGHEST, HIGHEST), logits).astype(np.float32)


class Candidates:
    """`ids` (N,) and `logits` (N,).  When `is_sorted`, logits descend and ties have the lower id first."""

    __slots__ = ("ids", "is_sorted", "logits")

    def __init__(self, ids: Ids, logits: Float32, *, is_sorted: bool = False) -> None:
        self.ids, self.logits, self.is_sorted = ids, logits, is_sorted

    @classmethod
    def whole(cls, logits: Float32) -> "Candidates":
        """The whole vocabulary; `logits` is taken over, not copied."""
        return cls(every_id(len(logits)), logits)

    @property
    def is_whole(self) -> bool:
        """Whether each token stands at the place of its id.  False may be said of some that do."""
        return self.ids is every_id(len(self.ids))

    @property
    def best(self) -> float:
        """The highest logit."""
        return float(self.logits[0] if self.is_sorted else self.logits.max())

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

    A bound below the k-th best leaves only a few candidates to sort.  The k-th best of the maxima of groups of 64 is
    one, and ten times faster to find than the k-th best itself, which is taken where k is large.
    """
    size = len(logits)
    if k >= size:
        ids = every_id(size)
    elif k * _GROUP * 2 >= size:
        ids = _at_least(logits, np.partition(logits, size - k)[size - k], k)
    else:
        whole = size // _GROUP * _GROUP
        maxima = logits[:whole].reshape(_GROUP, -1).max(axis=0)  # strided groups: whole rows are compared at once
        maxima.partition(len(maxima) - k)
        ids = _at_least(logits, maxima[len(maxima) - k], k)
    best = Candidates(ids, logits[ids])
    best.sort()
    best.keep(slice(0, k))
    return best


def _at_least(logits: Float32, bound: np.float32, k: int) -> Ids:
    """Ids, ascending, of the logits from `bound` on; where that is -inf (most of the vocabulary is masked), of the
    finite ones and of as many others as k needs.
    """
    ids: Ids
    if np.isfinite(bound):
        (ids,) = (logits >= bound).nonzero()
        return ids
    masked = np.isneginf(logits)
    (ids,) = (~masked).nonzero()
    if len(ids) < k:
        masked[masked.nonzero()[0][k - len(ids) :]] = False
        masked[ids] = True
        (ids,) = masked.nonzero()
    return ids
