"""Attention over the paged KV cache, page by page with a running maximum and sum (Milakov & Gimelshein 2018).

A unit of work is a tile of tokens with one kv head.  The query heads that share the kv head, for all tokens of the tile
that belong to one sequence, are the rows of two small matrix products a page: scores = q · K and out += p · V.
Whatever the tile, a row adds up the components of a score in order, the tokens of a page in order and the pages in
order, and sees exactly the pages that hold a key it may look at, so its result depends on its own sequence alone.

When a page serves more than a few rows it is widened to float32 once in scratch memory.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from corral_engine.native.kernels.cache import FORMATS, CacheFormat, page_address
from corral_engine.native.kernels.functions import exp, tanh
from corral_engine.native.optable import (
    PAGE_SIZE,
    ROW_SCORE_BYTES,
    ROW_STATE_BYTES,
    SPARE_BYTES,
    Attention,
    Env,
    Op,
)
from corral_engine.native.simd import (
    div,
    fma,
    fma_f32,
    inline,
    lane_numbers,
    largest,
    like,
    load_f32,
    load_f32x8,
    load_f32x32,
    load_i32,
    load_i64,
    mul,
    splat_f32,
    splat_load_f32,
    splat_load_f32x32,
    store_f32,
    store_f32x8,
    store_f32x32,
    store_i32,
    store_i64,
    sub,
    total,
    where_less,
    zero_f32,
    zero_f32x32,
)

_Q, _Q_STRIDE, _OUT, _OUT_STRIDE = 8 * Attention.Q, 8 * Attention.Q_STRIDE, 8 * Attention.OUT, 8 * Attention.OUT_STRIDE
_KV_HEADS, _GROUP = 8 * Attention.KV_HEADS, 8 * Attention.GROUP
_HEAD_DIM, _VALUE_DIM = 8 * Attention.HEAD_DIM, 8 * Attention.VALUE_DIM
_SCALE, _SOFTCAP = 8 * Attention.SCALE, 8 * Attention.SOFTCAP
_WINDOW, _CAUSAL = 8 * Attention.WINDOW, 8 * Attention.CAUSAL
_K_VALUES, _K_SCALES = 8 * Attention.K_VALUES, 8 * Attention.K_SCALES
_V_VALUES, _V_SCALES = 8 * Attention.V_VALUES, 8 * Attention.V_SCALES
_TILE, _POSITIONS, _SEQ_OF, _END_OF = 8 * Op.TILE, 8 * Env.POSITIONS, 8 * Env.SEQ_OF, 8 * Env.END_OF

_PAGE_SHIFT = PAGE_SIZE.bit_length() - 1
_FEW_ROWS = 1
_NOTHING, _ZERO, _ONE = np.float32(-np.inf), np.float32(0), np.float32(1)

# The state of a row: running maximum and sum (float32), first and last key it sees (int32), addresses of q and out.
_MAXIMUM, _SUM, _LOW, _HIGH, _Q_ROW, _OUT_ROW = 0, 4, 8, 12, 16, 24


def _scores(load_k: Any) -> tuple[Any, Any]:
    """Three rows, or one row, of queries times one page → as many rows of 32 scores at `s`."""

    @inline
    def three(values, scales, dim, state, s):  # type: ignore[no-untyped-def]
        q0, q1 = load_i64(state + _Q_ROW), load_i64(state + ROW_STATE_BYTES + _Q_ROW)
        s0 = s1 = zero_f32x32()
        for d in range(dim):
            k = load_k(values, scales, d)
            s0 = fma_f32(k, splat_load_f32x32(q0 + 4 * d), s0)
            s1 = fma_f32(k, splat_load_f32x32(q1 + 4 * d), s1)
        store_f32x32(s, s0)
        return store_f32x32(s + ROW_SCORE_BYTES, s1)

    @inline
    def single(values, scales, dim, state, s):  # type: ignore[no-untyped-def]
        q, scores = load_i64(state + _Q_ROW), zero_f32x32()
        for d in range(dim):
            scores = fma_f32(load_k(values, scales, d), splat_load_f32x32(q + 4 * d), scores)
        return store_f32x32(s, scores)

    return three, single


def _weigh(load_v: Any, load_v8: Any) -> tuple[Any, Any]:
    """Add the values of `count` tokens, weighted by the rows at `p`, to three rows, or one row, of sums at `o`."""

    @inline
    def rest(values, scales, dim, count, p, o):  # type: ignore[no-untyped-def]
        """The columns after the last multiple of 32, of one row."""
        for d in range(dim & ~31, dim, 8):
            sums = load_f32x8(o + 4 * d)
            for token in range(count):
                sums = fma_f32(load_v8(values, scales, token, d, dim), splat_load_f32(p + 4 * token), sums)
            store_f32x8(o + 4 * d, sums)
        return 0

    @inline
    def three(values, scales, dim, count, p, o):  # type: ignore[no-untyped-def]
        for d in range(0, dim & ~31, 32):
            o0, o1 = o + 4 * d, o + 4 * (d + dim)
            s0, s1 = load_f32x32(o0), load_f32x32(o1)
            for token in range(count):
                v, y = load_v(values, scales, token, d, dim), p + 4 * token
                s0 = fma_f32(v, splat_load_f32x32(y), s0)
                s1 = fma_f32(v, splat_load_f32x32(y + ROW_SCORE_BYTES), s1)
            store_f32x32(o0, s0)
            store_f32x32(o1, s1)
        for row in range(2):
            rest(values, scales, dim, count, p + row * ROW_SCORE_BYTES, o + 4 * row * dim)
        return 0

    @inline
    def single(values, scales, dim, count, p, o):  # type: ignore[no-untyped-def]
        for d in range(0, dim & ~31, 32):
            sums = load_f32x32(o + 4 * d)
            for token in range(count):
                sums = fma_f32(load_v(values, scales, token, d, dim), splat_load_f32x32(p + 4 * token), sums)
            store_f32x32(o + 4 * d, sums)
        return rest(values, scales, dim, count, p, o)

    return three, single


@inline
def _soften(op, state, row, sums, dim, first):  # type: ignore[no-untyped-def]
    """Scores of one row and page → weights; rescale the row's running maximum, sum and weighted values."""
    cap = load_f32(op + _SOFTCAP)
    s = load_f32x32(row)
    s = mul(s, like(s, load_f32(op + _SCALE)))
    if cap > _ZERO:
        s = mul(like(s, cap), tanh(div(s, like(s, cap))))
    low = like(s, np.float32(load_i32(state + _LOW) - first))
    high = like(s, np.float32(load_i32(state + _HIGH) - first))
    nothing = like(s, _NOTHING)
    s = where_less(high, lane_numbers(), nothing, where_less(lane_numbers(), low, nothing, s))
    before = splat_load_f32(state + _MAXIMUM)
    peak = max(load_f32(state + _MAXIMUM), largest(s))
    p = exp(sub(s, like(s, peak)))
    store_f32x32(row, p)
    shrink = exp(sub(before, like(before, peak)))
    store_f32(state + _SUM, fma(load_f32(state + _SUM), largest(shrink), total(p)))
    store_f32(state + _MAXIMUM, peak)
    for d in range(0, dim, 8):
        store_f32x8(sums + 4 * d, mul(load_f32x8(sums + 4 * d), shrink))
    return 0


def _page(form_k: CacheFormat, form_v: CacheFormat) -> Any:
    """One page for `n` rows whose states, scores and sums begin at the given addresses."""
    scores_three, scores_single = _scores(form_k.load_k)
    weigh_three, weigh_single = _weigh(form_v.load_v, form_v.load_v8)

    @inline
    def page(op, k, k_scales, v, v_scales, n, states, scores, sums, first, count):  # type: ignore[no-untyped-def]
        dim, value_dim = load_i64(op + _HEAD_DIM), load_i64(op + _VALUE_DIM)
        for r in range(0, n - 1, 2):
            scores_three(k, k_scales, dim, states + r * ROW_STATE_BYTES, scores + r * ROW_SCORE_BYTES)
        if n & 1:
            scores_single(k, k_scales, dim, states + (n - 1) * ROW_STATE_BYTES, scores + (n - 1) * ROW_SCORE_BYTES)
        for i in range(n):
            row, into = scores + i * ROW_SCORE_BYTES, sums + 4 * i * value_dim
            _soften(op, states + i * ROW_STATE_BYTES, row, into, value_dim, first)
        for r in range(0, n - 1, 2):
            weigh_three(v, v_scales, value_dim, count, scores + r * ROW_SCORE_BYTES, sums + 4 * r * value_dim)
        if n & 1:
            r = n - 1
            weigh_single(v, v_scales, value_dim, count, scores + r * ROW_SCORE_BYTES, sums + 4 * r * value_dim)
        return 0

    return page


@inline
def _open(op, env, a, b, seq, head, states, sums):  # type: ignore[no-untyped-def]
    """States and empty sums of the rows of tokens `a … b - 1` and one kv head."""
    group, dim, value_dim = load_i64(op + _GROUP), load_i64(op + _HEAD_DIM), load_i64(op + _VALUE_DIM)
    positions, window = load_i64(env + _POSITIONS), load_i64(op + _WINDOW)
    last = load_i32(load_i64(env + _END_OF) + 4 * seq) - 1
    for token in range(a, b):
        position = load_i32(positions + 4 * token)
        high = position if load_i64(op + _CAUSAL) else load_i32(positions + 4 * last)
        low = max(0, position - window + 1) if window else 0
        for g in range(group):
            state = states + ((token - a) * group + g) * ROW_STATE_BYTES
            query_head = head * group + g
            store_f32(state + _MAXIMUM, _NOTHING)
            store_f32(state + _SUM, _ZERO)
            store_i32(state + _LOW, low)
            store_i32(state + _HIGH, high)
            q = load_i64(op + _Q) + token * load_i64(op + _Q_STRIDE)
            out = load_i64(op + _OUT) + token * load_i64(op + _OUT_STRIDE)
            store_i64(state + _Q_ROW, q + 4 * query_head * dim)
            store_i64(state + _OUT_ROW, out + 4 * query_head * value_dim)
    for i in range((b - a) * group * value_dim // 8):
        store_f32x8(sums + 32 * i, zero_f32())
    return 0


@inline
def _close(n, states, sums, dim):  # type: ignore[no-untyped-def]
    """Divide by the sums of the weights; a row that saw no key is zeros."""
    for r in range(n):
        weight = load_f32(states + r * ROW_STATE_BYTES + _SUM)
        divisor = splat_f32(weight if weight != _ZERO else _ONE)
        out = load_i64(states + r * ROW_STATE_BYTES + _OUT_ROW)
        for d in range(0, dim, 8):
            store_f32x8(out + 4 * d, div(load_f32x8(sums + 4 * (r * dim + d)), divisor))
    return 0


def _attention(k_format: CacheFormat, v_format: CacheFormat) -> Callable[..., None]:
    load_k, load_v8 = k_format.load_k, v_format.load_v8
    k_bytes, v_bytes = k_format.value_bytes, v_format.value_bytes
    stored_page, wide_page = _page(k_format, v_format), _page(FORMATS["f32"], FORMATS["f32"])

    @inline
    def widen(k, k_scales, dim, wide_k, v, v_scales, value_dim, wide_v):  # type: ignore[no-untyped-def]
        for d in range(dim):
            store_f32x32(wide_k + d * ROW_SCORE_BYTES, load_k(k, k_scales, d))
        for token in range(PAGE_SIZE):
            for d in range(0, value_dim, 8):
                store_f32x8(wide_v + 4 * (token * value_dim + d), load_v8(v, v_scales, token, d, value_dim))
        return 0

    @inline
    def run(op, env, a, b, seq, head, states, scores, sums, wide_k):  # type: ignore[no-untyped-def]
        """Tokens `a … b - 1`, all of sequence `seq`, with one kv head."""
        group, dim, value_dim = load_i64(op + _GROUP), load_i64(op + _HEAD_DIM), load_i64(op + _VALUE_DIM)
        wide_v = wide_k + dim * ROW_SCORE_BYTES
        _open(op, env, a, b, seq, head, states, sums)
        n = (b - a) * group
        end = load_i32(states + (n - 1) * ROW_STATE_BYTES + _HIGH)
        begin, until = 0, 0  # the rows that see the page
        for page in range(load_i32(states + _LOW) >> _PAGE_SHIFT, (end >> _PAGE_SHIFT) + 1):
            while load_i32(states + begin * ROW_STATE_BYTES + _HIGH) >> _PAGE_SHIFT < page:
                begin += 1
            while until < n and load_i32(states + until * ROW_STATE_BYTES + _LOW) >> _PAGE_SHIFT <= page:
                until += 1
            first, address = page * PAGE_SIZE, page_address(env, seq, page)
            k = address + load_i64(op + _K_VALUES) + head * dim * PAGE_SIZE * k_bytes
            v = address + load_i64(op + _V_VALUES) + head * value_dim * PAGE_SIZE * v_bytes
            k_scales = address + load_i64(op + _K_SCALES) + head * (dim >> 5) * PAGE_SIZE * 2
            v_scales = address + load_i64(op + _V_SCALES) + head * (value_dim >> 5) * PAGE_SIZE * 2
            count, rows = min(PAGE_SIZE, end + 1 - first), until - begin
            state, score = states + begin * ROW_STATE_BYTES, scores + begin * ROW_SCORE_BYTES
            into = sums + 4 * begin * value_dim
            if rows <= _FEW_ROWS:
                stored_page(op, k, k_scales, v, v_scales, rows, state, score, into, first, count)
            else:
                widen(k, k_scales, dim, wide_k, v, v_scales, value_dim, wide_v)
                wide_page(op, wide_k, 0, wide_v, 0, rows, state, score, into, first, count)
        return _close(n, states, sums, value_dim)

    def kernel(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
        tile, n_heads = load_i64(op + _TILE), load_i64(op + _KV_HEADS)
        most = tile * load_i64(op + _GROUP)
        states = scratch + SPARE_BYTES
        scores = states + most * ROW_STATE_BYTES
        sums = scores + most * ROW_SCORE_BYTES
        wide_k = sums + 4 * most * load_i64(op + _VALUE_DIM)
        for unit in range(begin, end):
            head = unit % n_heads
            a = unit // n_heads * tile
            last = min(rows, a + tile)
            while a < last:
                seq = load_i32(load_i64(env + _SEQ_OF) + 4 * a)
                b = min(last, load_i32(load_i64(env + _END_OF) + 4 * seq))
                run(op, env, a, b, seq, head, states, scores, sums, wide_k)
                a = b

    return kernel


def build(what: str) -> Callable[..., None]:
    """ "f16.q8_0": the storage types of K and V."""
    k, _, v = what.partition(".")
    return _attention(FORMATS[k], FORMATS[v])
