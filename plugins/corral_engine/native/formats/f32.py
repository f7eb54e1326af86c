"""F32: float32 weights."""

from collections.abc import Callable

from corral_engine.native.catalog import FORMATS
from corral_engine.native.kernels import float_product
from corral_engine.native.simd import inline, load_f32x8, load_i32, store_i32


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    return store_i32(target + 4 * lane, load_i32(source))


FORMAT = float_product.FloatFormat(FORMATS["F32"], _repack, load_f32x8)


def build(what: str) -> Callable[..., None]:
    """See `float_product.build`."""
    return float_product.build(FORMAT, what)
