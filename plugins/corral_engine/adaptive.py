"""Adaptive-p: draw tokens whose probability is near a target, and keep their average there.

Source: llama.cpp's sampler of that name.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from corral_engine.candidates import Candidates

_PEAK, _SHARPNESS, _WIDTH = 5.0, 10.0, 0.3  # of the curve that favours what is near the target
_MAX_DECAY = 0.99


class AdaptiveP:
    """The state of one sequence: a decaying average of how probable its tokens were before they were drawn."""

    def __init__(self, target: float, decay: float) -> None:
        """`target` in [0, 1]; the average reaches back 1 / (1 - `decay`) tokens or so."""
        self.target, self.decay = min(target, 1.0), min(max(decay, 0.0), _MAX_DECAY)
        self._weight = 1 / (1 - self.decay)
        self._sum = self.target * self._weight
        # Length of the history, the token drawn behind it, how probable it was.
        self._pending: tuple[int, int, float] | None = None

    def reshape(self, candidates: Candidates, probabilities: NDArray[np.float64]) -> None:
        """Give the highest logits to the probabilities near what would bring the average to the target."""
        wanted = min(max(2 * self.target - self._sum / self._weight, 0.0), 1.0)
        distance = np.abs(probabilities - wanted) / _WIDTH
        logits = _PEAK - _SHARPNESS * distance * distance / (1 + distance)
        candidates.logits = np.where(np.isneginf(candidates.logits), -np.inf, logits).astype(np.float32)
        candidates.is_sorted = False

    def drawn(self, token: int, probability: float, history: Sequence[int]) -> None:
        """Told after each draw; the token counts once it turns out to be part of the text."""
        self._pending = (len(history), token, probability)

    def learn(self, history: Sequence[int]) -> None:
        """Told before each draw: a token that a grammar refused is not in the history."""
        if self._pending is not None:
            length, token, probability = self._pending
            if len(history) != length and history[-1:] == [token]:
                self._sum = probability + self.decay * self._sum
                self._weight = 1 + self.decay * self._weight
            self._pending = None
