"""How K and V lie in a page, by storage type, and the kernel that writes them.

The region of a layer and its size are `kv_storage`'s; inside it this module puts, for each kv head,

    K   values (D, PAGE_SIZE): the same component of 32 tokens side by side, so that scores need no horizontal sums
    V   values (PAGE_SIZE, D)

and for q8_0, behind the values of all heads, float16 scales (D / 32, PAGE_SIZE) for K, (PAGE_SIZE, D / 32) for V.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from corral_engine.native.kernels.quantize import round_codes
from corral_engine.native.optable import PAGE_SIZE, Env, Op
from corral_engine.native.simd import (
    absolute,
    inline,
    largest,
    load_f16x8,
    load_f16x32,
    load_f32,
    load_f32x8,
    load_f32x32,
    load_i8x8,
    load_i8x32,
    load_i32,
    load_i64,
    load_u8,
    load_u16,
    maximum,
    minimum,
    mul,
    splat_f32,
    splat_load_f16,
    splat_load_f16x32,
    store_f16x8,
    store_f32,
    store_f32x8,
    store_i8x32,
    store_u8,
    store_u16,
    to_f32,
)

_POSITIONS, _SEQ_OF, _PAGE_TABLE = 8 * Env.POSITIONS, 8 * Env.SEQ_OF, 8 * Env.PAGE_TABLE
_PAGES, _STORAGE, _PAGE_BYTES = 8 * Env.PAGES, 8 * Env.STORAGE, 8 * Env.PAGE_BYTES

_PAGE_SHIFT = PAGE_SIZE.bit_length() - 1
_LARGEST_F16 = np.float32(65504)
_LARGEST_CODE = np.float32(127)


@dataclass(frozen=True, slots=True)
class CacheFormat:
    """A storage type as inline functions; `values` and `scales` are those of one head in one page.

    load_k(values, scales, d): component d of the 32 tokens
    load_v(values, scales, token, d, dim): components d … d + 31 of a token; load_v8: d … d + 7
    store_k(values, scales, slot, x, dim, spare), store_v(…): the head of one token
    """

    value_bytes: int
    load_k: Callable[..., Any]
    load_v: Callable[..., Any]
    load_v8: Callable[..., Any]
    store_k: Callable[..., Any]
    store_v: Callable[..., Any]


@inline
def page_address(env, seq, index):  # type: ignore[no-untyped-def]
    """Where page number `index` of a sequence lies."""
    page = load_i32(load_i64(env + _PAGE_TABLE) + 4 * (seq * load_i64(env + _PAGES) + index))
    return load_i64(env + _STORAGE) + page * load_i64(env + _PAGE_BYTES)


# --- f32 ----------------------------------------------------------------------------------------------------------


@inline
def _load_k_f32(values, scales, d):  # type: ignore[no-untyped-def]
    return load_f32x32(values + 4 * d * PAGE_SIZE)


@inline
def _load_v_f32(values, scales, token, d, dim):  # type: ignore[no-untyped-def]
    return load_f32x32(values + 4 * (token * dim + d))


@inline
def _load_v8_f32(values, scales, token, d, dim):  # type: ignore[no-untyped-def]
    return load_f32x8(values + 4 * (token * dim + d))


@inline
def _store_k_f32(values, scales, slot, x, dim, spare):  # type: ignore[no-untyped-def]
    for d in range(dim):
        store_f32(values + 4 * (d * PAGE_SIZE + slot), load_f32(x + 4 * d))
    return 0


@inline
def _store_v_f32(values, scales, slot, x, dim, spare):  # type: ignore[no-untyped-def]
    for d in range(0, dim, 8):
        store_f32x8(values + 4 * (slot * dim + d), load_f32x8(x + 4 * d))
    return 0


# --- f16: values beyond its range become the largest, NaN stays -------------------------------------------------------


@inline
def _narrow(x, to):  # type: ignore[no-untyped-def]
    limit = splat_f32(_LARGEST_F16)
    return store_f16x8(to, minimum(limit, maximum(splat_f32(-_LARGEST_F16), load_f32x8(x))))


@inline
def _load_k_f16(values, scales, d):  # type: ignore[no-untyped-def]
    return load_f16x32(values + 2 * d * PAGE_SIZE)


@inline
def _load_v_f16(values, scales, token, d, dim):  # type: ignore[no-untyped-def]
    return load_f16x32(values + 2 * (token * dim + d))


@inline
def _load_v8_f16(values, scales, token, d, dim):  # type: ignore[no-untyped-def]
    return load_f16x8(values + 2 * (token * dim + d))


@inline
def _store_k_f16(values, scales, slot, x, dim, spare):  # type: ignore[no-untyped-def]
    for d in range(0, dim, 8):
        _narrow(x + 4 * d, spare)
        for i in range(8):
            store_u16(values + 2 * ((d + i) * PAGE_SIZE + slot), load_u16(spare + 2 * i))
    return 0


@inline
def _store_v_f16(values, scales, slot, x, dim, spare):  # type: ignore[no-untyped-def]
    for d in range(0, dim, 8):
        _narrow(x + 4 * d, values + 2 * (slot * dim + d))
    return 0


# --- q8_0: 32 components of a token share a float16 scale -------------------------------------------------------------


@inline
def _quantize(x, codes, scale):  # type: ignore[no-untyped-def]
    """Thirty-two floats → codes and their float16 scale (written at `scale`, which must have room for eight)."""
    values = load_f32x32(x)
    step = largest(absolute(values)) / _LARGEST_CODE
    store_i8x32(codes, round_codes(values, step))
    return store_f16x8(scale, minimum(splat_f32(_LARGEST_F16), splat_f32(step)))


@inline
def _load_k_q8(values, scales, d):  # type: ignore[no-untyped-def]
    return mul(to_f32(load_i8x32(values + d * PAGE_SIZE)), load_f16x32(scales + 2 * (d >> 5) * PAGE_SIZE))


@inline
def _load_v_q8(values, scales, token, d, dim):  # type: ignore[no-untyped-def]
    scale = splat_load_f16x32(scales + 2 * (token * (dim >> 5) + (d >> 5)))
    return mul(to_f32(load_i8x32(values + token * dim + d)), scale)


@inline
def _load_v8_q8(values, scales, token, d, dim):  # type: ignore[no-untyped-def]
    scale = splat_load_f16(scales + 2 * (token * (dim >> 5) + (d >> 5)))
    return mul(to_f32(load_i8x8(values + token * dim + d)), scale)


@inline
def _store_k_q8(values, scales, slot, x, dim, spare):  # type: ignore[no-untyped-def]
    for d in range(0, dim, 32):
        _quantize(x + 4 * d, spare, spare + 32)
        for i in range(32):
            store_u8(values + (d + i) * PAGE_SIZE + slot, load_u8(spare + i))
        store_u16(scales + 2 * ((d >> 5) * PAGE_SIZE + slot), load_u16(spare + 32))
    return 0


@inline
def _store_v_q8(values, scales, slot, x, dim, spare):  # type: ignore[no-untyped-def]
    for d in range(0, dim, 32):
        _quantize(x + 4 * d, values + slot * dim + d, spare)
        store_u16(scales + 2 * (slot * (dim >> 5) + (d >> 5)), load_u16(spare))
    return 0


FORMATS = {
    "f32": CacheFormat(4, _load_k_f32, _load_v_f32, _load_v8_f32, _store_k_f32, _store_v_f32),
    "f16": CacheFormat(2, _load_k_f16, _load_v_f16, _load_v8_f16, _store_k_f16, _store_v_f16),
    "q8_0": CacheFormat(1, _load_k_q8, _load_v_q8, _load_v8_q8, _store_k_q8, _store_v_q8),
}

# X, X_STRIDE, HEADS, DIM, VALUES and SCALES (offsets in a page)
_A0, _A1, _A2, _A3, _A4, _A5 = (8 * (Op.ARGS + i) for i in range(6))


def _store(store: Any, value_bytes: int) -> Callable[..., None]:
    def kernel(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
        n_heads, dim = load_i64(op + _A2), load_i64(op + _A3)
        for row in range(begin, end):
            position = load_i32(load_i64(env + _POSITIONS) + 4 * row)
            seq = load_i32(load_i64(env + _SEQ_OF) + 4 * row)
            page = page_address(env, seq, position >> _PAGE_SHIFT)
            slot = position & (PAGE_SIZE - 1)
            x = load_i64(op + _A0) + row * load_i64(op + _A1)
            for head in range(n_heads):
                values = page + load_i64(op + _A4) + head * dim * PAGE_SIZE * value_bytes
                scales = page + load_i64(op + _A5) + head * (dim >> 5) * PAGE_SIZE * 2
                store(values, scales, slot, x + 4 * head * dim, dim, scratch)

    return kernel


def build(what: str) -> Callable[..., None]:
    """ "k.f16", "v.q8_0" …: write K or V in a storage type.  A unit of work is a row."""
    kind, _, name = what.partition(".")
    form = FORMATS[name]
    return _store(form.store_k if kind == "k" else form.store_v, form.value_bytes)
