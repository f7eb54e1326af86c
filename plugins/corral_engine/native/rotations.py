"""Tables of cosines and sines for rotary embedding, extended as positions are reached."""

import numpy as np

from corral_engine.native.plan import Rotation
from corral_engine.program import Float32

_FIRST_POSITIONS = 1024


class RotationTable:
    """`rows` float32 (positions, 2, pairs): magnitude · cos and magnitude · sin of position · inv_freq."""

    def __init__(self, rotation: Rotation) -> None:
        self._rotation = rotation
        self.rows: Float32 = self._compute(0, _FIRST_POSITIONS)

    def _compute(self, first: int, last: int) -> Float32:
        angle = np.arange(first, last, dtype=np.float64)[:, None] * np.asarray(self._rotation.inv_freq)
        both = np.stack([np.cos(angle), np.sin(angle)], axis=1) * self._rotation.magnitude
        return both.astype(np.float32)

    def reach(self, position: int) -> bool:
        """Make sure there is a row for `position`; True when the table moved."""
        known = len(self.rows)
        if position < known:
            return False
        wanted = max(2 * known, position + 1)
        self.rows = np.concatenate([self.rows, self._compute(known, wanted)])
        return True
