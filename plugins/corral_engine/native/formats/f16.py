"""F16: float16 weights, widened to float32 as they are read."""

from collections.abc import Callable

from corral_engine.native.catalog import FORMATS
from corral_engine.native.kernels import float_product
from corral_engine.native.simd import inline, load_f16x8, load_u16, store_u16


@inline
def _repack(source, target, lane):  # type: ignore[no-untyped-def]
    return store_u16(target + 2 * lane, load_u16(source))


FORMAT = float_product.FloatFormat(FORMATS["F16"], _repack, load_f16x8)


def build(what: str) -> Callable[..., None]:
    """See `float_product.build`."""
    return float_product.build(FORMAT, what)
