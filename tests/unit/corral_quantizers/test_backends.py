"""The compiled functions give the same bits as the plain ones."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corral_quantizers import backend, compiler, kernels, reference

Call = Callable[[Any, np.ndarray], Any]
CALLS: dict[str, tuple[int, Call]] = {
    "all_finite": (32, lambda b, x: b.all_finite(x)),
    "affine_search Q2_K": (16, lambda b, x: b.affine_search(x, 3, -0.5, 0.1, 15, absolute=True, rms_weight=False)),
    "affine_search Q4_K": (32, lambda b, x: b.affine_search(x, 15, -1.0, 0.1, 20, absolute=False, rms_weight=True)),
    "affine_search Q5_K": (32, lambda b, x: b.affine_search(x, 31, -0.5, 0.1, 15, absolute=False, rms_weight=True)),
    "symmetric_search": (16, lambda b, x: b.symmetric_search(x, 32)),
    "descent_search": (16, lambda b, x: b.descent_search(x, 4)),
    "table_search": (32, lambda b, x: b.table_search(x)),
    "table_codes": (32, lambda b, x: b.table_codes(x, np.linspace(-90, 90, len(x), dtype=np.float32))),
    "extreme_codes Q4_0": (32, lambda b, x: b.extreme_codes(x, 8)),
    "extreme_codes Q5_0": (32, lambda b, x: b.extreme_codes(x, 16)),
    "range_codes": (32, lambda b, x: b.range_codes(x, 31)),
    "byte_codes": (32, lambda b, x: b.byte_codes(x)),
    "mx_codes": (32, lambda b, x: b.mx_codes(x, np.exp2(np.arange(len(x)) % 40 - 30).astype(np.float32))),
    "pack_nibbles": (64, lambda b, x: b.pack_nibbles((x.view(np.uint32) & 15).astype(np.uint8), 32)),
}


@pytest.mark.parametrize("n_sub", [1, 7, 8, 9, 23, 1000])
@pytest.mark.parametrize("name", CALLS)
def test_compiled_equals_plain(name: str, n_sub: int, hard_rows: np.ndarray) -> None:
    n, call = CALLS[name]
    x = np.resize(hard_rows.reshape(-1, n), (n_sub, n))
    plain, compiled = call(reference, x), call(kernels, x)
    for a, b in zip(_parts(plain), _parts(compiled), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert np.array_equal(a, b)


def test_rounding_again_equals_plain_and_keeps_codes_without_a_scale(hard_rows: np.ndarray) -> None:
    x = hard_rows.reshape(-1, 32)
    scale = np.where(np.arange(len(x)) % 5, np.abs(x).max(axis=1) / 15, 0).astype(np.float32)
    minimum = np.abs(x).mean(axis=1)
    results = []
    for module in (reference, kernels):
        codes = np.full(x.shape, 77, dtype=np.uint8)
        module.round_codes(x, scale, minimum, 0, 15, codes)
        results.append(codes)
    assert np.array_equal(*results)
    assert (results[0][scale == 0] == 77).all()
    assert (results[0][scale != 0] <= 15).all()


def test_every_half_float_widens_alike() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16)
    for count in (1 << 16, 13, 3):
        plain, compiled = reference.widen_halves(halves[-count:]), kernels.widen_halves(halves[-count:])
        assert np.array_equal(plain.view(np.uint32), compiled.view(np.uint32))


@pytest.mark.parametrize(("name", "infinity"), [("narrow_halves", 0x7C00), ("narrow_brains", 0x7F80)])
def test_every_kind_of_number_narrows_alike(name: str, infinity: int) -> None:
    """All exponents, both signs, and the bits around every point where rounding turns."""
    tops = np.arange(1 << 16, dtype=np.uint32)[:, None] << np.uint32(16)
    lows = np.array([0, 1, 0x0FFF, 0x1000, 0x1001, 0x3000, 0x7FFF, 0x8000, 0x8001, 0xF000, 0xFFFF], dtype=np.uint32)
    x = (tops | lows).reshape(-1).view(np.float32)
    plain, compiled = getattr(reference, name)(x), getattr(kernels, name)(x)
    numbers = ~np.isnan(x)
    assert np.array_equal(plain[numbers], compiled[numbers])
    assert (compiled[~numbers] & 0x7FFF > infinity).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 9, 66])
def test_a_number_that_is_none_is_found_anywhere(value: float, position: int) -> None:
    x = np.ones((67, 1), dtype=np.float32)
    assert kernels.all_finite(x)
    x[position] = value
    assert not kernels.all_finite(x)
    assert not reference.all_finite(x)


def test_plain_numpy_runs_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    assert backend.load_backend() is kernels
    assert backend.load_backend(compiled=False) is reference
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: None)
    assert backend.load_backend() is reference


def test_numba_is_not_imported_before_it_is_used() -> None:
    code = (
        "import sys; from corral_quantizers.plugin import Plugin\n"
        "plugin = Plugin(Plugin.Config())\n"
        "list(plugin.corral_quantizers()), plugin.corral_file_quantizer().file_types\n"
        "sys.exit(' '.join({'numpy', 'numba', 'gguf'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_kernels_compile_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setattr(compiler, "cache_folder", lambda: blocked / "cache")
    double = compiler.jit(lambda x: x + x)
    assert double(4) == 8


def test_machine_code_is_cached_in_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler.sys, "platform", "linux")
    monkeypatch.setattr(compiler._CONFIG, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = compiler.cache_folder()
    assert folder.parent == tmp_path / "corral"
    assert compiler.jit(_increment)(1) == 2
    assert list(folder.rglob("*.nbc"))
    assert not compiler._CONFIG.CACHE_DIR
    monkeypatch.setattr(compiler._CONFIG, "CACHE_DIR", str(tmp_path / "chosen"))
    assert compiler.cache_folder() == tmp_path / "chosen"


def _increment(x: int) -> int:
    return x + 1


def _parts(result: Any) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(part) for part in (result if isinstance(result, tuple) else (result,)))
