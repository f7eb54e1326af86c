"""What becomes of a product: out = [out +] (product + bias) * scale, eight outputs at a time."""

from corral_engine.native.optable import GROUP_ROWS, Linear
from corral_engine.native.simd import (
    add,
    inline,
    load_f32,
    load_f32x8,
    load_i64,
    mul,
    splat_load_f32,
    store_f32,
    store_f32x8,
)

_OUT, _OUT_STRIDE, _WIDTH = 8 * Linear.OUT, 8 * Linear.OUT_STRIDE, 8 * Linear.WIDTH
_BIAS, _ADD, _OUT_SCALE = 8 * Linear.BIAS, 8 * Linear.ADD, 8 * Linear.OUT_SCALE
_ROW_BYTES = 4 * GROUP_ROWS


@inline
def write_results(op, row, group, product, scratch):  # type: ignore[no-untyped-def]
    """Write the results of one group for one row; `scratch` holds eight floats while a ragged last group is written."""
    out = load_i64(op + _OUT) + row * load_i64(op + _OUT_STRIDE) + group * _ROW_BYTES
    bias = load_i64(op + _BIAS)
    if bias != 0:
        product = add(product, load_f32x8(bias + group * _ROW_BYTES))
    product = mul(product, splat_load_f32(op + _OUT_SCALE))
    if load_i64(op + _ADD) != 0:
        product = add(load_f32x8(out), product)
    left = load_i64(op + _WIDTH) - group * GROUP_ROWS
    if left >= GROUP_ROWS:
        store_f32x8(out, product)
    else:
        store_f32x8(scratch, product)
        for i in range(left):
            store_f32(out + 4 * i, load_f32(scratch + 4 * i))
    return 0
