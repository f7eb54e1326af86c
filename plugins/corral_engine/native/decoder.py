"""Decodes groups of rows to float32 when a kernel asks: the way of storage types that have no kernels."""

import ctypes
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from corral_engine.dequantize import dequantize, row_bytes
from corral_engine.native.optable import GROUP_ROWS
from corral_engine.program import Tensors, Weight

_FUNCTION = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)


class Decoder:
    """The function that `kernels.decoded_product` calls, on any thread of the team; it takes the interpreter lock."""

    def __init__(self, weights: Mapping[str, Weight], tensors: Tensors) -> None:
        """`weights` are those that are decoded on use; a weight's number is its place among them."""
        self._weights = [(weight, tensors[name].reshape(weight.shape[0], -1)) for name, weight in weights.items()]
        self.numbers = {name: number for number, name in enumerate(weights)}
        self._function = _FUNCTION(self._call)
        self._error: BaseException | None = None

    @property
    def address(self) -> int:
        return ctypes.cast(self._function, ctypes.c_void_p).value or 0

    def check(self) -> None:
        """Raise what went wrong since the last time."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _call(self, number: int, first: int, count: int, target: int) -> None:
        try:
            weight, rows = self._weights[number]
            columns = weight.shape[1]
            buffer = (ctypes.c_float * (count * GROUP_ROWS * columns)).from_address(target)
            groups = np.ctypeslib.as_array(buffer).reshape(count, columns, GROUP_ROWS)
            decode_groups(weight, rows[first * GROUP_ROWS : (first + count) * GROUP_ROWS], groups)
        except BaseException as error:  # compiled code has no use for an exception: `check` raises it after the step
            self._error = error


def decode_groups(weight: Weight, rows: NDArray[np.uint8], groups: NDArray[np.float32]) -> None:
    """Rows of bytes → groups (G, columns, GROUP_ROWS), zeros behind the last row."""
    columns = weight.shape[1]
    assert rows.shape[1] == row_bytes(weight.type, columns)
    values = np.zeros((len(groups) * GROUP_ROWS, columns), np.float32)
    values[: len(rows)] = dequantize(rows, weight.type, columns)
    groups[:] = values.reshape(len(groups), GROUP_ROWS, columns).transpose(0, 2, 1)
