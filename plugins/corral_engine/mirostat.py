"""Mirostat: keep the surprise of the text near a target.  Basu et al. 2020, versions 1 and 2."""

import math

import numpy as np

from corral_engine.candidates import Candidates

_TOP = 100  # candidates from which version 1 estimates Zipf's exponent


class Mirostat:
    """The state of one sequence: `mu`, the largest surprise allowed next, in bits."""

    def __init__(self, version: int, tau: float, eta: float) -> None:
        self.version, self.tau, self.eta = version, tau, eta
        self.mu = 2 * tau

    def truncate(self, candidates: Candidates, vocab_size: int) -> None:
        """Drop what would surprise more than `mu` allows; at least one token stays."""
        probabilities = candidates.probabilities()
        if self.version == 1:
            candidates.keep_best(self._zipf_count(probabilities, vocab_size))
            return
        likely = probabilities >= 2.0 ** min(-self.mu, 1000.0)  # a surprise of at most mu
        if likely.any():
            candidates.keep(likely)
        else:
            candidates.keep_best(1)

    def _zipf_count(self, probabilities: "np.typing.NDArray[np.float64]", vocab_size: int) -> int:
        top = np.sort(np.partition(probabilities, -_TOP)[-_TOP:] if len(probabilities) > _TOP else probabilities)[::-1]
        top = top[top > 0]
        if len(top) < 2:
            return 1
        rank = np.arange(len(top) - 1)
        t = np.log((rank + 2) / (rank + 1))
        exponent = float(-(t * np.diff(np.log(top))).sum() / (t * t).sum())
        epsilon = exponent - 1
        spread = 1 - vocab_size**-epsilon
        if exponent <= 0 or spread == 0:
            return len(probabilities)
        log_k = (math.log(abs(epsilon / spread)) + self.mu * math.log(2)) / exponent
        return max(1, int(math.exp(min(log_k, math.log(len(probabilities))))))

    def accept(self, probability: float) -> None:
        """Learn how surprising the drawn token was."""
        self.mu -= self.eta * (-math.log2(max(probability, 1e-45)) - self.tau)
