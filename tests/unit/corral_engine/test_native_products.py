"""Native matrix products equal plain numpy over ragged shapes, in every SIMD variant that runs here."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import products
import pytest

from corral_engine.dequantize import dequantize
from corral_engine.native.catalog import DECODED, FORMATS
from corral_engine.native.host import VARIANT_KEY, detect
from corral_engine.native.kernels import quantize

TOLERANCE = 2e-6  # of Σ |w · x|: float32 sums of exact block sums


def expected(
    storage: str, data: products.Bytes, x: products.Array, n_rows: int
) -> tuple[products.Array, products.Array]:
    """The product in float64, and Σ |w · x|."""
    columns = x.shape[1]
    w = dequantize(data, storage, columns).reshape(n_rows, columns).astype(np.float64)
    wide = x.astype(np.float64)
    if FORMATS.get(storage, DECODED).quantized_x:
        codes, d = quantize.reference(x)
        wide = (codes.reshape(*d.shape, -1) * d[..., None].astype(np.float64)).reshape(x.shape)
    return wide @ w.T, np.abs(wide) @ np.abs(w).T


@pytest.mark.parametrize("storage", [*FORMATS, *products.DECODED])
def test_equals_numpy(storage: str) -> None:
    for n_rows, columns, count in products.cases(storage):
        x, data = products.random_rows(count, columns), products.random_weights(storage, n_rows, columns)
        found = products.product(storage, data, x, n_rows)
        exact, size = expected(storage, data, x, n_rows)
        assert found.shape == exact.shape
        assert (np.abs(found - exact) <= TOLERANCE * size + 1e-30).all(), (n_rows, columns, count)


@pytest.mark.parametrize("storage", [*FORMATS, "F64", "IQ2_S"])
def test_company_and_threads_change_no_bit(storage: str) -> None:
    n_rows, columns = 77, 512
    x, data = products.random_rows(19, columns), products.random_weights(storage, n_rows, columns)
    bits = []
    for n_threads in (1, 2, 3):
        made = products.Products(storage, data, x, n_rows, n_threads)
        bits += [
            np.concatenate([made.run(chunk) for chunk in np.split(np.arange(19), cuts)]).view(np.uint32)
            for cuts in ([], [1, 2, 3, 9], list(range(1, 19)), [4, 8, 18])
        ]
        made.close()
    assert all((other == bits[0]).all() for other in bits[1:])


def test_what_goes_wrong_while_decoding_ends_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: object) -> None:
        raise MemoryError("no room for 32 rows")

    x, data = products.random_rows(2, 256), products.random_weights("IQ3_S", 32, 256)
    made = products.Products("IQ3_S", data, x, 32)
    before = made.run([0, 1])
    with monkeypatch.context() as patch:
        patch.setattr("corral_engine.native.decoder.dequantize", out_of_memory)
        with pytest.raises(MemoryError, match="32 rows"):
            made.run([0, 1])
    assert (made.run([0, 1]) == before).all()
    made.close()


@pytest.mark.parametrize("variant", ["portable", "avx2"])
def test_every_variant_gives_the_same_bits(variant: str, tmp_path: Path) -> None:
    if variant == detect().variant or (variant == "avx2" and detect("").variant != "vnni"):
        pytest.skip(f"{variant} is not another variant on this computer")
    path = tmp_path / "results.npz"
    environment = {**os.environ, VARIANT_KEY: variant, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, products.__file__, str(path), *products.BLOCKS]
    subprocess.run(command, env=environment, check=True, timeout=600)
    with np.load(path) as arrays:
        theirs = dict(arrays)
    ours = {name: rows for storage in products.BLOCKS for name, rows in products.results(storage).items()}
    assert theirs.keys() == ours.keys()
    different = [name for name, rows in ours.items() if not np.array_equal(theirs[name], rows)]
    assert not different
