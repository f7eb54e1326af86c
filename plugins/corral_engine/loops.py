"""Noticing that an answer only goes round in circles, as small models do: it would go on until somebody stops it."""

import numpy as np

_LONGEST = 256  # tokens of the longest circle that is noticed
_REPEATS = 30  # of one and the same token, as in the reference


class LoopWatch:
    """Follows one answer, token by token.  `limit`: tokens that only repeat what went before; 0 watches nothing.

    One and the same token need not come that often.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._recent = np.full(_LONGEST, -1, np.int64)  # newest first
        self._runs = np.zeros(_LONGEST, np.int64)  # how long the answer has repeated itself, for each length of circle

    def closes(self, token_id: int) -> bool:
        """Take in the next token; whether the answer has gone round one circle long enough."""
        if not self._limit:
            return False
        self._runs = np.where(self._recent == token_id, self._runs + 1, 0)
        self._recent[1:] = self._recent[:-1]
        self._recent[0] = token_id
        return bool(self._runs[0] >= _REPEATS or self._runs.max() >= self._limit)
