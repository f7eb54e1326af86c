"""Attention over the paged KV cache in numpy, page by page in a fixed order."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corral_engine.kv_storage import Q8_BLOCK, KVStorage, Region
from corral_engine.program import PAGE_SIZE, Attention, Batch, Float32, StoreKV

QUERIES = 8  # query tokens handled together: every product has a fixed shape, as in `reference.product`


def store(storage: KVStorage, batch: Batch, op: StoreKV, k: Float32, v: Float32) -> None:
    """Write k and v (T, K·D) into the pages of each token's sequence."""
    pages = batch.page_table[batch.seq_of, batch.positions // PAGE_SIZE]
    slots = batch.positions % PAGE_SIZE
    for region, x in ((storage.k[op.layer], k), (storage.v[op.layer], v)):
        heads = x.reshape(len(x), op.n_kv_heads, region.head_dim)
        if region.type == "q8_0":
            grouped = heads.reshape(len(x), op.n_kv_heads, -1, Q8_BLOCK)
            scale = np.abs(grouped).max(axis=-1) / np.float32(127)
            with np.errstate(divide="ignore"):
                inverse = np.where(scale > 0, 1 / scale, 0).astype(np.float32)
            quants = np.rint(grouped * inverse[..., None]).astype(np.int8)
            storage.values(region)[pages, :, slots] = quants.reshape(heads.shape)
            storage.scales(region)[pages, :, slots] = scale.astype(np.float16)
        else:
            storage.values(region)[pages, :, slots] = heads


def _gather(storage: KVStorage, region: Region, pages: NDArray[np.int32], n_keys: int) -> Float32:
    """The pages of one sequence as float32 (P, K, PAGE_SIZE, D), zeros behind the last key."""
    values: NDArray[Any] = storage.values(region)[pages].astype(np.float32)
    if region.type == "q8_0":
        scales = storage.scales(region)[pages].astype(np.float32)
        values *= np.repeat(scales, Q8_BLOCK, axis=-1)
    if tail := n_keys % PAGE_SIZE:
        values[-1, :, tail:] = 0  # whatever an earlier owner of the page left there
    return values


def attend(storage: KVStorage, batch: Batch, op: Attention, q: Float32) -> Float32:
    """See `program.Attention`.  q (T, H·D) → (T, H·D_v)."""
    out = np.empty((len(q), op.n_heads * op.value_dim), np.float32)
    bounds = np.flatnonzero(np.diff(batch.seq_of, prepend=-1, append=-1))
    for start, end in pairwise(bounds.tolist()):
        n_keys = int(batch.positions[end - 1]) + 1
        pages = batch.page_table[batch.seq_of[start], : -(-n_keys // PAGE_SIZE)]
        k = _gather(storage, storage.k[op.layer], pages, n_keys).transpose(0, 1, 3, 2)
        v = _gather(storage, storage.v[op.layer], pages, n_keys)
        first = start
        while first < end:
            slot = int(batch.positions[first]) % QUERIES
            last = min(first + QUERIES - slot, end)
            out[first:last] = _attend_block(op, q[first:last], batch.positions[first:last], slot, k, v, n_keys)
            first = last
    return out


def _attend_block(
    op: Attention, q: Float32, positions: NDArray[np.int32], slot: int, k: Float32, v: Float32, n_keys: int
) -> Float32:
    """At most QUERIES tokens of one sequence against all its pages; each stands where its position says."""
    n, group = len(q), op.n_heads // op.n_kv_heads
    rows = slice(slot, slot + n)
    padded = np.zeros((QUERIES, op.n_kv_heads, group, op.head_dim), np.float32)
    padded[rows] = q.reshape(n, op.n_kv_heads, group, op.head_dim) * np.float32(op.scale)
    queries = np.ascontiguousarray(padded.transpose(1, 0, 2, 3)).reshape(op.n_kv_heads, QUERIES * group, op.head_dim)
    scores = (queries[None] @ k).reshape(len(k), op.n_kv_heads, QUERIES, group, PAGE_SIZE)
    if op.softcap:
        scores = np.float32(op.softcap) * np.tanh(scores / np.float32(op.softcap))
    hidden = _mask(op, positions, rows, len(k), n_keys)
    scores = np.where(hidden[:, None, :, None, :], np.float32(-np.inf), scores)
    top = scores.max(axis=(0, 4))
    top = np.where(np.isfinite(top), top, np.float32(0))
    weights = np.exp(scores - top[None, ..., None])
    total = np.add.reduce(weights.sum(axis=-1), axis=0)
    flat = weights.reshape(len(k), op.n_kv_heads, QUERIES * group, PAGE_SIZE)
    summed = np.add.reduce(flat @ v, axis=0).reshape(op.n_kv_heads, QUERIES, group, op.value_dim)
    with np.errstate(divide="ignore"):
        summed /= np.where(total > 0, total, np.float32(1))[..., None]
    result: Float32 = summed.transpose(1, 0, 2, 3)[rows].reshape(n, -1)
    return result


def _mask(op: Attention, positions: NDArray[np.int32], rows: slice, n_pages: int, n_keys: int) -> NDArray[np.bool_]:
    """True where a key is not seen: (P, QUERIES, PAGE_SIZE)."""
    keys = np.arange(n_pages * PAGE_SIZE).reshape(n_pages, 1, PAGE_SIZE)
    queries = np.zeros((1, QUERIES, 1), np.int64)
    queries[0, rows, 0] = positions
    hidden = keys >= n_keys
    if op.causal:
        hidden = hidden | (keys > queries)
    if op.window:
        hidden = hidden | (queries - keys >= op.window)
    return np.broadcast_to(hidden, (n_pages, QUERIES, PAGE_SIZE))
