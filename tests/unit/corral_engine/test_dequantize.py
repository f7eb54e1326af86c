"""Every storage type decodes to the same bits as the `gguf` package."""

import warnings

import gguf
import numpy as np
import pytest

from corral import FormatError, Unsupported
from corral_engine.dequantize import _BY_GGUF, _TYPES, block_layout, dequantize, row_bytes


@pytest.mark.parametrize("storage", sorted({*_TYPES, *_BY_GGUF} - {"F64", "Q1_0", "Q2_0"}))
def test_equals_the_reference(storage: str) -> None:
    weights, size = block_layout(storage)
    data = np.random.default_rng(0).integers(0, 256, (16, 4 * size), dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random scales may be infinite
        found = dequantize(data, storage, 4 * weights)
        expected = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[storage])
    assert found.dtype == np.float32
    assert np.array_equal(found.view(np.uint32), expected.reshape(found.shape).view(np.uint32)) or np.array_equal(
        found, expected.reshape(found.shape), equal_nan=True
    )


def test_ragged_rows_and_unknown_types_are_refused() -> None:
    with pytest.raises(FormatError, match="blocks of 32"):
        row_bytes("Q4_0", 33)
    with pytest.raises(FormatError, match="rows"):
        dequantize(np.zeros(17, np.uint8), "Q4_0", 32)
    with pytest.raises(Unsupported, match="Q9_9"):
        row_bytes("Q9_9", 32)


def test_types_that_the_gguf_package_does_not_decode() -> None:
    half = np.frombuffer(np.float16(0.5).tobytes(), np.uint8)
    one_bit = np.concatenate([half, np.array([0b00000101, *[0] * 15], np.uint8)])
    assert dequantize(one_bit, "Q1_0", 128)[0].tolist() == [0.5, -0.5, 0.5, *[-0.5] * 125]
    two_bits = np.concatenate([half, np.array([0b11100100, *[0] * 15], np.uint8)])
    assert dequantize(two_bits, "Q2_0", 64)[0].tolist() == [-0.5, 0, 0.5, 1, *[-0.5] * 60]
