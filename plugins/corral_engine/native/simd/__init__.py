"""The SIMD vocabulary: registers as Numba values, and words that each stand for one operation on them.

A register type is a Numba type whose data model is an LLVM vector.  A word is an `@intrinsic` that emits one LLVM
operation (or the two or three a machine needs for it), so a kernel reads like a program for a vector machine, needs no
compiler on the user's computer and runs on whatever CPU it finds.  Memory is addressed by plain int64 addresses; loads
and stores need no alignment.  Integer words are exact and float words round once, so every variant of a word gives the
same bits wherever fused multiply-add exists.
"""

from corral_engine.native.simd.codes import (
    Sums as Sums,
)
from corral_engine.native.simd.codes import (
    dot as dot,
)
from corral_engine.native.simd.codes import (
    dot_pairs as dot_pairs,
)
from corral_engine.native.simd.codes import (
    dot_signed as dot_signed,
)
from corral_engine.native.simd.codes import (
    high_nibbles as high_nibbles,
)
from corral_engine.native.simd.codes import (
    join_codes as join_codes,
)
from corral_engine.native.simd.codes import (
    load_codes as load_codes,
)
from corral_engine.native.simd.codes import (
    low_nibbles as low_nibbles,
)
from corral_engine.native.simd.codes import (
    mask_codes as mask_codes,
)
from corral_engine.native.simd.codes import (
    no_sums as no_sums,
)
from corral_engine.native.simd.codes import (
    scale_codes as scale_codes,
)
from corral_engine.native.simd.codes import (
    shift_codes as shift_codes,
)
from corral_engine.native.simd.codes import (
    splat_codes as splat_codes,
)
from corral_engine.native.simd.codes import (
    store_codes as store_codes,
)
from corral_engine.native.simd.codes import (
    sums_i32 as sums_i32,
)
from corral_engine.native.simd.codes import (
    sums_times_high as sums_times_high,
)
from corral_engine.native.simd.codes import (
    sums_times_low as sums_times_low,
)
from corral_engine.native.simd.codes import (
    table_codes as table_codes,
)
from corral_engine.native.simd.floats import (
    absolute as absolute,
)
from corral_engine.native.simd.floats import (
    add as add,
)
from corral_engine.native.simd.floats import (
    as_i32 as as_i32,
)
from corral_engine.native.simd.floats import (
    div as div,
)
from corral_engine.native.simd.floats import (
    fma_f32 as fma_f32,
)
from corral_engine.native.simd.floats import (
    largest as largest,
)
from corral_engine.native.simd.floats import (
    like as like,
)
from corral_engine.native.simd.floats import (
    load_bf16x8 as load_bf16x8,
)
from corral_engine.native.simd.floats import (
    load_f16x8 as load_f16x8,
)
from corral_engine.native.simd.floats import (
    load_f16x32 as load_f16x32,
)
from corral_engine.native.simd.floats import (
    load_f32x8 as load_f32x8,
)
from corral_engine.native.simd.floats import (
    load_f32x32 as load_f32x32,
)
from corral_engine.native.simd.floats import (
    maximum as maximum,
)
from corral_engine.native.simd.floats import (
    minimum as minimum,
)
from corral_engine.native.simd.floats import (
    mul as mul,
)
from corral_engine.native.simd.floats import (
    splat_f32 as splat_f32,
)
from corral_engine.native.simd.floats import (
    splat_load_f16 as splat_load_f16,
)
from corral_engine.native.simd.floats import (
    splat_load_f16x32 as splat_load_f16x32,
)
from corral_engine.native.simd.floats import (
    splat_load_f32 as splat_load_f32,
)
from corral_engine.native.simd.floats import (
    splat_load_f32x32 as splat_load_f32x32,
)
from corral_engine.native.simd.floats import (
    store_f16x8 as store_f16x8,
)
from corral_engine.native.simd.floats import (
    store_f32x8 as store_f32x8,
)
from corral_engine.native.simd.floats import (
    store_f32x32 as store_f32x32,
)
from corral_engine.native.simd.floats import (
    sub as sub,
)
from corral_engine.native.simd.floats import (
    total as total,
)
from corral_engine.native.simd.floats import (
    where_less as where_less,
)
from corral_engine.native.simd.floats import (
    zero_f32 as zero_f32,
)
from corral_engine.native.simd.floats import (
    zero_f32x32 as zero_f32x32,
)
from corral_engine.native.simd.integers import (
    add_i32 as add_i32,
)
from corral_engine.native.simd.integers import (
    and_i32 as and_i32,
)
from corral_engine.native.simd.integers import (
    as_f32 as as_f32,
)
from corral_engine.native.simd.integers import (
    high_half as high_half,
)
from corral_engine.native.simd.integers import (
    lane_numbers as lane_numbers,
)
from corral_engine.native.simd.integers import (
    like_i32 as like_i32,
)
from corral_engine.native.simd.integers import (
    load_i8x8 as load_i8x8,
)
from corral_engine.native.simd.integers import (
    load_i8x32 as load_i8x32,
)
from corral_engine.native.simd.integers import (
    load_i32x8 as load_i32x8,
)
from corral_engine.native.simd.integers import (
    load_u8x8 as load_u8x8,
)
from corral_engine.native.simd.integers import (
    low_half as low_half,
)
from corral_engine.native.simd.integers import (
    mul_i32 as mul_i32,
)
from corral_engine.native.simd.integers import (
    or_i32 as or_i32,
)
from corral_engine.native.simd.integers import (
    shift_left as shift_left,
)
from corral_engine.native.simd.integers import (
    shift_right as shift_right,
)
from corral_engine.native.simd.integers import (
    splat_i32 as splat_i32,
)
from corral_engine.native.simd.integers import (
    splat_load_i32 as splat_load_i32,
)
from corral_engine.native.simd.integers import (
    store_i8x8 as store_i8x8,
)
from corral_engine.native.simd.integers import (
    store_i8x32 as store_i8x32,
)
from corral_engine.native.simd.integers import (
    store_i32x8 as store_i32x8,
)
from corral_engine.native.simd.integers import (
    sub_i32 as sub_i32,
)
from corral_engine.native.simd.integers import (
    to_f32 as to_f32,
)
from corral_engine.native.simd.integers import (
    total_i32 as total_i32,
)
from corral_engine.native.simd.integers import (
    zero_i32 as zero_i32,
)
from corral_engine.native.simd.registers import HOST as HOST
from corral_engine.native.simd.registers import VARIANT as VARIANT
from corral_engine.native.simd.registers import inline as inline
from corral_engine.native.simd.registers import word as word
from corral_engine.native.simd.scalars import (
    fma as fma,
)
from corral_engine.native.simd.scalars import (
    load_f32 as load_f32,
)
from corral_engine.native.simd.scalars import (
    load_i32 as load_i32,
)
from corral_engine.native.simd.scalars import (
    load_i64 as load_i64,
)
from corral_engine.native.simd.scalars import (
    load_u8 as load_u8,
)
from corral_engine.native.simd.scalars import (
    load_u16 as load_u16,
)
from corral_engine.native.simd.scalars import (
    store_f32 as store_f32,
)
from corral_engine.native.simd.scalars import (
    store_i32 as store_i32,
)
from corral_engine.native.simd.scalars import (
    store_i64 as store_i64,
)
from corral_engine.native.simd.scalars import (
    store_u8 as store_u8,
)
from corral_engine.native.simd.scalars import (
    store_u16 as store_u16,
)
