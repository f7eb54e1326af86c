"""Laws of every quantizer.  Subclass `QuantizerContract` in a test module and supply its one fixture."""

import numpy as np
import numpy.typing as npt
import pytest

from corral.errors import FormatError
from corral.protocols import Quantizer

Rows = npt.NDArray[np.float32]


class QuantizerContract:
    """A subclass supplies the `quantizer` fixture.

    Weights are rows of float32.  A storage type may refuse what it cannot hold with a FormatError; what it takes it
    gives back within its declared error, and nothing it does depends on the rows beside.
    """

    @pytest.fixture
    def quantizer(self) -> Quantizer:
        raise NotImplementedError("supply the quantizer under test")

    @pytest.fixture
    def rows(self) -> Rows:
        """Gaussian weights, 64 rows of 1024."""
        return np.random.default_rng(1).standard_normal((64, 1024), dtype=np.float32)

    def test_the_name_is_a_word(self, quantizer: Quantizer) -> None:
        assert quantizer.name.isidentifier()

    def test_size_is_as_declared(self, quantizer: Quantizer, rows: Rows) -> None:
        for part in (rows, rows[:1], rows[:7], rows[:3, : quantizer.block_size]):
            blocks = quantizer.quantize(part)
            assert blocks.dtype == np.uint8
            assert blocks.shape == (len(part), part.shape[1] // quantizer.block_size * quantizer.type_size)

    def test_error_is_within_the_declared_bound(self, quantizer: Quantizer, rows: Rows) -> None:
        assert _relative_error(quantizer, rows) <= quantizer.max_error

    def test_error_does_not_depend_on_the_scale_of_the_weights(self, quantizer: Quantizer, rows: Rows) -> None:
        for scale in (0.02, 100.0):  # what models have, and more
            scaled = rows * np.float32(scale)
            assert _relative_error(quantizer, scaled) <= 1.02 * quantizer.max_error

    def test_dequantize_gives_the_asked_shape(self, quantizer: Quantizer, rows: Rows) -> None:
        blocks = quantizer.quantize(rows)
        restored = quantizer.dequantize(blocks, (4, 16, 1024))
        assert restored.dtype == np.float32
        assert restored.shape == (4, 16, 1024)
        assert np.array_equal(restored.reshape(rows.shape), quantizer.dequantize(blocks.reshape(-1), rows.shape))

    def test_rows_are_independent_and_not_written(self, quantizer: Quantizer, rows: Rows) -> None:
        before = rows.copy()
        rows.flags.writeable = False
        together = quantizer.quantize(rows)
        for i in (0, 5, 63):
            assert np.array_equal(quantizer.quantize(rows[i : i + 1]), together[i : i + 1])
        assert np.array_equal(quantizer.quantize(rows[::2]), together[::2])
        assert np.array_equal(rows, before)

    def test_a_ragged_row_is_a_format_error(self, quantizer: Quantizer) -> None:
        if quantizer.block_size == 1:
            pytest.skip("rows of any length fit")
        for n_columns in (1, quantizer.block_size - 1, quantizer.block_size + 1):
            with pytest.raises(FormatError):
                quantizer.quantize(np.ones((2, n_columns), dtype=np.float32))

    def test_sizes_that_disagree_are_a_format_error(self, quantizer: Quantizer, rows: Rows) -> None:
        blocks = quantizer.quantize(rows)
        for shape in ((64, 1024 + quantizer.block_size), (63, 1024)):
            with pytest.raises(FormatError):
                quantizer.dequantize(blocks, shape)
        with pytest.raises(FormatError):
            quantizer.dequantize(blocks.reshape(-1)[:-1], (64, 1024))

    def test_zeros_stay_zero(self, quantizer: Quantizer) -> None:
        zeros = np.zeros((2, 512), dtype=np.float32)
        assert not _round_trip(quantizer, zeros).any()

    def test_constant_rows_keep_sign_and_size(self, quantizer: Quantizer) -> None:
        for value in (0.5, -0.5, 3.25):
            restored = _round_trip(quantizer, np.full((1, 512), value, dtype=np.float32))
            assert np.abs(restored - value).max() <= 0.35 * abs(value)

    def test_an_outlier_survives(self, quantizer: Quantizer, rows: Rows) -> None:
        outlying = rows[:4] * np.float32(0.01)
        outlying[:, 100] = [50.0, -50.0, 1000.0, -1000.0]
        restored = _round_trip(quantizer, outlying)
        assert np.isfinite(restored).all()
        assert np.allclose(restored[:, 100], outlying[:, 100], rtol=0.35)

    def test_subnormal_weights_stay_small(self, quantizer: Quantizer, rows: Rows) -> None:
        for scale in (1e-30, 1e-38, 1e-42):
            restored = _round_trip(quantizer, rows[:2] * np.float32(scale))
            assert np.abs(restored).max() <= 1e-20

    def test_nan_and_infinity_are_refused_or_kept(self, quantizer: Quantizer, rows: Rows) -> None:
        for value in (np.nan, np.inf, -np.inf):
            broken = rows[:2].copy()
            broken[1, 77] = value
            try:
                restored = _round_trip(quantizer, broken)
            except FormatError:
                continue
            assert np.array_equal(restored[1, 77], np.float32(value), equal_nan=True)
            assert np.isfinite(np.delete(restored.reshape(-1), 1024 + 77)).all()

    def test_weights_too_large_are_refused_or_kept(self, quantizer: Quantizer, rows: Rows) -> None:
        huge = rows[:2] * np.float32(1e30)
        try:
            restored = _round_trip(quantizer, huge)
        except FormatError:
            return
        assert np.isfinite(restored).all()


def _round_trip(quantizer: Quantizer, rows: Rows) -> Rows:
    restored: Rows = quantizer.dequantize(quantizer.quantize(rows), rows.shape)
    return restored


def _relative_error(quantizer: Quantizer, rows: Rows) -> float:
    """RMS of the error relative to the RMS of the weights."""
    difference = _round_trip(quantizer, rows).astype(np.float64) - rows
    return float(np.sqrt((difference**2).mean() / (rows.astype(np.float64) ** 2).mean()))
